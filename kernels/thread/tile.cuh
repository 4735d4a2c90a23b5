// The lanes of a warp: half of the time points of a system each (HalfTile), or a chunk of them
// (ChunkTile). Sweeps over the time points are written for both. They count a lane's points from 0
// on in the order in which they are eliminated, which in the second half of a system is backward in
// time; sweeps that eliminate or substitute forward take them in this order, the others (BACK) in
// the opposite one. The warp goes through the points in step; `has` tells whether a lane has that
// many.

#ifndef MECHANISTIC_THREAD_TILE_CUH
#define MECHANISTIC_THREAD_TILE_CUH

#include "common/places.cuh"
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

// Returns the dynamic shared memory of the block.
__device__ inline double *block_memory() {
    extern __shared__ double dynamic_shared[];
    return dynamic_shared;
}

// Halves of 32 systems: the first warp of a block has the points from the first one on, the second
// warp those from the last one backward. The last point of the second half is where they meet: it
// is eliminated after all others. Surplus lanes repeat the last system and write nothing.
//
// Seen from the other end, smoothness rows are the same rows with a negative step, up to their
// order and signs. So the second half has negative lengths and all else as the first.
struct HalfTile {
    static constexpr bool CHUNKED = false;

    const ThreadProblem &common;
    int64_t index;  // of the block, and of its partial sums
    int64_t first;  // system
    int lane;
    bool backward;  // whether this is the second half

    __device__ explicit HalfTile(const ThreadProblem &common) : HalfTile(common, thread_number()) {}
    // The same tile anew.
    __device__ HalfTile again() const {
        int half = backward;
        asm volatile("" : "+r"(half));
        return HalfTile(common, thread_number() % LANES, half != 0);
    }

    __device__ int64_t system(int lane) const {
        return min(first + lane, common.problem.batch - 1);
    }
    // Returns how many lanes have a system of their own: all before the first that has none.
    __device__ int held() const { return int(min(int64_t(LANES), common.problem.batch - first)); }
    __device__ bool holds(int lane) const { return lane < held(); }

    // Returns the number of points of a sweep, which is that of every lane; of 2 points the first
    // half has none.
    __device__ int points() const { return (int(common.problem.points) - 1 + 3 * backward) >> 1; }
    __device__ int own_points() const { return points(); }
    __device__ static bool has(int) { return true; }
    // Returns the number of a lane's point t in its system; t ^ −1 is −1 − t.
    __device__ int point(int t) const {
        return (t ^ -backward) + backward * int(common.problem.points);
    }
    // Returns whether this is the point where the halves meet; to all others of a half, another one
    // follows.
    __device__ bool meets(int t) const { return t + 1 == points() && backward; }
    __device__ static bool last(int) { return false; }
    // Returns the least number that any lane's point t has.
    __device__ int earliest(int t) const { return point(t); }
    __device__ bool separates(int t) const { return meets(t); }

    // Returns the place of point t among the points of the half in time, and that of the step to
    // the next one among the steps.
    __device__ int place(int t) const { return (t ^ -backward) + backward * points(); }
    __device__ int step(int t) const { return place(t) - backward; }
    // Returns the number of that step in the system, and its sign.
    __device__ int step_number(int t) const { return point(t) - backward; }
    __device__ double sign() const { return backward ? -1.0 : 1.0; }
    // Returns whether the rows of point t are scaled by the step of point t − 1, which follows in
    // time, instead of its own; and the point whose step scales them.
    __device__ bool scaled_before(int t) const { return backward && t > 0; }
    __device__ int scaled_by(int t) const { return t - scaled_before(t); }
    // Returns whether a sweep goes backward in time.
    __device__ bool reversed(bool back) const { return back != backward; }

