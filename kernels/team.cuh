// A team: the threads that work on one system together.
//
// Up to 32 threads of one warp, several teams to a warp (WARP), or all threads of a block (BLOCK).
// Loops over the entries of a matrix are flattened, so that lanes are used whatever its shape.

#ifndef MECHANISTIC_TEAM_CUH
#define MECHANISTIC_TEAM_CUH

#include <cuda_pipeline.h>

#include "team_parameters.h"

enum Kind {
    WARP,   // team within a warp, window in shared memory
    BLOCK,  // a block, window in shared memory
    GLOBAL  // a block, window in global memory
};

template <Kind KIND>
struct Team {
    int rank;
    int size;
    unsigned lanes;  // of the warp that belong to the team

    // Waits for the team and makes its writes visible to it.
    __device__ void sync() const
    {
        if (KIND == WARP)
            __syncwarp(lanes);
        else
            __syncthreads();
    }
};

// Division by a number known at launch, of numbers below 2^16.
struct Divisor {
    int divisor;
    unsigned reciprocal;  // ⌈2^32 / divisor⌉

    __device__ explicit Divisor(int divisor)
        : divisor(divisor), reciprocal(divisor == 1 ? 0 : 0xffffffffu / divisor + 1)
    {
    }
    __device__ int quotient(int number) const
    {
        return divisor == 1 ? number : int(__umulhi(unsigned(number), reciprocal));
    }
    // Largest multiple that is not above.
    __device__ int multiple(int number) const { return quotient(number) * divisor; }
};

// Column of entry `index` of an upper triangle whose entries are counted down its columns; its row is
// index − column·(column + 1)/2. The root is exact where it matters: (c + ½)² is representable.
__device__ inline int triangle_column(int index)
{
    return int(__fsqrt_rn(2.0f * float(index) + 0.25f) - 0.5f);
}
__device__ inline int triangle(int columns) { return columns * (columns + 1) / 2; }

// Deals out memory.
struct Carver {
    char *next;

    template <class T>
    __device__ T *take(int count)
    {
        T *values = reinterpret_cast<T *>(next);
        next += (size_t(count) * sizeof(T) + 7) / 8 * 8;
        return values;
    }
};

#endif
