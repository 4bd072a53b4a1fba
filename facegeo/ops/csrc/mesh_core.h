// What the mesh kernels compute, written once for two compilers: nvcc makes the GPU's code from it,
// g++ a small library in which tests run every index computation on the CPU.
//
// Vertices of face n:  A_n (mean + sum_m c_nm basis_m) + t_n, as facegeo/ops/reference.py has it.
//
// Model: half-precision numbers between -1 and 1. A mode is stored divided by a power of two, which
// returns in `scale`; the mean is two further modes of weight 1, its rounded value and what rounding
// left, so that it keeps 22 bits. Order of storage: that in which the 32 lanes of a warp hold the
// 16 x 16 operand A of the tensor cores' m16n8k16 product (PTX ISA, "Matrix Fragments for
// mma.m16n8k16"), rows are vertices, columns are modes; x, y and z are three such matrices.
#pragma once

#include <stdint.h>

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#define FG_FN __host__ __device__ __forceinline__
#else
#include <string.h>
#define FG_FN static inline
#endif

namespace facegeo {

constexpr int kTileVertices = 16;  // vertices of a warp
constexpr int kTileFaces = 8;      // faces of one tensor-core product
constexpr int kStepModes = 16;     // modes of one tensor-core product
constexpr int kLanes = 32;
constexpr int kWarps = 4;          // of a block
constexpr int kThreads = kWarps * kLanes;
constexpr int kScalarFaces = 4;    // faces of a thread of the scalar path
constexpr int kTileNumbers = 3 * kTileVertices;
// 60 = 12 mod 16: the 32 lanes of a warp write to 32 different banks of shared memory.
constexpr int kStagedRow = 60;
// Added to a row of weights, in halves: rows start 4 banks apart, so fragments load without conflict.
constexpr int kWeightPad = 8;

enum Frame : int32_t {
  kAsPose = 0,  // the pose leads straight to the result
  kCrop = 1,    // ... to the pose's frame; the result is in crop pixels
  kPhoto = 2,   // ... and on to photo pixels by the face's region of interest
};

// Field for field the NumPy dtype in facegeo/ops/mesh_pack.py; a test compares offsets.
struct MeshArgs {
  const uint32_t *basis;      // (tiles, steps, 3, 32, 4) words of two halves
  const float *scale;         // (modes)
  const float *pose;          // 3 x 4 row-major of face n at pose + n * pose_stride
  const float *coefficients;  // of face n at coefficients + n * coefficient_stride
  const float *rois;          // (batch, 4) xyxy; read where frame is kPhoto
  void *out;                  // (batch, vertices, 3) float32 or float16
  int64_t vertices;
  int64_t batch;
  int64_t pose_stride;        // in floats
  int64_t coefficient_stride; // in floats
  int32_t modes;
  int32_t steps;              // ceil((modes + 2) / 16)
  int32_t chunk;              // faces of a block of the tensor path, a multiple of 8
  int32_t frame;
  int32_t half_output;
  float unit;                 // model units of a stored 1
  float shift;                // of the crop convention
  float centre;
  float size;                 // pixels of a crop's side
};

struct Words {  // one lane's share of a 16 x 16 operand
  uint32_t w[4];
};

FG_FN float half_bits_to_float(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
#else
  const uint32_t sign = (bits & 0x8000u) << 16, exponent = (bits >> 10) & 31u;
  const uint32_t fraction = bits & 0x3ffu;
  if (exponent == 0) {  // zero and subnormal numbers: fraction * 2^-24
    const float size = static_cast<float>(fraction) * 5.9604644775390625e-8f;
    return sign ? -size : size;
  }
  const uint32_t wide = exponent == 31 ? 0x7f800000u : (exponent + 112u) << 23;
  const uint32_t out = sign | wide | (fraction << 13);
  float value;
  memcpy(&value, &out, 4);
  return value;
#endif
}

// To the nearest, ties to even.
FG_FN uint16_t float_to_half_bits(float value) {
#if defined(__CUDA_ARCH__)
  return __half_as_ushort(__float2half_rn(value));
#else
  uint32_t bits;
  memcpy(&bits, &value, 4);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);   // NaN
  if (bits >= 0x47800000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65536 and more
  if (bits < 0x38800000u) {  // below 2^-14: add 0.5, whose last bit is worth 2^-24
    float size;
    memcpy(&size, &bits, 4);
    size += 0.5f;
    memcpy(&bits, &size, 4);
    return static_cast<uint16_t>(sign | (bits - 0x3f000000u));
  }
  bits += 0xfffu + ((bits >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((bits - 0x38000000u) >> 13));
#endif
}

FG_FN float low_half(uint32_t word) { return half_bits_to_float(word & 0xffffu); }
FG_FN float high_half(uint32_t word) { return half_bits_to_float(word >> 16); }

FG_FN int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

FG_FN int64_t tiles_of(const MeshArgs &a) { return ceil_div(a.vertices, kTileVertices); }

// Number of the first coordinate of face n, vertex v.
FG_FN int64_t output_offset(int64_t vertices, int64_t n, int64_t v) {
  return (n * vertices + v) * 3;
}

FG_FN Words load_basis(const MeshArgs &a, int64_t tile, int step, int plane, int lane) {
  const int64_t index = ((tile * a.steps + step) * 3 + plane) * kLanes + lane;
#if defined(__CUDA_ARCH__)
  const uint4 four = __ldg(reinterpret_cast<const uint4 *>(a.basis) + index);
  return Words{{four.x, four.y, four.z, four.w}};
#else
  Words words;
  memcpy(words.w, a.basis + 4 * index, sizeof words.w);
  return words;
#endif
}

FG_FN void store(const MeshArgs &a, int64_t index, float value) {
#if defined(__CUDA_ARCH__)
  // Written once and not read here: leave the cache to the basis.
  if (a.half_output) {
    __stcs(static_cast<unsigned short *>(a.out) + index, float_to_half_bits(value));
  } else {
    __stcs(static_cast<float *>(a.out) + index, value);
  }
#else
  if (a.half_output) {
    static_cast<uint16_t *>(a.out)[index] = float_to_half_bits(value);
  } else {
    static_cast<float *>(a.out)[index] = value;
  }
#endif
}

// Weight of stored mode k for face n; modes beyond the mean's two are padding.
FG_FN float weight(const MeshArgs &a, int64_t n, int k) {
  if (k < a.modes) return a.coefficients[n * a.coefficient_stride + k] * a.scale[k];
  return k < a.modes + 2 ? 1.0f : 0.0f;
}

// 3 x 4 row-major: stored model to the result's frame. The formulas are those of facegeo/crop.py.
FG_FN void face_affine(const MeshArgs &a, int64_t n, float *m) {
  const float *pose = a.pose + n * a.pose_stride;
  for (int i = 0; i < 12; ++i) m[i] = pose[i];
  if (a.frame != kAsPose) {
    for (int i = 4; i < 8; ++i) m[i] = -m[i];  // y down
    m[3] -= a.shift;
    m[7] += a.size - 1.0f + a.shift;
    m[11] -= a.shift;
  }
  if (a.frame == kPhoto) {
    const float *roi = a.rois + 4 * n;
    const float sx = (roi[2] - roi[0]) / a.size, sy = (roi[3] - roi[1]) / a.size;
    const float sz = 0.5f * (sx + sy);
    for (int j = 0; j < 4; ++j) {
      m[j] *= sx;
      m[4 + j] *= sy;
      m[8 + j] *= sz;
    }
    m[3] += roi[0] + a.centre * (sx - 1.0f);
    m[7] += roi[1] + a.centre * (sy - 1.0f);
  }
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) m[4 * i + j] *= a.unit;
  }
}

