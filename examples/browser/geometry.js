// Photos, crops and regions of interest: the rules of facegeo/geometry/crop.py and facegeo/geometry/pose.py.
//
// Photo pixels: x right, y down, the origin at the centre of the top-left pixel; z towards the
// viewer. A photo is { data, width, height }, RGBA bytes; a box or region is [x0, y0, x1, y1];
// points are flat, x y z x y z ...

/** Nearest integer, halves to the even one, as NumPy's rint. */
export function rint(value) {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}

/**
 * Where a bilinear resize samples along one axis, pixel centres matched: output i lies at
 * (i + 0.5) * length / size - 0.5. Weights are whole 2048ths, as OpenCV has them for bytes.
 */
function taps(length, size) {
  const scale = 1 / (size / length);
  return Array.from({ length: size }, (_, i) => {
    const at = Math.fround((i + 0.5) * scale - 0.5);
    const index = Math.floor(at);
    const share = Math.fround(at - index);
    return { index, near: rint(Math.fround(1 - share) * 2048), far: rint(share * 2048) };
  });
}

/**
 * A region of a photo resized bilinearly, bit for bit as cv2.resize does it with bytes: a rounding
 * of its own would move landmarks by tenths of a pixel. What lies outside the photo is black.
 *
 * @param photo RGBA
 * @param region whole numbers
 * @param out Uint8Array of width * height * 3, filled with BGR
 */
export function resizeRegion(photo, region, width, height, out) {
  const [x0, y0, x1, y1] = region;
  const limit = (index, length) => Math.min(Math.max(index, 0), length - 1);
  const isIn = (x) => x0 + x >= 0 && x0 + x < photo.width;
  // Byte offsets in the photo's rows, and weights: none for what lies outside the photo.
  const left = new Int32Array(width);
  const right = new Int32Array(width);
  const near = new Int32Array(width);
  const far = new Int32Array(width);
  taps(x1 - x0, width).forEach((tap, i) => {
    const first = limit(tap.index, x1 - x0);
    const second = limit(tap.index + 1, x1 - x0);
    left[i] = isIn(first) ? 4 * (x0 + first) : 0;
    right[i] = isIn(second) ? 4 * (x0 + second) : 0;
    // At the region's edges its last column alone counts.
    near[i] = isIn(first) ? (first === second || tap.index < 0 ? 2048 : tap.near) : 0;
    far[i] = isIn(second) && first !== second && tap.index >= 0 ? tap.far : 0;
  });

  const { data } = photo;
  const resizedRow = (y, line) => {
    if (y0 + y < 0 || y0 + y >= photo.height) return line.fill(0);
    const start = 4 * photo.width * (y0 + y);
    for (let i = 0, o = 0; i < width; i++) {
      const a = start + left[i];
      const b = start + right[i];
      const wa = near[i];
      const wb = far[i];
      line[o++] = data[a + 2] * wa + data[b + 2] * wb;
      line[o++] = data[a + 1] * wa + data[b + 1] * wb;
      line[o++] = data[a] * wa + data[b] * wb;
    }
    return line;
  };

  let upper = { y: NaN, line: new Int32Array(3 * width) };
  let lower = { y: NaN, line: new Int32Array(3 * width) };
  let position = 0;
  for (const tap of taps(y1 - y0, height)) {
    const top = limit(tap.index, y1 - y0);
    const bottom = limit(tap.index + 1, y1 - y0);
    if (lower.y === top) [upper, lower] = [lower, upper];
    if (upper.y !== top) Object.assign(upper, { y: top, line: resizedRow(top, upper.line) });
    if (lower.y !== bottom) Object.assign(lower, { y: bottom, line: resizedRow(bottom, lower.line) });
    const a = upper.line;
    const b = lower.line;
    for (let i = 0; i < a.length; i++) {
      const sum = ((tap.near * (a[i] >> 4)) >> 16) + ((tap.far * (b[i] >> 4)) >> 16);
      out[position++] = (sum + 2) >> 2;
    }
  }
  return out;
}

