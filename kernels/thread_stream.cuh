// Coalesced access to row-major arrays (system, values) by a warp whose lanes hold one system each,
// or one chunk of a system's points: then what is said of a system holds of a chunk.
//
// A stream passes through the V values of every system of the tile in step, forward or reversed.
// The warp fetches windows of 64 bytes a system, aligned to the sectors of global memory, and lays
// them into a ring in shared memory, from which each lane reads its own system's values. A lane may
// replace a value it has read; the windows are then written back in the same way, to an array of
// the same shape (an input's gradient).
//
// Let u count the values in the order of the stream, and let o (0 <= o < SECTOR) be such that u + o
// is a multiple of SECTOR where a sector begins. Value u of the system in lane l stands in slot
//     l·pitch + (u + o) mod capacity − o + SECTOR − 1,    pitch = capacity + SECTOR − 1.
// The pitch is odd and the capacity a multiple of the banks' number, so the lanes read the same u,
// and store a window, without bank conflicts. A capacity of two windows serves rows of up to WINDOW
// − SECTOR + 2 values.

#ifndef MECHANISTIC_THREAD_STREAM_CUH
#define MECHANISTIC_THREAD_STREAM_CUH

#include "thread_tile.cuh"

namespace thread {

// Values of a sector (32 bytes) and of a window.
template <typename T> constexpr int SECTOR = 32 / int(sizeof(T));
template <typename T> constexpr int WINDOW = 2 * SECTOR<T>;

// Logarithm of the bytes of a stored value.
__device__ inline int shift_of(int storage) {
    return storage == STORAGE_F64 ? 3 : storage == STORAGE_F32 ? 2 : 1;
}

// An array (system, V) as the kernel's parameters describe it: what stays out of the registers.
template <typename T, typename Where> struct Array {
    const Where &tile;
    const ThreadRing &ring;
    T *slots;  // of the ring
    const void *data;
    int storage;
    int64_t between;  // distance between systems
    int time;         // distance between points

    __device__ Array(const Where &tile, const ThreadRing &ring, const void *data, int storage,
                     int64_t between, int time)
        : tile(tile), ring(ring), slots(reinterpret_cast<T *>(memory_of(tile)) + ring.slots),
          data(data), storage(storage), between(between), time(time) {}

    // Whether all lanes read the same values.
    __device__ bool shared() const { return Where::shared(between, time); }
};

// A result or a cotangent, (B, N, P).
template <typename T, int P, typename Where>
__device__ Array<T, Where> unknowns(const Where &tile, const void *data) {
    return {tile, tile.common.unknowns, data, tile.template results<T>(),
            tile.common.problem.points * P, P};
}

template <typename T, bool REVERSED, typename Where> class Stream {
  public:
    __device__ explicit Stream(const Array<T, Where> &array)
        : array(array), loaded(0), stored(0) {
        offset = offset_of(array.tile.start(array.tile.lane, array.between, array.time));
        nearest = array.tile.lane * pitch() + SECTOR<T> - 1 - offset;
    }

    // Place of value v in the order of the stream.
    __device__ int position(int v) const { return REVERSED ? array.ring.values - 1 - v : v; }

    // Value v of this lane's system, once it is readable.
    __device__ T &at(int v) {
        return array.slots[nearest + ((position(v) + offset) & (array.ring.capacity - 1))];
    }

    // Makes the values u < end of every system readable.
    __device__ void require(int end) {
        while (loaded * WINDOW<T> < end + SECTOR<T> - 1) {
            fetch();
        }
    }

    // Writes to `data`, where systems are `between` apart, what is complete when the values u < end
    // are.
    __device__ void release(void *data, int64_t between, int end) {
        while ((stored + 1) * WINDOW<T> <= end) {
            store(data, between);
        }
    }

    // Writes the rest.
    __device__ void close(void *data, int64_t between) {
        while (stored * WINDOW<T> < array.ring.values + SECTOR<T> - 1) {
            store(data, between);
        }
    }

    // The same for the sums over the tile's systems, added in an order that is always the same.
    __device__ void release_sums(T *sums, int end) {
        while ((stored + 1) * WINDOW<T> <= end) {
            store_sums(sums);
        }
    }
    __device__ void close_sums(T *sums) {
        while (stored * WINDOW<T> < array.ring.values) {
            store_sums(sums);
        }
    }

  private:
    const Array<T, Where> array;
    int offset;   // o of this lane's system
    int nearest;  // slot of this lane with u + o = 0
    int loaded;
    int stored;

    static constexpr int TOGETHER = 4;  // loads that are under way at once

    __device__ int pitch() const { return array.ring.capacity + SECTOR<T> - 1; }

    // o of the system whose first value has this index.
    __device__ int offset_of(int64_t first) const {
        if (array.shared()) {
            return 0;
        }
        const unsigned ahead =
            unsigned(reinterpret_cast<uint64_t>(array.data) >> shift_of(array.storage)) +
            unsigned(first);
        return int((REVERSED ? 0u - (ahead + unsigned(array.ring.values)) : ahead) &
                   unsigned(SECTOR<T> - 1));
    }

    // Shows every value of window `window` to visit(i, slot, lane of its system, index of that
    // system's first value, position of the value, whether it exists), for i < TOGETHER, then calls
    // finish(), and so on. A request of the warp covers one window of each of 32/WINDOW systems,
    // WINDOW systems apart: so its accesses to shared memory do not conflict.
    template <typename Visit, typename Finish>
    __device__ void pass(int window, Visit visit, Finish finish) {
        int lane = thread_number() % LANES;  // nothing of a pass is kept in registers for the next
        const int place = window * WINDOW<T> + lane % WINDOW<T>;
        lane = lane / WINDOW<T> * WINDOW<T>;
        int64_t first = array.tile.start(lane, array.between, array.time);
        int nearest = lane * pitch() + SECTOR<T> - 1 + (place & (array.ring.capacity - 1));
#pragma unroll 1
        for (int request = 0; request < WINDOW<T>; request += TOGETHER) {
#pragma unroll
            for (int i = 0; i < TOGETHER; ++i) {
                const int offset = offset_of(first);
                const int at = position(place - offset);
                visit(i, nearest - offset, lane, first, at,
                      unsigned(at) < unsigned(max(0, array.tile.run(lane, array.ring, array.time))));
                first += array.tile.distance(lane, array.between, array.time);
                lane += 1;
                nearest += pitch();
            }
            finish();
        }
    }

    __device__ void fetch() {
        T values[TOGETHER];
        int slots[TOGETHER];
        __syncwarp();
        pass(
            loaded,
            [&](int i, int slot, int, int64_t first, int position, bool exists) {
                slots[i] = exists ? slot : -1;
                if (exists) {
                    values[i] = read<T>(array.data, array.storage, first + position);
                }
            },
            [&]() {
#pragma unroll
                for (int i = 0; i < TOGETHER; ++i) {
                    if (slots[i] >= 0) {
                        array.slots[slots[i]] = values[i];
                    }
                }
            });
        ++loaded;
        __syncwarp();
    }

    __device__ void store(void *data, int64_t between) {
        __syncwarp();
        pass(
            stored,
            [&](int, int slot, int lane, int64_t first, int position, bool exists) {
                if (exists && array.tile.holds(lane)) {
                    const int64_t start =
                        Where::CHUNKED ? array.tile.start(lane, between, array.time) : first;
                    write(data, array.tile.template results<T>(), start + position,
                          array.slots[slot]);
                }
            },
            [&]() {});
        ++stored;
        __syncwarp();
    }

    // There are no offsets where the batch shares the array.
    __device__ void store_sums(T *sums) {
        const int u = stored * WINDOW<T> + array.tile.lane % WINDOW<T>;
        const int slot = (array.tile.lane / WINDOW<T> * WINDOW<T>) * pitch() + SECTOR<T> - 1 +
                         (u & (array.ring.capacity - 1));
        const bool inside = u < array.ring.values;
        __syncwarp();
        double sum = 0;
        if (inside) {
#pragma unroll 4
            for (int i = 0; i < WINDOW<T>; ++i) {
                sum += double(array.slots[slot + i * pitch()]);
            }
        }
#pragma unroll
        for (int distance = WINDOW<T>; distance < LANES; distance *= 2) {
            sum += __shfl_xor_sync(~0u, sum, distance);
        }
        if (inside && array.tile.lane < WINDOW<T>) {
            sums[position(u)] = T(sum);
        }
        ++stored;
        __syncwarp();
    }
};

}  // namespace thread

#endif
