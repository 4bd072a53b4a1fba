// Photos in, faces out: loads what prepare.py wrote and runs detector, tracker and landmark network.

import { openDetector } from "./detector.js";
import { angles, cropFaces, cropToPhoto, depthFromEyes, poseToPhoto } from "./geometry.js";
import { Bridge, FaceMesh } from "./mesh.js";
import { Tracker } from "./tracker.js";

/** Loads everything; `say` is called with a line of text before each step. */
export async function openPipeline(say) {
  say("Loading ONNX Runtime ...");
  const ort = await importRuntime();
  const constants = await (await fetched("models/constants.json")).json();
  say(`Loading the detector ${constants.detector.name} ...`);
  const detector = await openNetwork(ort, "models/detector.onnx");
  say(`Loading the network ${constants.landmarks.name} ...`);
  const network = await openNetwork(ort, "models/landmarks.onnx");
  say("Loading the mesh ...");
  const arrays = await readArrays("models/mesh.bin", constants.mesh.arrays);
  const pipeline = new Pipeline(ort, constants, { detector, network }, arrays);
  say("Warming up ...");
  await pipeline.warmUp();
  return pipeline;
}

export class Pipeline {
  constructor(ort, constants, { detector, network }, arrays) {
    this.ort = ort;
    this.constants = constants;
    this.network = network;
    this.rule = constants.landmarks.crop;
    this.mesh = new FaceMesh(constants.mesh, arrays, this.rule);
    this.bridge = constants.bridge && new Bridge(constants.bridge, arrays, this.rule);
    this.finder = openDetector(ort, detector, constants.detector);
    this.tracker = new Tracker(
      (photo) => this.finder.detect(photo),
      (photo, rois) => this.measure(photo, rois),
      constants,
    );
  }

  /** Faces of the next frame, an RGBA photo. */
  async process(photo, { mesh = true } = {}) {
    const faces = await this.tracker.update(photo);
    return faces.map((face) => ({
      ...face,
      pose: angles(poseToPhoto(face.params, face.roi, this.rule)),
      vertices: mesh ? this.mesh.vertices(face) : null,
    }));
  }

  /** One run of each network on an empty picture: the first is many times slower than the rest. */
  async warmUp() {
    const [width, height] = [640, 480];
    const photo = { data: new Uint8ClampedArray(4 * width * height), width, height };
    await this.finder.detect(photo);
    await this.measure(photo, [[0, 0, height, height]]);
  }

  /** The landmark network on regions of a photo. */
  async measure(photo, rois) {
    const { side } = this.rule;
    const data = cropFaces(photo, rois, side);
    const crops = new this.ort.Tensor("uint8", data, [rois.length, side, side, 3]);
    const outputs = await this.network.run({ crops });
    const row = (name, n) => {
      const width = outputs[name].data.length / rois.length;
      return outputs[name].data.slice(n * width, (n + 1) * width);
    };
    return rois.map((roi, n) => {
      const { depth, landmarks } = this.#fromEyes(row("landmarks", n), roi);
      const params = this.bridge ? this.bridge.params(row("params", n)) : row("params", n);
      const presence = outputs.presence ? row("presence", n)[0] : NaN;
      const face = { roi, params, landmarks, depth, presence };
      // The face model's own depth, where it is known: that of its landmarks, not of the refined.
      if (this.bridge) face.depth = this.bridge.depth(params, roi);
      else if (outputs.coarse_landmarks) {
        face.depth = this.#fromEyes(row("coarse_landmarks", n), roi).depth;
      }
      return face;
    });
  }

  #fromEyes(points, roi) {
    return depthFromEyes(cropToPhoto(points, roi, this.rule), this.rule);
  }
}

async function importRuntime() {
  const path = "./ort/ort.wasm.min.mjs";
  const ort = await import(path).catch((error) => {
    throw new Error(`${path} cannot be loaded; was prepare.py run? (${error.message})`);
  });
  ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
  // Threads need shared memory, which browsers give to isolated pages only: see serve.py.
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(4, cores) : 1;
  return ort;
}

async function openNetwork(ort, path) {
  const onnx = new Uint8Array(await (await fetched(path)).arrayBuffer());
  return ort.InferenceSession.create(onnx, { executionProviders: ["wasm"] });
}

async function readArrays(path, layout) {
  const bytes = await (await fetched(path)).arrayBuffer();
  return Object.fromEntries(
    Object.entries(layout).map(([name, { offset, length, kind }]) => [
      name,
      new globalThis[kind](bytes, offset, length),
    ]),
  );
}

async function fetched(path) {
  const answer = await fetch(new URL(path, import.meta.url));
  if (!answer.ok) {
    throw new Error(`${path}: ${answer.status} ${answer.statusText}; was prepare.py run?`);
  }
  return answer;
}