/** Square regions of a photo as one batch for the landmark network: BGR, size x size x 3 each. */
export function cropFaces(photo, rois, size) {
  const bytes = size * size * 3;
  const crops = new Uint8Array(rois.length * bytes);
  rois.forEach((roi, n) => {
    resizeRegion(photo, roi, size, size, crops.subarray(n * bytes, (n + 1) * bytes));
  });
  return crops;
}

/**
 * A photo made smaller, each pixel the mean of the area that it covers, as OpenCV's INTER_AREA.
 *
 * @param photo RGBA
 * @returns BGR bytes
 */
export function shrunk(photo, width, height) {
  const columns = coverage(photo.width, width);
  const rows = coverage(photo.height, height);
  const { data } = photo;
  const out = new Uint8Array(width * height * 3);
  const lines = new Map(); // rows of the photo, shrunk along x; each serves two rows at most
  const lineOf = (y) => {
    const line = new Float32Array(3 * width);
    const start = 4 * photo.width * y;
    columns.forEach(({ first, shares }, x) => {
      shares.forEach((share, k) => {
        const from = start + 4 * (first + k);
        for (let c = 0; c < 3; c++) line[3 * x + c] += data[from + 2 - c] * share;
      });
    });
    return line;
  };
  rows.forEach(({ first, shares }, y) => {
    const sum = new Float32Array(3 * width);
    shares.forEach((share, k) => {
      const row = first + k;
      if (!lines.has(row)) lines.set(row, lineOf(row));
      lines.get(row).forEach((value, i) => (sum[i] += value * share));
      if (k < shares.length - 1) lines.delete(row);
    });
    out.set(sum.map(rint), 3 * width * y);
  });
  return out;
}

/** Of each of `size` pixels along an axis of `length`: the first that it covers, and their shares. */
function coverage(length, size) {
  const scale = length / size;
  return Array.from({ length: size }, (_, i) => {
    const [start, end] = [i * scale, Math.min((i + 1) * scale, length)];
    const first = Math.floor(start);
    const last = Math.min(Math.ceil(end), length);
    const shares = Array.from({ length: last - first }, (_, k) => {
      const low = Math.max(start, first + k);
      return Math.max(0, Math.min(end, first + k + 1) - low) / (end - start);
    });
    return { first, shares };
  });
}

function square(centreX, centreY, side) {
  const x = rint(centreX - side / 2);
  const y = rint(centreY - side / 2);
  return [x, y, x + rint(side), y + rint(side)];
}

/** The region around a detector's box; `rule` has `enlargement` and `centre_drop`. */
export function roiFromBox([left, top, right, bottom], rule) {
  const size = (right - left + bottom - top) / 2;
  const centreY = (top + bottom) / 2 + rule.centre_drop * size;
  return square((left + right) / 2, centreY, Math.floor(rule.enlargement * size));
}

/** The region around known landmarks, by which a face is followed. */
export function roiFromLandmarks(points) {
  const [x0, y0, x1, y1] = boundingBox(points);
  const radius = Math.max(x1 - x0, y1 - y0) / 2;
  return square((x0 + x1) / 2, (y0 + y1) / 2, 2 * Math.SQRT2 * radius);
}

/** Whether a face can be read from a region. */
export function isInside(roi, width, height, rule) {
  if (!roi.every(Number.isFinite)) return false;
  const [x0, y0, x1, y1] = roi;
  const side = Math.max(x1 - x0, y1 - y0);
  const overlaps = x1 > 0 && y1 > 0 && x0 < width && y0 < height;
  return x1 - x0 >= 1 && y1 - y0 >= 1 && overlaps && side <= rule.largest * Math.max(width, height);
}

/** The box around points. */
export function boundingBox(points) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 3) {
    box[0] = Math.min(box[0], points[i]);
    box[1] = Math.min(box[1], points[i + 1]);
    box[2] = Math.max(box[2], points[i]);
    box[3] = Math.max(box[3], points[i + 1]);
  }
  return box;
}