FG_FN float placed(const float *row, float x, float y, float z) {
  return row[0] * x + (row[1] * y + (row[2] * z + row[3]));
}

// ---- scalar path: a thread has two vertices, 8 apart, of a few faces --------------------------

FG_FN int64_t scalar_groups(const MeshArgs &a) { return ceil_div(a.batch, kScalarFaces); }

FG_FN void scalar_thread(const MeshArgs &a, int64_t block, int thread) {
  const int64_t groups = scalar_groups(a);
  // Neighbouring blocks share vertices, so the basis is read from memory once.
  const int64_t first = (block % groups) * kScalarFaces;
  const int64_t pair = (block / groups) * kThreads + thread;
  const int64_t tile = pair / 8;
  const int row = static_cast<int>(pair % 8);
  if (tile >= tiles_of(a)) return;

  float sum[kScalarFaces][2][3];
  for (int f = 0; f < kScalarFaces; ++f) {
    for (int p = 0; p < 3; ++p) sum[f][0][p] = sum[f][1][p] = 0.0f;
  }
  for (int step = 0; step < a.steps; ++step) {
    for (int t = 0; t < 4; ++t) {
      const int k = step * kStepModes + 2 * t;
      Words words[3];
      for (int p = 0; p < 3; ++p) words[p] = load_basis(a, tile, step, p, row * 4 + t);
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
      for (int f = 0; f < kScalarFaces; ++f) {
        // Faces beyond the batch repeat the last one and are not written.
        const int64_t n = first + f < a.batch ? first + f : a.batch - 1;
        const float w0 = weight(a, n, k), w1 = weight(a, n, k + 1);
        const float w8 = weight(a, n, k + 8), w9 = weight(a, n, k + 9);
        for (int p = 0; p < 3; ++p) {
          const uint32_t *w = words[p].w;
          sum[f][0][p] += low_half(w[0]) * w0 + high_half(w[0]) * w1;
          sum[f][1][p] += low_half(w[1]) * w0 + high_half(w[1]) * w1;
          sum[f][0][p] += low_half(w[2]) * w8 + high_half(w[2]) * w9;
          sum[f][1][p] += low_half(w[3]) * w8 + high_half(w[3]) * w9;
        }
      }
    }
  }
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
  for (int f = 0; f < kScalarFaces; ++f) {
    const int64_t n = first + f;
    if (n >= a.batch) break;
    float m[12];
    face_affine(a, n, m);
    for (int r = 0; r < 2; ++r) {
      const int64_t v = tile * kTileVertices + row + 8 * r;
      if (v >= a.vertices) continue;
      const int64_t index = output_offset(a.vertices, n, v);
      for (int i = 0; i < 3; ++i) {
        store(a, index + i, placed(m + 4 * i, sum[f][r][0], sum[f][r][1], sum[f][r][2]));
      }
    }
  }
}

