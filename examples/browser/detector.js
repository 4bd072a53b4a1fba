// FaceBoxes: scaling, anchors, decoding and non-maximum suppression, as
// facegeo/detect/faceboxes.py does them. All numbers come from models/constants.json.

import { overlap, resizeRegion } from "./geometry.js";

export class FaceDetector {
  /**
   * @param session ONNX Runtime session: `photos` (1, H, W, 3) uint8 BGR to `offsets`, `scores`
   * @param constants the part `detector` of constants.json
   */
  constructor(ort, session, constants) {
    this.ort = ort;
    this.session = session;
    this.constants = constants;
    this.anchors = { key: "", values: null };
  }

  /** Faces of an RGBA photo: [{ box, score }], highest score first, in photo pixels. */
  async detect(photo) {
    const { scale, width, height } = shrunkSize(photo, this.constants);
    const region = [0, 0, photo.width, photo.height];
    const pixels = new Uint8Array(width * height * 3);
    resizeRegion(photo, region, width, height, pixels);
    const photos = new this.ort.Tensor("uint8", pixels, [1, height, width, 3]);
    const { offsets, scores } = await this.session.run({ photos });
    const found = decode(offsets.data, scores.data, this.#anchorsOf(width, height), this.constants);
    return found
      .filter((face) => face.score >= this.constants.score_threshold)
      .map((face) => ({ score: face.score, box: face.box.map((side) => side / scale) }));
  }

  #anchorsOf(width, height) {
    const key = `${width}x${height}`;
    if (this.anchors.key !== key) {
      this.anchors = { key, values: makeAnchors(width, height, this.constants.anchors) };
    }
    return this.anchors.values;
  }
}

/** The size that the network sees, cut, not rounded, to whole pixels; and its scale. */
export function shrunkSize(photo, { max_width, max_height }) {
  let scale = Math.min(1, max_height / photo.height);
  scale *= Math.min(1, max_width / (photo.width * scale));
  if (scale === 1) return { scale, width: photo.width, height: photo.height };
  return {
    scale,
    width: Math.max(Math.trunc(photo.width * scale), 1),
    height: Math.max(Math.trunc(photo.height * scale), 1),
  };
}

/** Centre x, centre y and side of every anchor, in the order of the network's outputs. */
export function makeAnchors(width, height, scales) {
  const values = [];
  for (const { stride, sizes } of scales) {
    const cell = sizes.flatMap(({ side, along }) => cellAnchors(side, along, stride));
    for (let y = 0; y < Math.ceil(height / stride); y++) {
      for (let x = 0; x < Math.ceil(width / stride); x++) {
        for (const [ax, ay, side] of cell) values.push(x * stride + ax, y * stride + ay, side);
      }
    }
  }
  return Float32Array.from(values);
}

/** One anchor lies in the middle of its cell, several on a grid that starts at its corner. */
function cellAnchors(side, along, stride) {
  if (along === 1) return [[stride / 2, stride / 2, side]];
  const steps = Array.from({ length: along }, (_, k) => (k * stride) / along);
  return steps.flatMap((y) => steps.map((x) => [x, y, side]));
}

/** Network outputs to boxes after suppression, in pixels of what the network saw. */
export function decode(offsets, scores, anchors, constants) {
  const chosen = [];
  for (let i = 0; i < scores.length; i++) {
    if (scores[i] > constants.candidate_score) chosen.push(i);
  }
  chosen.sort((a, b) => scores[b] - scores[a]);
  const [centreVariance, sizeVariance] = constants.variance;
  const candidates = chosen.slice(0, constants.max_candidates).map((i) => {
    const side = anchors[3 * i + 2];
    const x = anchors[3 * i] + offsets[4 * i] * centreVariance * side;
    const y = anchors[3 * i + 1] + offsets[4 * i + 1] * centreVariance * side;
    const halfWidth = (side * Math.exp(offsets[4 * i + 2] * sizeVariance)) / 2;
    const halfHeight = (side * Math.exp(offsets[4 * i + 3] * sizeVariance)) / 2;
    return { score: scores[i], box: [x - halfWidth, y - halfHeight, x + halfWidth, y + halfHeight] };
  });
  const kept = [];
  for (const face of candidates) {
    if (kept.every((other) => overlap(face.box, other.box) <= constants.max_overlap)) {
      kept.push(face);
    }
  }
  return kept;
}