/** The area of a box. */
export const area = ([x0, y0, x1, y1]) => (x1 - x0) * (y1 - y0);

/** The area that two boxes share. */
export function shared(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  return Math.max(width, 0) * Math.max(height, 0);
}

/** Intersection over union. */
export function overlap(a, b) {
  const both = shared(a, b);
  return both > 0 ? both / (area(a) + area(b) - both) : 0;
}

/** Scale and offset of each axis from crop pixels to photo pixels. */
function cropToPhotoMap(roi, rule) {
  const sx = (roi[2] - roi[0]) / rule.size;
  const sy = (roi[3] - roi[1]) / rule.size;
  return {
    scale: [sx, sy, (sx + sy) / 2],
    offset: [roi[0] + rule.centre * (sx - 1), roi[1] + rule.centre * (sy - 1), 0],
  };
}

/**
 * Points of a crop to photo pixels; `rule` has `size`, `shift` and `centre`. `size` is the side of
 * the crop that the points are in, whatever the `side` of the crops that the network takes.
 */
export function cropToPhoto(points, roi, rule) {
  const { scale, offset } = cropToPhotoMap(roi, rule);
  return Float32Array.from(points, (value, i) => value * scale[i % 3] + offset[i % 3]);
}

/** Landmarks with z counted from the outer eye corners, and the depth that was taken off. */
export function depthFromEyes(points, { depth_origin }) {
  const sum = depth_origin.reduce((total, k) => total + points[3 * k + 2], 0);
  const depth = sum / depth_origin.length;
  return { depth, landmarks: points.map((value, i) => (i % 3 === 2 ? value - depth : value)) };
}

/**
 * The 12 pose parameters and the crop folded into one 3x4 matrix, rows of four: model units to
 * photo pixels.
 */
export function poseToPhoto(pose, roi, rule) {
  const { scale, offset } = cropToPhotoMap(roi, rule);
  const mirror = [1, -1, 1];
  const origin = [-rule.shift, rule.size - 1 + rule.shift, -rule.shift];
  return Array.from({ length: 12 }, (_, i) => {
    const axis = Math.floor(i / 4);
    const inCrop = mirror[axis] * pose[i] + (i % 4 === 3 ? origin[axis] : 0);
    return inCrop * scale[axis] + (i % 4 === 3 ? offset[axis] : 0);
  });
}

/** Yaw, pitch and roll in degrees of the rotation nearest to a model-to-photo matrix. */
export function angles(affine) {
  const matrix = [0, 1, 2].map((row) =>
    [0, 1, 2].map((column) => (row === 1 ? -1 : 1) * affine[4 * row + column]),
  );
  const R = nearestRotation(matrix);
  const yaw = Math.atan2(-R[0][2], Math.hypot(R[1][2], R[2][2]));
  const pitch = Math.atan2(R[1][2], R[2][2]);
  const middle = [0, 1].map((k) => Math.cos(pitch) * R[1][k] - Math.sin(pitch) * R[2][k]);
  const degrees = 180 / Math.PI;
  return {
    yaw: yaw * degrees,
    pitch: pitch * degrees,
    roll: Math.atan2(-middle[0], middle[1]) * degrees,
  };
}

/** Polar decomposition by Newton's iteration X <- (X + X^-T) / 2 (Higham 1986). */
function nearestRotation(matrix) {
  const size = Math.hypot(...matrix.flat()) / Math.sqrt(3) || 1;
  let X = matrix.map((row) => row.map((value) => value / size));
  for (let step = 0; step < 12; step++) {
    const cofactor = [0, 1, 2].map((i) => cross(X[(i + 1) % 3], X[(i + 2) % 3]));
    const determinant = dot(X[0], cofactor[0]);
    if (Math.abs(determinant) < 1e-12) return [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
    X = X.map((row, i) => row.map((value, j) => (value + cofactor[i][j] / determinant) / 2));
  }
  return X;
}

export function cross(a, b) {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

export function dot(a, b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