// ---- tensor path: a warp has 16 vertices of a chunk of faces, 8 faces at a time ---------------

FG_FN int64_t tensor_chunks(const MeshArgs &a) { return ceil_div(a.batch, a.chunk); }

FG_FN int weight_pitch(const MeshArgs &a) { return a.steps * kStepModes + kWeightPad; }

// Shared memory of a block: weights of its faces, their affine maps, a staging area a warp.
FG_FN int64_t weight_bytes(const MeshArgs &a) { return int64_t{2} * a.chunk * weight_pitch(a); }
FG_FN int64_t affine_bytes(const MeshArgs &a) { return int64_t{48} * a.chunk; }
FG_FN int64_t shared_bytes(const MeshArgs &a) {
  return weight_bytes(a) + affine_bytes(a) + int64_t{4} * kWarps * kTileFaces * kStagedRow;
}

// One thread's share of the block's weights and affine maps; faces beyond the batch are zero.
FG_FN void prepare_faces(const MeshArgs &a, int64_t first, int thread, uint16_t *weights,
                         float *affine) {
  const int modes = a.steps * kStepModes, pitch = weight_pitch(a);
  for (int i = thread; i < a.chunk * modes; i += kThreads) {
    const int f = i / modes, k = i % modes;
    const bool real = first + f < a.batch;
    weights[f * pitch + k] = float_to_half_bits(real ? weight(a, first + f, k) : 0.0f);
  }
  for (int f = thread; f < a.chunk; f += kThreads) {
    if (first + f < a.batch) {
      face_affine(a, first + f, affine + 12 * f);
    } else {
      for (int i = 0; i < 12; ++i) affine[12 * f + i] = 0.0f;
    }
  }
}

// Words of operand B, 16 modes x 8 faces, that a lane holds: at these places of the weights.
FG_FN int weight_word(const MeshArgs &a, int face, int step, int lane) {
  return ((face + lane / 4) * weight_pitch(a)) / 2 + step * (kStepModes / 2) + lane % 4;
}

// A lane's four sums of each plane, vertices lane/4 and lane/4 + 8, faces 2(lane%4) and the next.
FG_FN void stage(const float (&sum)[3][4], const float *affine, float *staged, int lane) {
  const int row = lane / 4, column = 2 * (lane % 4);
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
  for (int j = 0; j < 2; ++j) {
    const float *m = affine + 12 * (column + j);
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
    for (int r = 0; r < 2; ++r) {
      float *point = staged + (column + j) * kStagedRow + 3 * (row + 8 * r);
      const float x = sum[0][2 * r + j], y = sum[1][2 * r + j], z = sum[2][2 * r + j];
      for (int i = 0; i < 3; ++i) point[i] = placed(m + 4 * i, x, y, z);
    }
  }
}

// The staged 8 faces x 48 numbers to memory, neighbouring lanes to neighbouring addresses.
FG_FN void write_staged(const MeshArgs &a, int64_t first, int64_t tile, const float *staged,
                        int lane) {
  const int64_t row = 3 * a.vertices, column = tile * kTileNumbers;
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
  for (int r = 0; r < 3; ++r) {  // 3 x 32 lanes = 2 faces x 48 numbers
    const int place = r * kLanes + lane;
    const int odd = place / kTileNumbers, c = place % kTileNumbers;
    if (column + c >= row) continue;
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
    for (int q = 0; q < kTileFaces / 2; ++q) {
      const int f = 2 * q + odd;
      if (first + f >= a.batch) break;
      store(a, (first + f) * row + column + c, staged[f * kStagedRow + c]);
    }
  }
}

}  // namespace facegeo
