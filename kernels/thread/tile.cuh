// The systems in the lanes of a warp: a system each (Tile), or a chunk of the time axis of a system
// each (ChunkTile). Sweeps over the time points are written for both. They count a lane's points
// from 0 on, and the warp goes through them in step; `has` tells whether a lane has that many.

#ifndef MECHANISTIC_THREAD_TILE_CUH
#define MECHANISTIC_THREAD_TILE_CUH

#include "common/storage.cuh"
#include "thread/parameters.h"

namespace thread {

constexpr int LANES = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

// This thread's number in its block and the block's in the grid, which the compiler takes for other
// numbers each time. So what one sweep derives from them is not kept in registers for the next.
__device__ inline int thread_number() {
    int number;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(number));
    return number;
}
__device__ inline int block_number() {
    int number;
    asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(number));
    return number;
}

// The 32 systems of a warp; surplus lanes repeat the last system and write nothing.
struct Tile {
    static constexpr bool CHUNKED = false;

    const ThreadProblem &common;
    int64_t index;  // of the tile, and of its partial sums
    int64_t first;
    int lane;

    __device__ explicit Tile(const ThreadProblem &common)
        : common(common), index(block_number()), first(index * LANES), lane(thread_number()) {}
    __device__ int64_t system(int lane) const {
        return min(first + lane, common.problem.batch - 1);
    }
    // Returns how many lanes have a system of their own: all before the first that has none.
    __device__ int held() const { return int(min(int64_t(LANES), common.problem.batch - first)); }
    __device__ bool holds(int lane) const { return lane < held(); }

    // Returns the number of points of a sweep.
    __device__ int points() const { return int(common.problem.points); }
    // Returns the number of points of this lane.
    __device__ int own_points() const { return points(); }
    __device__ static bool has(int) { return true; }
    // Returns the number of a lane's point t in its system; `last` tells whether no other point
    // follows there.
    __device__ static int point(int t) { return t; }
    __device__ bool last(int t) const { return t + 1 == points(); }
    __device__ static bool separates(int) { return false; }

    // Returns whether all lanes read the same values of an array with these distances.
    __device__ static bool shared(int64_t between, int) { return between == 0; }
    // Returns the place of the values of a lane's points: index of the first, its distance to that
    // of lane 0, how many exist.
    __device__ int64_t start(int lane, int64_t between, int) const {
        return system(lane) * between;
    }
    __device__ int distance(int lane, int64_t between, int) const {
        return min(lane, held() - 1) * int(between);
    }
    __device__ static int run(int, const ThreadRing &ring, int) { return ring.values; }

    __device__ static void barrier() { __syncwarp(); }

    // Returns the sum over the lanes whose partial sums go together; `leads_group` tells whether
    // this lane writes it.
    __device__ static double group_sum(double sum) {
#pragma unroll
        for (int distance = LANES / 2; distance > 0; distance /= 2) {
            sum += __shfl_xor_sync(ALL_LANES, sum, distance);
        }
        return sum;
    }
    __device__ bool leads_group() const { return lane == 0; }
    __device__ int64_t group() const { return index; }

    // Combines values over the lanes of a system; `leads_system` tells whether this lane writes
    // what a system has once.
    template <typename V, typename Combine>
    __device__ static V of_span(V value, Combine) {
        return value;
    }
    __device__ bool leads_system() const { return holds(lane); }
};

// The values of a warp that have a place for every lane: value v of a lane is at [v·32].
struct LaneValues {
    double *base;

    __device__ double &operator[](int v) const { return base[v * LANES]; }
};

// The chunks in the lanes of a warp. The C chunks of a system, a power of two, are in consecutive
// lanes. Those of a span are lanes of one warp if there are 32 or fewer, where a block is a warp,
// or of all warps of a block otherwise. Here a system is one span. A chunk has at least two points.
struct ChunkTile {
    static constexpr bool CHUNKED = true;
    static constexpr bool SPREAD = false;

