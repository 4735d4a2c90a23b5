// Coalesced access to row-major arrays (system, values) by a warp whose lanes hold one system each,
// or one chunk of a system's points; then chunks take the place of systems below.
//
// A stream passes through the V values of every system of the tile in step, forward or reversed.
// The warp fetches windows of 64 bytes a system, aligned to the sectors of global memory, and lays
// them into a ring in shared memory, from which each lane reads its own system's values. A lane may
// replace a value it has read; the windows are then written back in the same way, to an array of
// the same shape (an input's gradient).
//
// A slot has 8 bytes, or 4 if nothing is stored in double precision; what a lane lays into a slot
// of 4 is rounded to single precision, its share of a sum over the batch too. Then W = 8 or 16
// values are a window, and S = W/2 a sector (of what is stored in a slot's width; else windows are
// smaller). Let u count the values in the order of the stream, and let o (0 <= o < S) be such that
// u + o is a multiple of S where a sector begins. Value u of the system in lane l stands in slot
//     l·pitch + (u + o) mod capacity − o + S − 1,    pitch = capacity + S − 1.
// The pitch is odd and the capacity a multiple of the slots that all banks hold, so the lanes read
// the same u, and store a window, without bank conflicts. A capacity of two windows serves rows of
// up to W − S + 2 values.

#ifndef MECHANISTIC_THREAD_STREAM_CUH
#define MECHANISTIC_THREAD_STREAM_CUH

#include "thread/tile.cuh"

namespace thread {

// Returns the logarithm (base 2) of the bytes of a stored value.
__device__ inline int shift_of(int storage) {
    return storage == STORAGE_F64 ? 3 : storage == STORAGE_F32 ? 2 : 1;
}

// An array (system, V) as the kernel's parameters describe it: the part that stays out of the
// registers.
template <typename AnyTile>
struct Array {
    const AnyTile &tile;
    const ThreadRing &ring;
    double *slots;  // of the ring
    const void *data;
    int storage;
    int64_t between;  // distance between systems
    int time;         // distance between points

    __device__ Array(const AnyTile &tile, const ThreadRing &ring, const void *data, int storage,
                     int64_t between, int time)
        : tile(tile),
          ring(ring),
          slots(memory_of(tile) + ring.slots),
          data(data),
          storage(storage),
          between(between),
          time(time) {}

    // Returns whether all lanes read the same values.
    __device__ bool shared() const { return AnyTile::shared(between, time); }

    // Return the values of a window, those of a sector, and the slots of a system.
    __device__ int window() const { return tile.common.wide ? 8 : 16; }
    __device__ int sector() const { return tile.common.wide ? 4 : 8; }
    __device__ int capacity() const { return ring.capacity; }

    __device__ double get(int slot) const {
        return is_wide() ? slots[slot] : double(reinterpret_cast<const float *>(slots)[slot]);
    }
    __device__ void put(int slot, double value) const {
        if (is_wide()) {
            slots[slot] = value;
        } else {
            reinterpret_cast<float *>(slots)[slot] = float(value);
        }
    }

  private:
    __device__ bool is_wide() const { return tile.common.wide != 0; }
};

// A stream of a result or a cotangent, (B, N, P).
template <int P, typename AnyTile>
__device__ Array<AnyTile> unknowns(const AnyTile &tile, const void *data) {
    const Problem &problem = tile.common.problem;
    return {tile, tile.common.unknowns, data, problem.results, problem.points * P, P};
}

template <bool REVERSED, typename AnyTile>
class Stream {
  public:
    __device__ explicit Stream(const Array<AnyTile> &array) : array(array), loaded(0), stored(0) {
        offset = offset_of(array.tile.start(array.tile.lane, array.between, array.time));
        nearest = array.tile.lane * pitch() + array.sector() - 1 - offset;
    }

    // Returns the place of value v in the order of the stream.
    __device__ int position(int v) const { return REVERSED ? array.ring.values - 1 - v : v; }

    // Returns value v of this lane's system, once it is readable.
    __device__ double get(int v) const { return array.get(slot(v)); }
    // Replaces value v of this lane's system.
    __device__ void put(int v, double value) { array.put(slot(v), value); }

    // Makes the values u < end of every system readable.
    __device__ void require(int end) {
        while (loaded * array.window() < end + array.sector() - 1) {
            fetch();
        }
    }

    // Writes the values that are complete when the values u < end are to `data`, of this storage
    // and with systems `between` apart.
    __device__ void release(void *data, int storage, int64_t between, int end) {
        while ((stored + 1) * array.window() <= end) {
            store(data, storage, between);
        }
    }

    // Writes the values that are left.
    __device__ void close(void *data, int storage, int64_t between) {
        while (stored * array.window() < array.ring.values + array.sector() - 1) {
            store(data, storage, between);
        }
    }