    // Returns whether all lanes read the same values of an input.
    __device__ static bool shared(const Input &input) { return input.shared != 0; }
    // Returns the place of the first value of a lane's points in an input that is not dense.
    __device__ int start(const Input &input, int lane) const {
        return int(system_start(common.problem, input, system(lane))) +
               first_point() * int(input.time);
    }
    // Returns the place of the values of a lane's points in any other array, whose systems are
    // `between` apart and points `time`: index of the first of lane 0, the distance of another
    // lane's to that; in any array, how many of them the warp goes through, how many exist. Where
    // all lanes read the same values, `common_start` is the index of the first.
    __device__ int64_t start(int64_t between, int time) const {
        return first * between + int64_t(first_point()) * time;
    }
    __device__ int common_start(const Input &input) const {
        return first_point() * int(input.time);
    }
    __device__ int distance(int lane, int64_t between, int) const {
        return min(lane, held() - 1) * int(between);
    }
    __device__ int values(const ThreadRing &ring) const {
        return backward ? ring.late_values : ring.values;
    }
    __device__ int run(int, const ThreadRing &ring, int) const { return values(ring); }

    // Returns where the workspace has point 0 of a lane, in which direction the others follow, and
    // how many points it has.
    __device__ int origin() const { return backward ? int(common.problem.points) - 1 : 0; }
    __device__ int direction() const { return backward ? -1 : 1; }
    __device__ int kept_points() const { return int(common.problem.points); }
    // Return the tile and the lane whose factor is that of this lane's system.
    __device__ int64_t factor_tile() const { return common.one_factor != 0 ? 0 : index; }
    __device__ int factor_lane() const { return common.one_factor != 0 ? 0 : lane; }

    __device__ static void barrier() { __syncthreads(); }

    // Returns the sum over the threads whose partial sums go together; `leads_group` tells whether
    // this thread writes it.
    __device__ double group_sum(double sum) const {
#pragma unroll
        for (int distance = LANES / 2; distance > 0; distance /= 2) {
            sum += __shfl_xor_sync(ALL_LANES, sum, distance);
        }
        return of_span(sum, [](double a, double b) { return a + b; });
    }
    __device__ bool leads_group() const { return lane == 0 && !backward; }
    __device__ int64_t group() const { return index; }

    // Combines values over both halves of a system, which both get the result; `leads_system` tells
    // whether this thread writes what a system has once. V has 8 bytes.
    template <typename V, typename Combine>
    __device__ V of_span(V value, Combine combine) const {
        V *halves = reinterpret_cast<V *>(exchange()) + lane;
        halves[backward ? LANES : 0] = value;
        __syncthreads();
        value = combine(halves[0], halves[LANES]);
        __syncthreads();
        return value;
    }
    __device__ bool leads_system() const { return holds(lane) && !backward; }

    // Returns where the shared memory of this warp begins, and that in which the two exchange
    // values, counted in doubles: 2·32 of `of_span`, then those of thread/separators.cuh.
    __device__ int memory() const { return backward ? common.chunks.warp_values : 0; }
    __device__ double *exchange() const { return block_memory() + 2 * common.chunks.warp_values; }

  private:
    // The half is that of one lane, so that the compiler knows that all have the same.
    __device__ HalfTile(const ThreadProblem &common, int thread)
        : HalfTile(common, thread % LANES, __shfl_sync(ALL_LANES, thread, 0) >= LANES) {}
    __device__ HalfTile(const ThreadProblem &common, int lane, bool backward)
        : common(common),
          index(block_number()),
          first(index * LANES),
          lane(lane),
          backward(backward) {}
    __device__ int first_point() const {
        return backward * ((int(common.problem.points) - 1) >> 1);
    }
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
    static constexpr bool JOINS = false;

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
    __device__ static bool meets(int) { return false; }
    // Returns whether no other point of the system follows this one.
    __device__ bool last(int t) const { return t + 1 == count && !has_next(); }
    __device__ static int earliest(int t) { return t; }

