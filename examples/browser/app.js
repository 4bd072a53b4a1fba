// The page: buttons, status, and the canvas.
//
// Every finished frame is also an event on the document, for whoever builds on this page:
//   document.addEventListener("facegeo-frame", ({ detail }) => detail.faces[0]?.landmarks);

import { drawLabel, drawLandmarks, drawMesh } from "./draw.js";
import { cameraFrames, pictureFrames, videoFrames } from "./sources.js";
import { openSurface } from "./surface.js";

const element = (id) => document.getElementById(id);
const canvas = element("stage");
const context = canvas.getContext("2d");
const video = element("video");
const show = { mesh: element("show-mesh"), landmarks: element("show-landmarks"), label: element("show-label") };

const surface = openSurface();
let models = null; // what the worker says when it is ready
let run = null; // what is being played now: { stopped }
let waiting = null; // the promise of the worker's answer: { resolve, reject }

const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
worker.onmessage = ({ data }) => handlers[data.kind](data);
worker.onerror = (event) => complain(event.message || "The worker could not be started.");

const handlers = {
  status: ({ text }) => say(text),
  error: ({ text }) => {
    complain(text);
    waiting?.reject(new Error(text));
  },
  faces: (answer) => waiting?.resolve(answer),
  ready: (answer) => {
    models = answer;
    for (const control of document.querySelectorAll("[data-needs-models]")) control.disabled = false;
    const { landmarks, detector } = answer.names;
    const threads = answer.threads > 1 ? `${answer.threads} threads` : "1 thread";
    const drawn = surface ? "" : " · edges only: this browser has no WebGL 2";
    element("models").textContent = `${detector} + ${landmarks} · ${threads}${drawn}`;
    document.body.dataset.state = "ready";
    say("Ready. Start the camera, or open a video or pictures. Nothing leaves this computer.");
  },
};

function say(text) {
  element("status").textContent = text;
}

function complain(text) {
  element("error").textContent = text;
  element("error").hidden = !text;
}

/** Send a picture to the worker and wait for its faces. */
function measure(bitmap, number) {
  return new Promise((resolve, reject) => {
    waiting = { resolve, reject };
    worker.postMessage({ kind: "frame", number, bitmap, mesh: show.mesh.checked }, [bitmap]);
  });
}

/** Play one source to its end, or until another takes its place. */
async function play(frames, what) {
  if (run) {
    run.stopped = true;
    await run.finished;
  }
  const own = { stopped: false };
  run = own;
  own.finished = follow(frames, what, own).finally(() => {
    if (run === own) run = null;
    element("stop").disabled = !run;
  });
  await own.finished;
}

async function follow(frames, what, own) {
  complain("");
  say(`${what} ...`);
  element("stop").disabled = false;
  document.body.dataset.state = "running";
  worker.postMessage({ kind: "reset" });
  const rate = new Rate();
  let count = 0;
  try {
    for await (const { bitmap, timestamp, name } of frames) {
      if (own.stopped) {
        bitmap.close();
        break;
      }
      const answer = await measure(bitmap, count);
      paint(answer);
      rate.tick();
      element("rate").textContent = rate.text();
      element("time").textContent = `${answer.milliseconds.toFixed(0)} ms`;
      element("faces").textContent = String(answer.faces.length);
      say(answer.faces.length ? `${what}` : `${what}: no face found`);
      announce(answer, timestamp, name);
      count += 1;
    }
    say(own.stopped ? "Stopped." : `${what}: finished, ${count} frame${count === 1 ? "" : "s"}.`);
  } catch (error) {
    complain(error.message ?? String(error));
    say("Stopped.");
  }
  document.body.dataset.state = "ready";
}

function paint({ bitmap, faces }) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  }
  element("hint").hidden = true;
  canvas.hidden = false;
  context.drawImage(bitmap, 0, 0);
  const meshes = show.mesh.checked ? faces.filter((face) => face.vertices) : [];
  if (surface && meshes.length) {
    surface.draw(context, meshes.map((face) => face.vertices), models.triangles);
  }
  for (const face of faces) {
    if (!surface && meshes.includes(face)) {
      drawMesh(context, face.vertices, models.triangles, face.landmarks);
    }
    if (show.landmarks.checked) drawLandmarks(context, face.landmarks, models.regions);
    if (show.label.checked) drawLabel(context, face);
  }
}

function announce({ number, bitmap, faces, milliseconds }, timestamp, name) {
  const { width, height } = bitmap;
  const detail = { index: number, timestamp, name, width, height, faces, milliseconds };
  document.dispatchEvent(new CustomEvent("facegeo-frame", { detail }));
  bitmap.close();
}

/** Frames a second over the last one or two dozen. */
class Rate {
  times = [];

  tick() {
    this.times.push(performance.now());
    if (this.times.length > 20) this.times.shift();
  }

  text() {
    const passed = this.times.at(-1) - this.times[0];
    return passed > 0 ? ((1000 * (this.times.length - 1)) / passed).toFixed(1) : "–";
  }
}

function openFiles(files) {
  const list = [...files];
  if (!models || !list.length) return;
  const movie = list.find((file) => file.type.startsWith("video/"));
  const pictures = list.filter((file) => file.type.startsWith("image/"));
  if (movie) play(videoFrames(video, movie), movie.name);
  else if (pictures.length) {
    play(pictureFrames(pictures), pictures.length > 1 ? `${pictures.length} pictures` : pictures[0].name);
  } else complain(`${list[0].name}: expected a video or pictures.`);
}

element("camera").addEventListener("click", () => play(cameraFrames(video), "Camera"));
element("stop").addEventListener("click", () => {
  if (!run) return;
  run.stopped = true;
  video.dispatchEvent(new Event("ended")); // a source that waits for a frame waits no longer
});
element("files").addEventListener("change", (event) => {
  openFiles(event.target.files);
  event.target.value = ""; // so that the same file can be opened again
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  openFiles(event.dataTransfer.files);
});
