// Face detectors: scaling, decoding and non-maximum suppression, as facegeo/detect/one_stage.py and
// facegeo/detect/faceboxes.py do them. All numbers come from models/constants.json.

import { area, overlap, resizeRegion, rint, shared, shrunk } from "./geometry.js";

/** The detector of constants.json: an object with `detect(photo)`. */
export function openDetector(ort, session, constants) {
  const kinds = { "one-stage": OneStageFaces, faceboxes: FaceBoxes };
  return new kinds[constants.architecture](ort, session, constants);
}

/** facegeo's own: the whole photo, and where it has room for large faces a small copy of it. */
export class OneStageFaces {
  /**
   * @param session ONNX Runtime session: `photos` (1, H, W, 3) uint8 BGR to `scores` (1, A) and
   *   `distances` (1, 4, A)
   * @param constants the part `detector` of constants.json
   */
  constructor(ort, session, constants) {
    this.ort = ort;
    this.session = session;
    this.constants = constants;
  }

  /** Faces of an RGBA photo: [{ box, score }], highest score first, in photo pixels. */
  async detect(photo) {
    const rules = this.constants;
    const scale = Math.min(1, rules.max_side / Math.max(photo.width, photo.height));
    const whole = scale === 1 ? photo : smaller(photo, scale);
    const longer = Math.max(whole.width, whole.height);
    const sideOf = ({ box: [x0, y0, x1, y1] }) => (x1 - x0 + y1 - y0) / 2;
    const isLarge = (face) => sideOf(face) >= rules.smallest_large_face;
    let found = await this.#search(whole, 1);
    if (longer > rules.coarse_above) {
      const large = (await this.#search(whole, rules.coarse_side / longer)).filter(isLarge);
      found = [...large, ...found.filter((face) => sideOf(face) <= rules.largest_face)];
    }
    const kept = suppressed(found, rules.max_overlap);
    const isPiece = (face) =>
      kept.some((other) => isLarge(other) && face.score <= other.score &&
        sideOf(face) * rules.piece_smaller < sideOf(other) &&
        shared(face.box, other.box) > rules.piece * area(face.box));
    return kept
      .filter((face) => !isPiece(face))
      .map(({ score, box }) => ({ score, box: box.map((side) => side / scale) }));
  }

  /** Boxes of the photo, resized bilinearly to a scale, in photo pixels, before suppression. */
  async #search(photo, scale) {
    const [width, height] = scaledSize(photo, scale);
    const bytes = resizeRegion(
      photo, [0, 0, photo.width, photo.height], width, height, new Uint8Array(width * height * 3),
    );
    const padded = this.#padded(bytes, width, height);
    const photos = new this.ort.Tensor("uint8", padded.bytes, [1, padded.height, padded.width, 3]);
    const { scores, distances } = await this.session.run({ photos });
    return this.#decoded(scores.data, distances.data, padded).map(({ box, score }) => ({
      score,
      box: box.map((side) => side / scale),
    }));
  }

  /** Black pixels at the right and below, up to multiples of what the network halves. */
  #padded(bytes, width, height) {
    const multiple = this.constants.side_multiple;
    const up = (length) => Math.ceil(length / multiple) * multiple;
    const size = { width: up(width), height: up(height) };
    const out = new Uint8Array(size.width * size.height * 3);
    for (let y = 0; y < height; y++) {
      out.set(bytes.subarray(3 * width * y, 3 * width * (y + 1)), 3 * size.width * y);
    }
    return { bytes: out, ...size };
  }

  #decoded(scores, distances, { width, height }) {
    const { strides, unit_strides, largest_log, max_candidates } = this.constants;
    const lowest = Math.max(this.constants.candidate_score, this.constants.score_threshold);
    const count = scores.length;
    const found = [];
    let index = 0;
    for (const stride of strides) {
      for (let y = 0; y < Math.ceil(height / stride); y++) {
        for (let x = 0; x < Math.ceil(width / stride); x++, index++) {
          if (scores[index] < lowest) continue;
          const reach = [0, 1, 2, 3].map((side) => {
            const log = distances[side * count + index];
            return Math.exp(Math.min(Math.max(log, -largest_log), largest_log)) * unit_strides * stride;
          });
          const [cx, cy] = [x * stride, y * stride];
          found.push({
            score: scores[index],
            box: [cx - reach[0], cy - reach[1], cx + reach[2], cy + reach[3]],
          });
        }
      }
    }
    return found.sort((a, b) => b.score - a.score).slice(0, max_candidates);
  }
}

/** An RGBA photo made smaller. */
function smaller(photo, scale) {
  const [width, height] = scaledSize(photo, scale);
  const bytes = shrunk(photo, width, height);
  const data = new Uint8Array(4 * width * height).fill(255);
  for (let i = 0, o = 0; o < data.length; i += 3, o += 4) {
    [data[o], data[o + 1], data[o + 2]] = [bytes[i + 2], bytes[i + 1], bytes[i]];
  }
  return { width, height, data };
}

function scaledSize(photo, scale) {
  if (scale === 1) return [photo.width, photo.height];
  return [photo.width, photo.height].map((length) => Math.max(rint(length * scale), 1));
}

/** Non-maximum suppression, highest score first. */
function suppressed(faces, maxOverlap) {
  const kept = [];
  for (const face of [...faces].sort((a, b) => b.score - a.score)) {
    if (kept.every((other) => overlap(face.box, other.box) <= maxOverlap)) kept.push(face);
  }
  return kept;
}

/** The released one, whose boxes facegeo's own imitates. */
export class FaceBoxes {
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
