// A team: the threads that work on one system together.
//
// Up to 32 threads of one warp, several teams to a warp (WARP, CHUNK), or all threads of a block,
// or half of them (TWISTED).

#ifndef MECHANISTIC_TEAM_CUH
#define MECHANISTIC_TEAM_CUH

#include <cuda_pipeline.h>

#include "team/parameters.h"

enum Kind {
    WARP,    // team within a warp, working in shared memory
    BLOCK,   // a block, working in shared memory
    GLOBAL,  // a block, working in global memory
    CHUNK,   // team within a warp, working in shared memory on a chunk of the block's system
    TWISTED  // half of a block, working in shared memory on half of the block's system
};

// The most threads of a block of warp kernels, and of a block of the other kernels. With registers
// for so many threads of block and twisted kernels, a multiprocessor holds three of their usual
// blocks of 128, or two of 192.
constexpr int WARP_BLOCK = 128;
constexpr int MOST_BLOCK = 256;
constexpr int SHARED_BLOCK = 384;
constexpr int most_threads(Kind kind) {
    return kind == WARP ? WARP_BLOCK : kind == BLOCK || kind == TWISTED ? SHARED_BLOCK : MOST_BLOCK;
}

// Makes instances of the kernel team_<operation> for each kind of team. They compute in double
// precision. Operations on the factor of a whole system have no instance for teams that share one.
#define TEAM_INSTANCE(operation, Parameters, KIND, kind)                                           \
    extern "C" __global__ void __launch_bounds__(most_threads(KIND), 1) team_##operation##_##kind( \
        const __grid_constant__ TeamPlan plan, const __grid_constant__ Parameters parameters) {    \
        team_##operation<KIND>(plan, parameters);                                                  \
    }
#define TEAM_WHOLE_INSTANCES(operation, Parameters)    \
    TEAM_INSTANCE(operation, Parameters, WARP, warp)   \
    TEAM_INSTANCE(operation, Parameters, BLOCK, block) \
    TEAM_INSTANCE(operation, Parameters, GLOBAL, global)
#define TEAM_INSTANCES(operation, Parameters)          \
    TEAM_WHOLE_INSTANCES(operation, Parameters)        \
    TEAM_INSTANCE(operation, Parameters, CHUNK, chunk) \
    TEAM_INSTANCE(operation, Parameters, TWISTED, twisted)

// What works on points by itself, without waiting for the rest of a system's threads: a warp of a
// block, or a team within a warp.
template <Kind KIND>
constexpr Kind PART_OF = KIND == BLOCK || KIND == GLOBAL || KIND == TWISTED ? WARP : KIND;

// Whether the teams of a block share a system.
template <Kind KIND>
constexpr bool IS_SHARED = KIND == CHUNK || KIND == TWISTED;

template <Kind KIND>
struct Team {
    int rank;
    int size;
    unsigned lanes;  // of the warp that belong to the team
    int barrier;     // of the team, if it is half of a block

    // Waits for the team and makes its writes visible to it.
    __device__ void sync() const {
        if (KIND == WARP || KIND == CHUNK) {
            __syncwarp(lanes);
        } else if (KIND == TWISTED) {
            asm volatile("bar.sync %0, %1;" : : "r"(barrier), "r"(size) : "memory");
        } else {
            __syncthreads();
        }
    }
};

// Division by a number d that is known at launch. With s = ⌈log2 d⌉ and r = ⌈2^(31+s) / d⌉, which
// has 32 bits, n·r exceeds n/d·2^(31+s) by less than 2^31·2^s/d for n < 2^31, too little to reach
// the next quotient: exact for all numbers that are not negative.
struct Divisor {
    int divisor;
    int shift;            // s − 1
    unsigned reciprocal;  // r

    __device__ explicit Divisor(int divisor) : divisor(divisor), shift(0), reciprocal(0) {
        if (divisor > 1) {
            shift = 31 - __clz(divisor - 1);
            reciprocal = unsigned(((uint64_t(1) << (32 + shift)) + unsigned(divisor) - 1) /
                                  unsigned(divisor));
        }
    }
    __device__ int quotient(int number) const {
        return divisor == 1 ? number : int(__umulhi(unsigned(number), reciprocal) >> shift);
    }
    // Returns the largest multiple of d that is not above the number.
    __device__ int multiple(int number) const { return quotient(number) * divisor; }
};

// Returns the column of entry `index` of an upper triangle whose entries are counted down its
// columns; its row is index − column·(column + 1)/2. Below 2^21 the rounding of single precision
// cannot reach the next column, because (c + ½)² is representable; above, the result is corrected.
__device__ inline int triangle_column(int index) {
    int column = int(__fsqrt_rn(2.0f * float(index) + 0.25f) - 0.5f);
    if (index >= 1 << 21) {
        const int64_t twice = 2 * int64_t(index);
        while (int64_t(column) * (column + 1) > twice) {
            --column;
        }
        while (int64_t(column + 1) * (column + 2) <= twice) {
            ++column;
        }
    }
    return column;
}
__device__ inline int triangle(int columns) {
    return columns * (columns + 1) / 2;
}

// Walks over the entries of a matrix row by row, the threads of a team side by side.
struct Walk {
    int row, column;
    const int width, rows_ahead, columns_ahead;

    template <Kind KIND>
    __device__ Walk(const Team<KIND> &team, const Divisor &by_width)
        : row(by_width.quotient(team.rank)),
          column(team.rank - by_width.multiple(team.rank)),
          width(by_width.divisor),
          rows_ahead(by_width.quotient(team.size)),
          columns_ahead(team.size - by_width.multiple(team.size)) {}
    __device__ void advance() {
        row += rows_ahead;
        column += columns_ahead;
        if (column >= width) {
            column -= width;
            ++row;
        }
    }
};

// An array in the memory of a block or a team, by its place in the layout.
__device__ inline double *array(char *memory, uint32_t place) {
    return reinterpret_cast<double *>(memory + size_t(16) * place);
}

#endif
