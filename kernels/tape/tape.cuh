// Functions that several of the tape's kernels share: positions in a walk, sums and other folds
// over the threads of a block.

#pragma once

#include "tape/parameters.h"

namespace tape {

constexpr int THREADS = 256;  // of every block
constexpr int ITEMS = 4;      // elements of a thread in the elementwise kernels

// Computes the offsets of element i of the walk in operands FIRST, FIRST + 1, …, FIRST + COUNT − 1.
// The loop has constant bounds, so the walk stays in the constant bank.
template <int FIRST, int COUNT>
__device__ __forceinline__ void locate(const Walk &walk, int64_t i, int64_t (&offset)[COUNT]) {
#pragma unroll
    for (int m = 0; m < COUNT; ++m) {
        offset[m] = 0;
    }
#pragma unroll
    for (int axis = TAPE_AXES - 1; axis >= 0; --axis) {
        if (axis < walk.axes) {
            int64_t at = i;
            if (axis > 0) {
                const int64_t rest = i / walk.length[axis];
                at = i - rest * walk.length[axis];
                i = rest;
            }
#pragma unroll
            for (int m = 0; m < COUNT; ++m) {
                offset[m] += at * walk.stride[FIRST + m][axis];
            }
        }
    }
}

// Calls `body` with each of the thread's elements.
template <typename Body>
__device__ __forceinline__ void for_each(int64_t size, Body body) {
    const int64_t first = int64_t(blockIdx.x) * (THREADS * ITEMS) + threadIdx.x;
#pragma unroll
    for (int item = 0; item < ITEMS; ++item) {
        const int64_t i = first + item * THREADS;
        if (i < size) {
            body(i);
        }
    }
}

// Folds the values of `lanes` threads (a power of two) that stand `apart` in the block into the
// first of them, in the same order every time. `room` has a place for each thread of the block; all
// threads take part.
template <typename V, typename Combine>
__device__ __forceinline__ V fold(V value, V *room, int lane, int lanes, int apart,
                                  Combine combine) {
    room[threadIdx.x] = value;
    for (int half = lanes / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane < half) {
            value = combine(value, room[threadIdx.x + half * apart]);
            room[threadIdx.x] = value;
        }
    }
    return value;
}

struct Add {
    __device__ double operator()(double a, double b) const { return a + b; }
};

}  // namespace tape
