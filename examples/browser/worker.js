// The networks run here, so that the page never waits for them.
//
// In:  { kind: "frame", number, bitmap, mesh } or { kind: "reset" }
// Out: { kind: "status", text }, { kind: "ready", ... }, { kind: "error", text } or
//      { kind: "faces", number, bitmap, faces, milliseconds }; the bitmap goes back to be drawn.

import { openPipeline } from "./pipeline.js";

const post = (kind, content, transfer = []) => self.postMessage({ kind, ...content }, transfer);
const fail = (error) => post("error", { text: error?.message ?? String(error) });

let canvas = null;
let pipeline = null;

const opened = openPipeline((text) => post("status", { text })).then((result) => {
  pipeline = result;
  const { landmarks, detector, mesh, regions } = result.constants;
  post("ready", {
    names: { landmarks: landmarks.name, detector: detector.name, mesh: mesh.name },
    triangles: result.mesh.triangles,
    regions,
    threads: result.ort.env.wasm.numThreads,
  });
}, fail);

// Messages are answered one after the other: a face's place depends on the frame before.
let queue = opened;
self.onmessage = ({ data }) => {
  queue = queue.then(() => answer(data)).catch(fail);
};

async function answer(message) {
  if (!pipeline) return;
  if (message.kind === "reset") {
    pipeline.tracker.reset();
    return;
  }
  const { number, bitmap, mesh } = message;
  const start = performance.now();
  const faces = await pipeline.process(pixelsOf(bitmap), { mesh });
  const milliseconds = performance.now() - start;
  post("faces", { number, bitmap, faces, milliseconds }, [bitmap]);
}

/** The bytes of a picture. */
function pixelsOf(bitmap) {
  const { width, height } = bitmap;
  if (canvas?.width !== width || canvas?.height !== height) {
    canvas = new OffscreenCanvas(width, height);
  }
  // Read back at once: a canvas on the graphics card would be copied to and fro.
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, width, height);
}