    // All chunks go forward in time.
    __device__ static int place(int t) { return t; }
    __device__ static int step(int t) { return t; }
    __device__ int step_number(int t) const { return point(t); }
    __device__ static double sign() { return 1.0; }
    __device__ static bool scaled_before(int) { return false; }
    __device__ int scaled_by(int t) const { return last(t) ? t - 1 : t; }
    __device__ static bool reversed(bool back) { return back; }
    __device__ static int origin() { return 0; }
    __device__ static int direction() { return 1; }
    __device__ int kept_points() const { return points(); }
    __device__ int64_t factor_tile() const { return index; }
    __device__ int factor_lane() const { return lane; }

    // Returns whether the chunk begins with a separator, as every chunk but the first does.
    __device__ bool has_separator() const { return chunk > 0; }
    __device__ bool separates(int t) const { return t == 0 && has_separator(); }
    // Returns whether another chunk follows.
    __device__ bool has_next() const { return chunk + 1 < chunks(); }

    __device__ static bool shared(const Input &input) { return input.each == 0; }
    __device__ int start(const Input &input, int lane) const {
        return int(system_start(common.problem, input, system(lane))) +
               first_point(chunk_of(lane)) * int(input.time);
    }
    __device__ int64_t start(int64_t between, int time) const { return start(0, between, time); }
    __device__ int64_t common_start(const Input &input) const {
        return system_start(common.problem, input, system(lane));
    }
    __device__ int distance(int lane, int64_t between, int time) const {
        return int(start(lane, between, time) - start(0, between, time));
    }
    __device__ static int values(const ThreadRing &ring) { return ring.values; }
    __device__ int run(int lane, const ThreadRing &ring, int each) const {
        const int chunk = chunk_of(lane);
        return max(0, min(ring.points - first_point(chunk), count_of(chunk)) * each);
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

    // Returns where the shared memory of a warp begins, and that in which warps exchange values.
    __device__ int memory(int warp) const { return warp * common.chunks.warp_values; }
    __device__ int memory() const { return memory(thread / LANES); }
    __device__ double *exchange() const { return block_memory() + memory(blockDim.x / LANES); }

    // Returns the places in shared memory of the lane that has the chunk `distance` away; whether
    // this block has it.
    template <int>
    __device__ LaneValues places_beside(int distance) const {
        const int other = thread + distance;
        return {block_memory() + memory(other / LANES) + common.chunks.scratch + other % LANES};
    }
    __device__ static bool is_beside(int) { return true; }
    // Returns whether another launch has solved for the separator of the lane's chunk.
    __device__ static bool is_given() { return false; }

  private:
    __device__ int64_t start(int lane, int64_t between, int time) const {
        return system(lane) * between + int64_t(first_point(chunk_of(lane))) * time;
    }

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

    __device__ bool is_beside(int distance) const { return in_span() + distance < span(); }
    __device__ bool is_given() const { return in_span() == 0 && has_separator(); }
};

// The first chunks of the spans of a system, one a thread of its block, in a launch between those
// of span kernels. Its separators are those between spans.
struct JoinTile : ChunkTile {
    static constexpr bool JOINS = true;

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

    // Its threads are a span apart. The places are those after what `of_span` has for each warp.
    template <int PLACES>
    __device__ LaneValues places_beside(int distance) const {
        const int other = thread + distance / span();
        return {block_memory() + blockDim.x / LANES + other / LANES * PLACES * LANES +
                other % LANES};
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

// Returns a tile like this one, of which the compiler does not know that: what is derived from it
// is not kept in registers.
__device__ inline HalfTile again(const HalfTile &tile) {
    return tile.again();
}
template <typename AnyTile>
__device__ AnyTile again(const AnyTile &tile) {
    return AnyTile(tile.common);
}
// Returns this tile, or if `KEPT` is false one like it.
template <bool KEPT, typename AnyTile>
__device__ AnyTile here(const AnyTile &tile) {
    if constexpr (KEPT) {
        return tile;
    } else {
        return again(tile);
    }
}

// Returns the shared memory of this warp.
template <typename AnyTile>
__device__ double *memory_of(const AnyTile &tile) {
    return block_memory() + tile.memory();
}

}  // namespace thread

#endif
