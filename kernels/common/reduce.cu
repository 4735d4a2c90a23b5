// Adds up partial sums.
//
//     target[s][v] = Σ_g partials[s][g][v],   partials (S, G, V), row-major, in double
//
// The kernel serves the gradients of what all systems of a batch share: every group of systems
// writes its own row of partial sums, and this kernel adds the rows up. So it does for what all
// points of a system share, if the points are spread over blocks: then every system s has a set of
// rows. The V columns belong to up
// to five arrays, one after another (SumTargets); columns that are not wanted are not read.
//
// Grid: x = S·ceil(V / 32). Block: (32, 16); thread (x, y) adds the rows g = y (mod 16) of its
// column in ascending order, thread (x, 0) then the 16 results in ascending order: the order
// depends on G alone, so the sums are the same in every run. Shared memory: 4 KiB, static. A warp
// reads 32 neighboring values of a row. Aliasing: the targets overlap neither each other nor the
// partial sums.

#include "common/storage.cuh"

namespace {

constexpr int COLUMNS = 32;
constexpr int ROWS = 16;

// The target that a column belongs to, and the place of the column's sum in it.
struct Place {
    void *data;  // null where the sum is not wanted, or beyond the last column
    int64_t index;
    int storage;
};

__device__ Place place_of(const SumTargets &targets, int64_t set, int64_t column) {
    for (const SumTarget &target : targets.targets) {
        if (column < target.values) {
            return {target.data, set * target.set + column, target.storage};
        }
        column -= target.values;
    }
    return {nullptr, 0, 0};
}

}  // namespace

extern "C" __global__ void __launch_bounds__(COLUMNS *ROWS)
    sum_partials(const double *__restrict__ partials, int64_t groups, int64_t values,
                 SumTargets targets) {
    __shared__ double parts[ROWS][COLUMNS];
    const int64_t across = (values + COLUMNS - 1) / COLUMNS;
    const int64_t set = blockIdx.x / across;
    const int64_t column = blockIdx.x % across * COLUMNS + threadIdx.x;
    const Place place = place_of(targets, set, column);
    double sum = 0;
    if (place.data) {
        for (int64_t group = threadIdx.y; group < groups; group += ROWS) {
            sum += partials[(set * groups + group) * values + column];
        }
    }
    parts[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || !place.data) {
        return;
    }
    for (int row = 1; row < ROWS; ++row) {
        sum += parts[row][threadIdx.x];
    }
    write(place.data, place.storage, place.index, sum);
}
