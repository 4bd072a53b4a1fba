// Meshes of many faces on a GPU; what is computed and how the model is stored: mesh_core.h.
//
// nvcc: three kernels, found by name in the fat binary. g++ -x c++: the same paths block by block
// on the CPU, with the tensor cores' product written out, for tests.
#include "mesh_core.h"

using namespace facegeo;

#if defined(__CUDACC__)

namespace {

// sum (16 vertices x 8 faces, float32) += a (16 x 16 halves) * b (16 x 8 halves), a warp together.
__device__ __forceinline__ void multiply_add(float (&sum)[4], const Words &a, uint32_t b0,
                                             uint32_t b1) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a.w[0]), "r"(a.w[1]), "r"(a.w[2]), "r"(a.w[3]), "r"(b0), "r"(b1));
#else  // Turing: the left and the right half of the modes; the lanes hold the same numbers
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
      "{%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a.w[0]), "r"(a.w[1]), "r"(b0));
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
      "{%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a.w[2]), "r"(a.w[3]), "r"(b1));
#endif
}

// kSteps > 0: that many steps, the warp's basis stays in registers. 0: any number, read again for
// every 8 faces, from the cache.
template <int kSteps>
__device__ __forceinline__ void tensor_block(const MeshArgs &a) {
  extern __shared__ __align__(16) unsigned char shared[];
  uint16_t *weights = reinterpret_cast<uint16_t *>(shared);
  float *affine = reinterpret_cast<float *>(shared + weight_bytes(a));
  const int lane = threadIdx.x % kLanes, warp = threadIdx.x / kLanes;
  float *staged = affine + 12 * a.chunk + warp * kTileFaces * kStagedRow;

  const int64_t chunks = tensor_chunks(a);
  const int64_t first = (blockIdx.x % chunks) * a.chunk;
  const int64_t tile = (blockIdx.x / chunks) * kWarps + warp;
  prepare_faces(a, first, threadIdx.x, weights, affine);
  __syncthreads();
  if (tile >= tiles_of(a)) return;  // a whole warp; from here on warps do not meet

  constexpr int kKept = kSteps > 0 ? kSteps : 1;
  Words basis[kKept][3];
  if constexpr (kSteps > 0) {
#pragma unroll
    for (int step = 0; step < kKept; ++step) {
#pragma unroll
      for (int p = 0; p < 3; ++p) basis[step][p] = load_basis(a, tile, step, p, lane);
    }
  }
  const uint32_t *words = reinterpret_cast<const uint32_t *>(weights);
  for (int face = 0; face < a.chunk && first + face < a.batch; face += kTileFaces) {
    float sum[3][4] = {};
    if constexpr (kSteps > 0) {
#pragma unroll
      for (int step = 0; step < kKept; ++step) {
        const int word = weight_word(a, face, step, lane);
#pragma unroll
        for (int p = 0; p < 3; ++p) {
          multiply_add(sum[p], basis[step][p], words[word], words[word + 4]);
        }
      }
    } else {
      for (int step = 0; step < a.steps; ++step) {
        const int word = weight_word(a, face, step, lane);
#pragma unroll
        for (int p = 0; p < 3; ++p) {
          multiply_add(sum[p], load_basis(a, tile, step, p, lane), words[word], words[word + 4]);
        }
      }
    }
    stage(sum, affine + 12 * face, staged, lane);
    __syncwarp();
    write_staged(a, first + face, tile, staged, lane);
    __syncwarp();  // the next faces are staged in the same place
  }
}

}  // namespace

extern "C" {

__global__ void __launch_bounds__(kThreads) facegeo_mesh_scalar(const MeshArgs a) {
  scalar_thread(a, blockIdx.x, threadIdx.x);
}

__global__ void __launch_bounds__(kThreads, 4) facegeo_mesh_tensor4(const MeshArgs a) {
  tensor_block<4>(a);
}

__global__ void __launch_bounds__(kThreads, 4) facegeo_mesh_tensor(const MeshArgs a) {
  tensor_block<0>(a);
}

}  // extern "C"

#else  // the CPU

#include <stddef.h>

#include <vector>

namespace {

// The lanes' registers of one operand as a matrix, by the tables of the PTX ISA.
void operand_a(const Words (&lanes)[kLanes], float (&matrix)[16][16]) {
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 16; ++k) {
      const uint32_t word = lanes[(row % 8) * 4 + (k % 8) / 2].w[(row >= 8) + 2 * (k >= 8)];
      matrix[row][k] = k % 2 ? high_half(word) : low_half(word);
    }
  }
}

void operand_b(const uint32_t (&lanes)[kLanes][2], float (&matrix)[16][8]) {
  for (int k = 0; k < 16; ++k) {
    for (int column = 0; column < 8; ++column) {
      const uint32_t word = lanes[column * 4 + (k % 8) / 2][k >= 8];
      matrix[k][column] = k % 2 ? high_half(word) : low_half(word);
    }
  }
}