    // Writes sums over the tile's systems in the same way, added in an order that is always the
    // same, from value `first` of `sums` on.
    __device__ void release_sums(const Output &sums, int64_t first, int end) {
        while ((stored + 1) * array.window() <= end) {
            store_sums(sums, first);
        }
    }
    __device__ void close_sums(const Output &sums, int64_t first) {
        while (stored * array.window() < array.ring.values) {
            store_sums(sums, first);
        }
    }

  private:
    const Array<AnyTile> array;
    int offset;   // o of this lane's system
    int nearest;  // slot of this lane with u + o = 0
    int loaded;
    int stored;

    static constexpr int TOGETHER = 4;  // loads that are under way at once

    __device__ int pitch() const { return array.capacity() + array.sector() - 1; }
    __device__ int slot(int v) const {
        return nearest + ((position(v) + offset) & (array.capacity() - 1));
    }

    // Returns o of the system whose first value has this index.
    __device__ int offset_of(int64_t first) const {
        if (array.shared()) {
            return 0;
        }
        const unsigned ahead =
            unsigned(reinterpret_cast<uint64_t>(array.data) >> shift_of(array.storage)) +
            unsigned(first);
        return int((REVERSED ? 0u - (ahead + unsigned(array.ring.values)) : ahead) &
                   unsigned(array.sector() - 1));
    }

    // Shows every value of window `window` to visit(i, slot, lane of its system, index of that
    // system's first value, position of the value, whether it exists), for i < TOGETHER, then calls
    // finish(), and so on. A request of the warp covers one window of each of 32/W systems, W
    // systems apart: so its accesses to shared memory do not conflict.
    template <typename Visit, typename Finish>
    __device__ void pass(int window, Visit visit, Finish finish) {
        int lane = thread_number() % LANES;  // nothing of a pass is kept in registers for the next
        const int place = window * array.window() + (lane & (array.window() - 1));
        lane &= -array.window();
        int64_t first = array.tile.start(lane, array.between, array.time);
        int nearest = lane * pitch() + array.sector() - 1 + (place & (array.capacity() - 1));
#pragma unroll 1
        for (int request = 0; request < array.window(); request += TOGETHER) {
#pragma unroll
            for (int i = 0; i < TOGETHER; ++i) {
                const int offset = offset_of(first);
                const int at = position(place - offset);
                visit(
                    i, nearest - offset, lane, first, at,
                    unsigned(at) < unsigned(max(0, array.tile.run(lane, array.ring, array.time))));
                first += array.tile.distance(lane, array.between, array.time);
                lane += 1;
                nearest += pitch();
            }
            finish();
        }
    }

    __device__ void fetch() {
        double values[TOGETHER];
        int slots[TOGETHER];
        __syncwarp();
        pass(
            loaded,
            [&](int i, int slot, int, int64_t first, int position, bool exists) {
                slots[i] = exists ? slot : -1;
                if (exists) {
                    values[i] = read(array.data, array.storage, first + position);
                }
            },
            [&]() {
#pragma unroll
                for (int i = 0; i < TOGETHER; ++i) {
                    if (slots[i] >= 0) {
                        array.put(slots[i], values[i]);
                    }
                }
            });
        ++loaded;
        __syncwarp();
    }

    __device__ void store(void *data, int storage, int64_t between) {
        __syncwarp();
        pass(
            stored,
            [&](int, int slot, int lane, int64_t first, int position, bool exists) {
                if (exists && array.tile.holds(lane)) {
                    const int64_t start =
                        AnyTile::CHUNKED ? array.tile.start(lane, between, array.time) : first;
                    write(data, storage, start + position, array.get(slot));
                }
            },
            [&]() {});
        ++stored;
        __syncwarp();
    }

    // There are no offsets where the batch shares the array.
    __device__ void store_sums(const Output &sums, int64_t first) {
        const int window = array.window();
        const int u = stored * window + (array.tile.lane & (window - 1));
        const int slot = (array.tile.lane & -window) * pitch() + array.sector() - 1 +
                         (u & (array.capacity() - 1));
        const bool inside = u < array.ring.values;
        __syncwarp();
        double sum = 0;
        if (inside) {
#pragma unroll 4
            for (int i = 0; i < window; ++i) {
                sum += array.get(slot + i * pitch());
            }
        }
#pragma unroll 1
        for (int distance = window; distance < LANES; distance *= 2) {
            sum += __shfl_xor_sync(~0u, sum, distance);
        }
        if (inside && array.tile.lane < window) {
            write(sums.data, sums.storage, first + position(u), sum);
        }
        ++stored;
        __syncwarp();
    }
};

}  // namespace thread

#endif
