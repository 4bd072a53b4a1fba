// A morphable model on 68 landmarks, as facegeo/morphable/fitting.py does it: Gauss-Newton on pose,
// shape and expression from the closed-form pose of the mean face, expressions within their limits.

import { cross, dot } from "./geometry.js";

const POINTS = 68;
const POSE = 7; // rotation vector, log scale, translation
const ITERATIONS = 7;
const PIVOTS = 10; // most rounds of holding coefficients at their limits and letting go
const SLACK = 1e-9; // standard deviations
const FLIP = [1, -1, 1]; // photo pixels have y down, the fit is done with y up

/** The model at its 68 landmarks, in millimetres and standard deviations. */
export class LandmarkFit {
  constructor(
    { unit_mm, landmark_noise_mm, num_shape, expression_range },
    { landmark_mean, landmark_basis, std, usual },
  ) {
    this.unit = unit_mm;
    this.noise = landmark_noise_mm;
    this.std = std;
    this.modes = std.length;
    const limit = (side, free) =>
      Float64Array.from(std, (value, i) => (i < num_shape ? free : expression_range[side] / value));
    this.limits = expression_range && { low: limit(0, -Infinity), high: limit(1, Infinity) };
    this.usual = usual; // the middle of the prior, in standard deviations as all coefficients here
    const size = 3 * POINTS;
    this.mean = Float64Array.from(landmark_mean);
    this.basis = Float64Array.from(landmark_basis); // 0 where an expression is not to be fitted
    this.gram = new Float64Array(this.modes * this.modes);
    for (let a = 0; a < this.modes; a++) {
      for (let b = 0; b < this.modes; b++) {
        let sum = 0;
        for (let i = 0; i < size; i++) sum += this.basis[a * size + i] * this.basis[b * size + i];
        this.gram[a * this.modes + b] = sum;
      }
    }
  }

  /** Coefficients of the model, and its 3x4 matrix to photo pixels as rows of four. */
  fit(landmarks) {
    const target = Float64Array.from(landmarks, (value, i) => value * FLIP[i % 3]);
    const state = { ...similarity(this.mean, target), coefficients: new Float64Array(this.modes) };
    const firstScale = state.scale;
    for (let i = 0; i < ITERATIONS; i++) this.#step(state, target, firstScale);
    const affine = [0, 1, 2].flatMap((row) =>
      [...state.rotation[row].map((value) => value * state.scale * this.unit),
        state.translation[row]].map((value) => value * FLIP[row]),
    );
    return { affine, coefficients: state.coefficients.map((value, i) => value * this.std[i]) };
  }

  /**
   * One Gauss-Newton step. The residual is turned into the model's frame and divided by the scale,
   * so that the model moves by w x p + d p + u + B dc; dividing by s instead of the first scale
   * changes the noise by their ratio squared.
   */
  #step(state, target, firstScale) {
    const { modes, basis } = this;
    const size = 3 * POINTS;
    const n = POSE + modes;
    const points = Float64Array.from(this.mean);
    addModes(points, basis, state.coefficients);
    const columns = [0, 1, 2].map((k) => state.rotation.map((row) => row[k]));
    const residual = new Float64Array(size);
    const jacobian = Array.from({ length: POSE }, () => new Float64Array(size));
    for (let i = 0; i < size; i += 3) {
      const away = [0, 1, 2].map((k) => target[i + k] - state.translation[k]);
      for (let k = 0; k < 3; k++) {
        residual[i + k] = dot(columns[k], away) / state.scale - points[i + k];
        jacobian[3][i + k] = points[i + k];
        jacobian[4 + k][i + k] = 1;
      }
      const [x, y, z] = points.subarray(i, i + 3);
      [jacobian[0][i + 1], jacobian[0][i + 2]] = [-z, y];
      [jacobian[1][i], jacobian[1][i + 2]] = [z, -x];
      [jacobian[2][i], jacobian[2][i + 1]] = [-y, x];
    }
    const rows = [...jacobian];
    for (let m = 0; m < modes; m++) rows.push(basis.subarray(m * size, (m + 1) * size));
    const precision = (this.noise * firstScale / state.scale) ** 2;
    const hessian = Array.from({ length: n }, () => new Float64Array(n));
    const gradient = new Float64Array(n);
    for (let a = 0; a < n; a++) {
      for (let b = 0; b <= a; b++) {
        const known = b >= POSE;
        const value = known ? this.gram[(a - POSE) * modes + b - POSE] : product(rows[a], rows[b]);
        hessian[a][b] = hessian[b][a] = value;
      }
      gradient[a] = product(rows[a], residual);
      if (a >= POSE) {
        hessian[a][a] += precision;
        gradient[a] -= precision * (state.coefficients[a - POSE] - this.usual[a - POSE]);
      }
    }
    advance(state, this.#stepWithin(state, hessian, gradient), this.limits);
  }