    const ThreadProblem &common;
    int thread;  // in the block
    int lane;
    int64_t index;  // of the warp: where its part of the workspace lies
    int chunk;      // of this lane
    int count;      // points of the chunk

    __device__ explicit ChunkTile(const ThreadProblem &common)
        : common(common),
          thread(thread_number()),
          lane(thread % LANES),
          index(int64_t(block_number()) * (blockDim.x / LANES) + thread / LANES),
          chunk(chunk_of(lane)),
          count(count_of(chunk)) {}
    // The chunk of this number in a launch that does not have a thread for each.
    __device__ ChunkTile(const ThreadProblem &common, int thread, int64_t number, int chunk)
        : common(common),
          thread(thread),
          lane(int(number % LANES)),
          index(number / LANES),
          chunk(chunk),
          count(count_of(chunk)) {}

    __device__ int chunks() const { return 1 << common.chunks.bits; }
    __device__ int64_t number(int lane) const { return index * LANES + lane; }
    __device__ int64_t system(int lane) const {
        return min(number(lane) >> common.chunks.bits, common.problem.batch - 1);
    }
    __device__ int held() const {
        return int(min(int64_t(LANES), (common.problem.batch << common.chunks.bits) - number(0)));
    }
    __device__ bool holds(int lane) const { return lane < held(); }

    // Returns the chunks of a span, and which of them this lane has.
    __device__ int span() const { return 1 << common.chunks.span_bits; }
    __device__ int in_span() const { return chunk & (span() - 1); }
    // Returns the spans of a system, and the number of this lane's among all.
    __device__ int spans() const { return 1 << (common.chunks.bits - common.chunks.span_bits); }
    __device__ int64_t group() const { return number(lane) >> common.chunks.span_bits; }

    // Returns whether this launch eliminates the separator of this lane, on a level with a stride
    // from `first_stride` on, below `end_stride`: those of a span between its chunks.
    __device__ bool eliminates() const { return in_span() > 0; }
    __device__ static int first_stride() { return 1; }
    __device__ int end_stride() const { return span(); }

    // The first N mod C chunks have a point more than the others.
    __device__ int chunk_of(int lane) const { return int(number(lane)) & (chunks() - 1); }
    __device__ int longer() const { return int(common.problem.points) & (chunks() - 1); }
    __device__ int shorter_points() const {
        return int(common.problem.points) >> common.chunks.bits;
    }
    __device__ int count_of(int chunk) const { return shorter_points() + (chunk < longer()); }
    __device__ int first_point(int chunk) const {
        return chunk * shorter_points() + min(chunk, longer());
    }

    __device__ int points() const { return shorter_points() + (longer() > 0); }
    __device__ int own_points() const { return count; }
    __device__ bool has(int t) const { return t < count; }
    __device__ int point(int t) const { return first_point(chunk) + t; }
    __device__ bool last(int t) const { return t + 1 == count && !has_next(); }

    // Returns whether the chunk begins with a separator, as every chunk but the first does.
    __device__ bool has_separator() const { return chunk > 0; }
    __device__ bool separates(int t) const { return t == 0 && has_separator(); }
    // Returns whether another chunk follows.
    __device__ bool has_next() const { return chunk + 1 < chunks(); }

    __device__ static bool shared(int64_t, int time) { return time == 0; }
    __device__ int64_t start(int lane, int64_t between, int time) const {
        return system(lane) * between + int64_t(first_point(chunk_of(lane))) * time;
    }
    __device__ int distance(int lane, int64_t between, int time) const {
        return int(start(lane, between, time) - start(0, between, time));
    }
    __device__ int run(int lane, const ThreadRing &ring, int time) const {
        const int chunk = chunk_of(lane);
        return max(0, min(ring.points - first_point(chunk), count_of(chunk)) * time);
    }

    __device__ static void barrier() { __syncthreads(); }

    // A span is a group of its own.
    __device__ double group_sum(double sum) const {
        return of_span(sum, [](double a, double b) { return a + b; });
    }
    __device__ bool leads_group() const { return in_span() == 0 && holds(lane); }