void multiply_add(float (&sums)[kLanes][3][4], int plane, const float (&a)[16][16],
                  const float (&b)[16][8]) {
  float product[16][8] = {};
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 16; ++k) {
      for (int column = 0; column < 8; ++column) product[row][column] += a[row][k] * b[k][column];
    }
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    for (int i = 0; i < 4; ++i) {
      sums[lane][plane][i] += product[lane / 4 + 8 * (i / 2)][2 * (lane % 4) + i % 2];
    }
  }
}

// The phases of tensor_block, each for all threads before the next, as its barriers order them.
void tensor_block(const MeshArgs &a, int64_t block) {
  std::vector<uint32_t> shared(static_cast<size_t>(shared_bytes(a)) / 4, 0x7fc07fc0u);  // NaN
  uint16_t *weights = reinterpret_cast<uint16_t *>(shared.data());
  float *affine = reinterpret_cast<float *>(shared.data() + weight_bytes(a) / 4);
  const int64_t chunks = tensor_chunks(a);
  const int64_t first = (block % chunks) * a.chunk;
  for (int thread = 0; thread < kThreads; ++thread) {
    prepare_faces(a, first, thread, weights, affine);
  }
  for (int warp = 0; warp < kWarps; ++warp) {
    const int64_t tile = (block / chunks) * kWarps + warp;
    if (tile >= tiles_of(a)) continue;
    float *staged = affine + 12 * a.chunk + warp * kTileFaces * kStagedRow;
    std::vector<float> basis(static_cast<size_t>(a.steps) * 3 * 256);
    auto matrices = reinterpret_cast<float (*)[16][16]>(basis.data());
    for (int i = 0; i < 3 * a.steps; ++i) {
      Words lanes[kLanes];
      for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = load_basis(a, tile, i / 3, i % 3, lane);
      operand_a(lanes, matrices[i]);
    }
    for (int face = 0; face < a.chunk && first + face < a.batch; face += kTileFaces) {
      float sums[kLanes][3][4] = {};
      for (int step = 0; step < a.steps; ++step) {
        uint32_t lanes[kLanes][2];
        for (int lane = 0; lane < kLanes; ++lane) {
          const int word = weight_word(a, face, step, lane);
          lanes[lane][0] = shared[word];
          lanes[lane][1] = shared[word + 4];
        }
        float b[16][8];
        operand_b(lanes, b);
        for (int p = 0; p < 3; ++p) multiply_add(sums, p, matrices[3 * step + p], b);
      }
      for (int lane = 0; lane < kLanes; ++lane) stage(sums[lane], affine + 12 * face, staged, lane);
      for (int lane = 0; lane < kLanes; ++lane) write_staged(a, first + face, tile, staged, lane);
    }
  }
}

}  // namespace

extern "C" {

void facegeo_mesh_scalar(const MeshArgs *a, int64_t grid) {
  for (int64_t block = 0; block < grid; ++block) {
    for (int thread = 0; thread < kThreads; ++thread) scalar_thread(*a, block, thread);
  }
}

// Returns the bytes of shared memory that a block needs.
int64_t facegeo_mesh_tensor(const MeshArgs *a, int64_t grid) {
  for (int64_t block = 0; block < grid; ++block) tensor_block(*a, block);
  return shared_bytes(*a);
}

int64_t facegeo_mesh_output_offset(int64_t vertices, int64_t n, int64_t v) {
  return output_offset(vertices, n, v);
}

uint16_t facegeo_mesh_half(float value) { return float_to_half_bits(value); }
float facegeo_mesh_float(uint16_t bits) { return half_bits_to_float(bits); }

// Size of the arguments, then the offset of each field.
int64_t facegeo_mesh_layout(int64_t *out) {
  const size_t layout[] = {
      sizeof(MeshArgs), offsetof(MeshArgs, basis), offsetof(MeshArgs, scale),
      offsetof(MeshArgs, pose), offsetof(MeshArgs, coefficients), offsetof(MeshArgs, rois),
      offsetof(MeshArgs, out), offsetof(MeshArgs, vertices), offsetof(MeshArgs, batch),
      offsetof(MeshArgs, pose_stride), offsetof(MeshArgs, coefficient_stride),
      offsetof(MeshArgs, modes), offsetof(MeshArgs, steps), offsetof(MeshArgs, chunk),
      offsetof(MeshArgs, frame), offsetof(MeshArgs, half_output), offsetof(MeshArgs, unit),
      offsetof(MeshArgs, shift), offsetof(MeshArgs, centre), offsetof(MeshArgs, size)};
  const int64_t count = sizeof layout / sizeof *layout;
  for (int64_t i = 0; i < count; ++i) out[i] = static_cast<int64_t>(layout[i]);
  return count;
}

}  // extern "C"

#endif