  /**
   * The best step that keeps coefficients within their limits, by block principal pivoting: those
   * that would leave are held there, those that are held and would rather come back are let go.
   */
  #stepWithin({ coefficients }, hessian, gradient) {
    if (!this.limits) return solveSymmetric(hessian, Float64Array.from(gradient));
    const low = this.limits.low.map((value, m) => value - coefficients[m]);
    const high = this.limits.high.map((value, m) => value - coefficients[m]);
    // -1 is held at its lower limit, 1 at its upper one; it begins as the last step ended.
    const held = Int8Array.from(low, (value, m) => (high[m] <= 0) - (value >= 0));
    let step;
    for (let round = 0; round < PIVOTS; round++) {
      step = stepOfTheFree(hessian, gradient, held, low, high);
      let changed = false;
      for (let m = 0; m < held.length; m++) {
        if (held[m]) {
          const pull = gradient[POSE + m] - product(hessian[POSE + m], step);
          if (held[m] * pull < 0) [held[m], changed] = [0, true];
        } else {
          const wanted = step[POSE + m];
          held[m] = (wanted > high[m] + SLACK) - (wanted < low[m] - SLACK);
          changed ||= held[m] !== 0;
        }
      }
      if (!changed) break;
    }
    return step;
  }
}

/** The step in which the coefficients that are held go to their limits. */
function stepOfTheFree(hessian, gradient, held, low, high) {
  const n = gradient.length;
  const isHeld = (i) => i >= POSE && held[i - POSE] !== 0;
  const free = [...gradient.keys()].filter((i) => !isHeld(i));
  const step = new Float64Array(n);
  held.forEach((side, m) => (step[POSE + m] = side < 0 ? low[m] : side > 0 ? high[m] : 0));
  const matrix = free.map((i) => Float64Array.from(free, (j) => hessian[i][j]));
  const right = Float64Array.from(free, (i) => gradient[i] - product(hessian[i], step));
  solveSymmetric(matrix, right).forEach((value, k) => (step[free[k]] = value));
  return step;
}

function addModes(points, basis, coefficients) {
  for (let mode = 0; mode < coefficients.length; mode++) {
    const amount = coefficients[mode];
    const start = mode * points.length;
    for (let i = 0; i < points.length; i++) points[i] += amount * basis[start + i];
  }
}

function advance(state, step, limits) {
  const R = state.rotation;
  const moved = R.map((row) => dot(row, step.subarray(4, 7)));
  state.translation = state.translation.map((value, k) => value + state.scale * moved[k]);
  const turn = rotationFromVector(step.subarray(0, 3));
  state.rotation = R.map((row) =>
    [0, 1, 2].map((k) => row[0] * turn[0][k] + row[1] * turn[1][k] + row[2] * turn[2][k]),
  );
  state.scale *= Math.exp(Math.min(Math.max(step[3], -0.5), 0.5));
  for (let m = 0; m < state.coefficients.length; m++) {
    const moved = state.coefficients[m] + step[POSE + m];
    state.coefficients[m] = limits ? Math.min(Math.max(moved, limits.low[m]), limits.high[m]) : moved;
  }
}