    // Combines values over the lanes of a span, all of which get the result. V has 8 bytes.
    template <typename V, typename Combine>
    __device__ V of_span(V value, Combine combine) const {
        return of_threads(span(), value, combine, exchange());
    }
    __device__ bool leads_system() const { return chunk == 0 && holds(lane); }

    // Returns the shared memory of the warp of this thread, or of the warp `warps` later.
    __device__ static double *block_memory() {
        extern __shared__ double dynamic_shared[];
        return dynamic_shared;
    }
    __device__ double *warp_memory(int warp) const {
        return block_memory() + warp * common.chunks.warp_values;
    }
    __device__ double *exchange() const { return warp_memory(blockDim.x / LANES); }

  protected:
    // Combines values over `threads` threads, a power of two: the same pairs in each of them. Where
    // these are more than a warp, they are the block, and `exchange` has a place for each warp.
    template <typename V, typename Combine>
    __device__ V of_threads(int threads, V value, Combine combine, double *exchange) const {
        for (int distance = 1; distance < min(threads, LANES); distance *= 2) {
            value = combine(value, __shfl_xor_sync(ALL_LANES, value, distance));
        }
        if (threads > LANES) {
            V *warps = reinterpret_cast<V *>(exchange);
            if (thread % LANES == 0) {
                warps[thread / LANES] = value;
            }
            __syncthreads();
            value = warps[0];
            for (int warp = 1; warp < threads / LANES; ++warp) {
                value = combine(value, warps[warp]);
            }
            __syncthreads();
        }
        return value;
    }
};

// The chunks of a system that has several spans. Its launches end where spans wait for each other.
struct SpanTile : ChunkTile {
    static constexpr bool SPREAD = true;

    using ChunkTile::ChunkTile;

    __device__ ThreadFindings &findings() const { return common.chunks.findings[group()]; }
};

// The first chunks of the spans of a system, one a thread of its block, in a launch between those
// of span kernels. Its separators are those between spans.
struct JoinTile : ChunkTile {
    __device__ explicit JoinTile(const ThreadProblem &common)
        : JoinTile(common, thread_number(), 1 << (common.chunks.bits - common.chunks.span_bits)) {}

    // Surplus threads, which fill a warp, have no span.
    __device__ bool exists() const { return thread < spans(); }
    __device__ ThreadFindings &findings() const { return common.chunks.findings[group()]; }

    __device__ bool eliminates() const { return chunk > 0; }
    __device__ int first_stride() const { return span(); }
    __device__ int end_stride() const { return chunks(); }

    template <typename V, typename Combine>
    __device__ V of_span(V value, Combine combine) const {
        return of_threads(int(blockDim.x), value, combine, block_memory());
    }

  private:
    __device__ JoinTile(const ThreadProblem &common, int thread, int spans)
        : ChunkTile(common, thread,
                    (int64_t(block_number()) * spans + min(thread, spans - 1))
                        << common.chunks.span_bits,
                    thread < spans ? thread << common.chunks.span_bits : 0) {}
};

// Whether registers suffice to load blocks of P unknowns long before they are used.
template <int P>
constexpr bool EARLY = P <= 3;
// Whether they suffice to fetch inputs ahead of their use and to keep what is derived from a tile.
// The lanes of a chunk tile keep more, for the separators.
template <int P, typename AnyTile>
constexpr bool AMPLE = !AnyTile::CHUNKED || EARLY<P>;

// Returns this tile, or if `KEPT` is false one like it: what is derived from that one is not kept
// in registers.
template <bool KEPT, typename AnyTile>
__device__ AnyTile here(const AnyTile &tile) {
    if constexpr (KEPT) {
        return tile;
    } else {
        return AnyTile(tile.common);
    }
}

// Returns the shared memory of this warp.
__device__ inline double *memory_of(const Tile &) {
    extern __shared__ double dynamic_shared[];
    return dynamic_shared;
}
__device__ inline double *memory_of(const ChunkTile &tile) {
    return tile.warp_memory(tile.thread / LANES);
}

}  // namespace thread

#endif
