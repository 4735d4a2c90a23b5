// Coalesced access to row-major arrays (system, values) by a warp whose lanes hold one system each.
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

#include "thread_parameters.h"

namespace thread {

constexpr int LANES = 32;

// Values of a sector (32 bytes) and of a window.
template <typename T> constexpr int SECTOR = 32 / int(sizeof(T));
template <typename T> constexpr int WINDOW = 2 * SECTOR<T>;

// The 32 systems of a warp; surplus lanes repeat the last system and write nothing.
struct Tile {
    int64_t index;
    int64_t first;
    int64_t batch;
    int lane;

    __device__ explicit Tile(int64_t batch)
        : index(blockIdx.x), first(int64_t(blockIdx.x) * LANES), batch(batch), lane(threadIdx.x) {}
    __device__ int64_t system(int lane) const { return min(first + lane, batch - 1); }
    __device__ bool holds(int lane) const { return first + lane < batch; }
};

// Logarithm of the bytes of a stored value.
__device__ inline int shift_of(int storage) {
    return storage == STORAGE_F64 ? 3 : storage == STORAGE_F32 ? 2 : 1;
}

// How the kernel's own precision is stored.
template <typename T> constexpr int STORAGE = sizeof(T) == 8 ? STORAGE_F64 : STORAGE_F32;

// Value `index` of an array in the kernel's precision.
template <typename T> __device__ T load(const void *data, int64_t index, int storage);

template <> __device__ inline double load<double>(const void *data, int64_t index, int) {
    return static_cast<const double *>(data)[index];
}

template <> __device__ inline float load<float>(const void *data, int64_t index, int storage) {
    if (storage == STORAGE_F32) {
        return static_cast<const float *>(data)[index];
    }
    const unsigned short bits = static_cast<const unsigned short *>(data)[index];
    if (storage == STORAGE_BF16) {
        return __uint_as_float(unsigned(bits) << 16);
    }
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

// An array (system, V) as the kernel's parameters describe it: what stays out of the registers.
template <typename T> struct Array {
    const Tile &tile;
    const ThreadRing &ring;
    T *slots;  // of the ring
    const void *data;
    int storage;
    int64_t between;  // distance between systems

    __device__ Array(const Tile &tile, const ThreadRing &ring, T *shared, const void *data,
                     int storage, int64_t between)
        : tile(tile), ring(ring), slots(shared + ring.slots), data(data), storage(storage),
          between(between) {}
};

template <typename T, bool REVERSED> class Stream {
  public:
    __device__ explicit Stream(const Array<T> &array)
        : array(array), loaded(0), stored(0) {
        offset = offset_of(array.tile.system(array.tile.lane) * array.between);
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

    // Writes to `data` what is complete when the values u < end are.
    __device__ void release(void *data, int end) {
        while ((stored + 1) * WINDOW<T> <= end) {
            store(static_cast<T *>(data));
        }
    }

    // Writes the rest.
    __device__ void close(void *data) {
        while (stored * WINDOW<T> < array.ring.values + SECTOR<T> - 1) {
            store(static_cast<T *>(data));
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
    const Array<T> array;
    int offset;   // o of this lane's system
    int nearest;  // slot of this lane with u + o = 0
    int loaded;
    int stored;

    __device__ int pitch() const { return array.ring.capacity + SECTOR<T> - 1; }

    // o of the system whose first value has this index.
    __device__ int offset_of(int64_t first) const {
        if (array.between == 0) {
            return 0;
        }
        const unsigned ahead =
            unsigned(reinterpret_cast<uint64_t>(array.data) >> shift_of(array.storage)) +
            unsigned(first);
        return int((REVERSED ? 0u - (ahead + unsigned(array.ring.values)) : ahead) &
                   unsigned(SECTOR<T> - 1));
    }

    // Shows every value of window `window` to visit(i, slot, index in the array, whether it exists,
    // lane of its system), for i < TOGETHER, then calls finish(), and so on. A request of the warp
    // covers one window of each of 32/WINDOW systems, WINDOW systems apart: so its accesses to
    // shared memory do not conflict.
    template <int TOGETHER, typename Visit, typename Finish>
    __device__ void pass(int window, Visit visit, Finish finish) {
        const int place = window * WINDOW<T> + array.tile.lane % WINDOW<T>;
        int lane = array.tile.lane / WINDOW<T> * WINDOW<T>;
        int64_t first = array.tile.system(lane) * array.between;
        int nearest = lane * pitch() + SECTOR<T> - 1 + (place & (array.ring.capacity - 1));
#pragma unroll 1
        for (int request = 0; request < WINDOW<T>; request += TOGETHER) {
#pragma unroll
            for (int i = 0; i < TOGETHER; ++i) {
                const int offset = offset_of(first);
                const int u = place - offset;
                visit(i, nearest - offset, first + position(u),
                      unsigned(u) < unsigned(array.ring.values), lane);
                if (array.tile.holds(lane + 1)) {
                    first += array.between;
                }
                lane += 1;
                nearest += pitch();
            }
            finish();
        }
    }

    __device__ void fetch() {
        constexpr int TOGETHER = 4;
        T values[TOGETHER];
        int slots[TOGETHER];
        __syncwarp();
        pass<TOGETHER>(
            loaded,
            [&](int i, int slot, int64_t index, bool exists, int) {
                slots[i] = exists ? slot : -1;
                if (exists) {
                    values[i] = load<T>(array.data, index, array.storage);
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

    __device__ void store(T *data) {
        __syncwarp();
        pass<4>(
            stored,
            [&](int, int slot, int64_t index, bool exists, int lane) {
                if (exists && array.tile.holds(lane)) {
                    data[index] = array.slots[slot];
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