function product(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** Cholesky; the matrix is positive definite by its prior. It is overwritten. */
function solveSymmetric(A, right) {
  const n = right.length;
  const x = Float64Array.from(right);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = A[i][j];
      for (let k = 0; k < j; k++) sum -= A[i][k] * A[j][k];
      A[i][j] = i === j ? Math.sqrt(sum) : sum / A[j][j];
    }
  }
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i] -= A[i][k] * x[k];
    x[i] /= A[i][i];
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i] -= A[k][i] * x[k];
    x[i] /= A[i][i];
  }
  return x;
}

/** Rodrigues' formula. */
function rotationFromVector([x, y, z]) {
  const angle = Math.hypot(x, y, z);
  const a = angle < 1e-12 ? 1 : Math.sin(angle) / angle;
  const b = angle < 1e-12 ? 0.5 : (1 - Math.cos(angle)) / angle ** 2;
  const v = [x, y, z];
  const K = [[0, -z, y], [z, 0, -x], [-y, x, 0]];
  return K.map((row, i) =>
    row.map((k, j) => {
      const squared = v[i] * v[j] - (i === j ? angle ** 2 : 0);
      return (i === j ? 1 : 0) + a * k + b * squared;
    }),
  );
}

/** The similarity that takes points nearest to others: Horn 1987, by unit quaternions. */
export function similarity(source, target) {
  const centre = (points) =>
    [0, 1, 2].map((k) => {
      let sum = 0;
      for (let i = k; i < points.length; i += 3) sum += points[i];
      return (3 * sum) / points.length;
    });
  const from = centre(source);
  const to = centre(target);
  const S = [[0, 0, 0], [0, 0, 0], [0, 0, 0]]; // sum of target times source transposed
  let spread = 0;
  for (let i = 0; i < source.length; i += 3) {
    for (let b = 0; b < 3; b++) {
      const s = source[i + b] - from[b];
      spread += s * s;
      for (let a = 0; a < 3; a++) S[a][b] += (target[i + a] - to[a]) * s;
    }
  }
  const [w, x, y, z] = largestEigenvector([
    [S[0][0] + S[1][1] + S[2][2], S[2][1] - S[1][2], S[0][2] - S[2][0], S[1][0] - S[0][1]],
    [S[2][1] - S[1][2], S[0][0] - S[1][1] - S[2][2], S[0][1] + S[1][0], S[2][0] + S[0][2]],
    [S[0][2] - S[2][0], S[0][1] + S[1][0], S[1][1] - S[0][0] - S[2][2], S[1][2] + S[2][1]],
    [S[1][0] - S[0][1], S[2][0] + S[0][2], S[1][2] + S[2][1], S[2][2] - S[0][0] - S[1][1]],
  ]);
  const first = [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)];
  const second = [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)];
  const rotation = [first, second, cross(first, second)];
  const scale = rotation.reduce((sum, row, i) => sum + dot(row, S[i]), 0) / spread;
  const translation = to.map((value, k) => value - scale * dot(rotation[k], from));
  return { scale, rotation, translation };
}

/** Jacobi's method on a symmetric 4x4 matrix. */
function largestEigenvector(matrix) {
  const A = matrix.map((row) => [...row]);
  const V = [0, 1, 2, 3].map((i) => [0, 1, 2, 3].map((j) => (i === j ? 1 : 0)));
  for (let sweep = 0; sweep < 30; sweep++) {
    for (let p = 0; p < 3; p++) {
      for (let q = p + 1; q < 4; q++) {
        if (Math.abs(A[p][q]) < 1e-300) continue;
        const theta = Math.atan2(2 * A[p][q], A[q][q] - A[p][p]) / 2;
        const c = Math.cos(theta);
        const s = Math.sin(theta);
        for (const row of A) [row[p], row[q]] = [c * row[p] - s * row[q], s * row[p] + c * row[q]];
        for (let k = 0; k < 4; k++) {
          [A[p][k], A[q][k]] = [c * A[p][k] - s * A[q][k], s * A[p][k] + c * A[q][k]];
        }
        for (const row of V) [row[p], row[q]] = [c * row[p] - s * row[q], s * row[p] + c * row[q]];
      }
    }
  }
  const best = [0, 1, 2, 3].reduce((a, b) => (A[b][b] > A[a][a] ? b : a));
  return V.map((row) => row[best]);
}
