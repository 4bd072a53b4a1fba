// Parameters, or landmarks alone, to the vertices of a small mesh.
//
// A network that speaks an installed morphable model places that model by its own parameters; where
// its card has a bridge, they are taken to another model's first. For any other network the model
// is fitted to the 68 landmarks.

import { LandmarkFit } from "./fit.js";
import { poseToPhoto } from "./geometry.js";

const POSE = 12;

export class FaceMesh {
  /**
   * @param constants the part `mesh` of constants.json
   * @param arrays name -> array: `mean` (R, 3), `triangles`, the modes as prepare.py's packed_modes
   *   has them, and where the model is fitted `landmark_mean`, `landmark_basis` and `std`
   * @param rule the crop convention
   */
  constructor(constants, arrays, rule) {
    this.arrays = arrays;
    this.rule = rule;
    this.block = 3 * constants.block;
    this.solver = constants.source === "fit" ? new LandmarkFit(constants, arrays) : null;
  }

  /** Three vertices a triangle, flat. */
  get triangles() {
    return this.arrays.triangles;
  }

  /** Vertices of a face in photo pixels, flat. */
  vertices({ params, landmarks, roi, depth }) {
    if (this.solver) {
      const { affine, coefficients } = this.solver.fit(landmarks);
      return this.#placed(coefficients, affine);
    }
    const affine = poseToPhoto(params, roi, this.rule);
    affine[11] -= depth; // z is counted from the eyes
    return this.#placed(params.subarray(POSE), affine);
  }

  #placed(coefficients, affine) {
    const { mean } = this.arrays;
    const points = new Float64Array(Math.ceil(mean.length / this.block) * this.block);
    points.set(mean);
    this.#addModes(points, coefficients);
    const [a, b, c, tx, d, e, f, ty, g, h, k, tz] = affine;
    const out = new Float32Array(mean.length);
    for (let i = 0; i < out.length; i += 3) {
      const [x, y, z] = [points[i], points[i + 1], points[i + 2]];
      out[i] = a * x + b * y + c * z + tx;
      out[i + 1] = d * x + e * y + f * z + ty;
      out[i + 2] = g * x + h * y + k * z + tz;
    }
    return out;
  }

  /** Each mode's blocks of vertices, times its coefficient; most expressions move few. */
  #addModes(points, coefficients) {
    const { scale, starts, blocks, offsets } = this.arrays;
    const size = this.block;
    for (let mode = 0; mode < coefficients.length; mode++) {
      const amount = coefficients[mode] * scale[mode];
      if (amount === 0) continue;
      for (let number = starts[mode]; number < starts[mode + 1]; number++) {
        const from = size * number;
        const to = size * blocks[number];
        for (let i = 0; i < size; i++) points[to + i] += amount * offsets[from + i];
      }
    }
  }
}

/**
 * A linear map from a network's parameters to those of another face model, as
 * facegeo/morphable/bridge.py: pose' = pose [T(c); 0 0 0 1], and T(c) and coefficients' = (1, c) M.
 */
export class Bridge {
  /**
   * @param constants the part `bridge` of constants.json
   * @param arrays name -> array: `bridge` (1 + C, 12 + C'), and `origin_mean` (3), `origin_basis`
   *   (C', 3) of the point from which depth is counted
   */
  constructor(constants, { bridge, origin_mean, origin_basis, scale }, rule) {
    this.constants = constants;
    this.matrix = bridge;
    this.origin = { mean: origin_mean, basis: origin_basis };
    this.width = POSE + scale.length;
    this.rule = rule;
  }

  /** Parameters of the other model. */
  params(params) {
    const { target_num_shape, expression_range } = this.constants;
    const mapped = Float64Array.from(this.matrix.subarray(0, this.width));
    for (let row = 1; row < this.matrix.length / this.width; row++) {
      const amount = params[POSE + row - 1];
      const start = row * this.width;
      for (let i = 0; i < this.width; i++) mapped[i] += amount * this.matrix[start + i];
    }
    const out = new Float32Array(this.width);
    for (let row = 0; row < 3; row++) {
      const [x, y, z, t] = params.subarray(4 * row, 4 * row + 4);
      for (let column = 0; column < 4; column++) {
        const moved = x * mapped[column] + y * mapped[4 + column] + z * mapped[8 + column];
        out[4 * row + column] = moved + (column === 3 ? t : 0);
      }
    }
    for (let i = POSE; i < this.width; i++) out[i] = mapped[i];
    if (expression_range) {
      const [low, high] = expression_range;
      for (let i = POSE + target_num_shape; i < this.width; i++) {
        out[i] = Math.min(Math.max(out[i], low), high);
      }
    }
    return out;
  }

  /** Depth, photo pixels, of the eyes in the model that the parameters place. */
  depth(params, roi) {
    const { mean, basis } = this.origin;
    const affine = poseToPhoto(params, roi, this.rule);
    let depth = affine[11];
    for (let axis = 0; axis < 3; axis++) {
      let value = mean[axis];
      for (let i = POSE; i < params.length; i++) value += params[i] * basis[3 * (i - POSE) + axis];
      depth += affine[8 + axis] * value;
    }
    return depth;
  }
}
