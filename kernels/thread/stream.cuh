// Coalesced access to row-major arrays (system, values) by a warp whose lanes hold half of a
// system's points each, or a chunk of them; these take the place of systems below, with V values.
//
// A stream passes through the V values of every system of the tile in step, from the first or from
// the last one on. The warp fetches windows of 64 bytes a system, aligned to the sectors of global
// memory, and lays them into a ring in shared memory, from which each lane reads its own system's
// values. A lane may replace a value it has read; the windows are then written back in the same
// way, to an array of the same shape (an input's gradient).
//
// A slot has 8 bytes, or 4 if nothing is stored in double precision; what a lane lays into a slot
// of 4 is rounded to single precision, its share of a sum over the batch too. Then W = 8 or 16
// values are a window, and S = W/2 a sector (of what is stored in a slot's width; else windows are
// smaller). Let o (0 <= o < S) be such that value v of a system begins a sector where v + o is a
// multiple of S. Window w has the values with w·W <= v + o < (w + 1)·W. Value v of the system in
// lane l stands in slot
//     l·pitch + (v + o) mod capacity − o + S − 1,    pitch = capacity + S − 1.
// The pitch is odd and the capacity a multiple of the slots that all banks hold, so the lanes read
// the same v, and store a window, without bank conflicts. A capacity of two windows serves rows of
// up to W − S + 2 values. Where there is room, windows are fetched a point ahead of their use.

#ifndef MECHANISTIC_THREAD_STREAM_CUH
#define MECHANISTIC_THREAD_STREAM_CUH

#include "thread/tile.cuh"

namespace thread {

// Returns the logarithm (base 2) of the bytes of a stored value.
__device__ inline int shift_of(int storage) {
    return storage == STORAGE_F64 ? 3 : storage == STORAGE_F32 ? 2 : 1;
}

// An array (system, V) as the kernel's parameters describe it: the part that stays out of the
// registers. It is an input, or a result or cotangent, which lies row-major.
template <typename AnyTile>
struct Array {
    const AnyTile &tile;
    const ThreadRing &ring;
    const void *data;
    int storage;
    int wide_slots;
    int64_t between;     // distance between systems
    int each;            // values of a point, 0 where all points share them
    const Input *input;  // null for a result or a cotangent

    // The same array of a tile like its own.
    __device__ Array(const AnyTile &tile, const Array &other)
        : Array(tile, other.ring, other.data, other.storage, other.between, other.each,
                other.input) {
        forget();
    }
    __device__ Array(const AnyTile &tile, const ThreadRing &ring, const Input &input, int each)
        : Array(tile, ring, input.data, input.storage, input.system, each, &input) {}
    __device__ Array(const AnyTile &tile, const ThreadRing &ring, const void *data, int storage,
                     int64_t between, int each)
        : Array(tile, ring, data, storage, between, each, nullptr) {}

    // Returns V.
    __device__ int values() const { return tile.values(ring); }
    // Returns whether all lanes read the same values.
    __device__ bool shared() const { return input != nullptr && AnyTile::shared(*input); }
    // Returns whether the array lies as the gradient of an input does.
    __device__ bool dense() const { return input == nullptr || input->dense != 0; }

    // Returns the place of the first value of lane 0, and the distance of another lane's to that;
    // unless the array is dense, all distances are those to its first value.
    __device__ int64_t start() const { return dense() ? tile.start(between, each) : 0; }
    __device__ int distance(int lane) const {
        return dense() ? tile.distance(lane, between, each) : tile.start(*input, lane);
    }
    // Returns the distance from where value v would be, if points lay side by side, to where it is.
    __device__ int gap(int v) const {
        const int between_points = dense() ? 0 : int(input->time) - each;
        return between_points == 0 ? 0 : v / each * between_points;
    }
    // Returns the place of value i of point t of an input of which all lanes read the same values.
    __device__ int64_t place(int t, int i) const {
        return tile.common_start(*input) + (int(input->time) * t + i);
    }

    // Return the values of a window, those of a sector, and the slots of a system.
    __device__ int window() const { return 1 << window_bits(); }
    __device__ int window_bits() const { return wide() ? 3 : 4; }
    __device__ int sector() const { return wide() ? 4 : 8; }
    __device__ int capacity() const { return ring.capacity; }

    // Returns whether slots have 8 bytes.
    __device__ bool wide() const { return wide_slots != 0; }
    // Returns whether an array of this storage has values as its slots have them.
    __device__ bool fits(int storage) const {
        return storage == (wide() ? STORAGE_F64 : STORAGE_F32);
    }
    // Returns the first slot of the ring, counted from the begin of the block's memory.
    __device__ int first_slot() const {
        const int first = tile.memory() + ring.slots;
        return wide() ? first : 2 * first;
    }
    // Returns a slot of either width.
    template <typename Slot>
    __device__ static Slot &at(int slot) {
        return reinterpret_cast<Slot *>(block_memory())[slot];
    }

    __device__ double get(int slot) const {
        return wide() ? at<double>(slot) : double(at<float>(slot));
    }
    __device__ void put(int slot, double value) const {
        if (wide()) {
            at<double>(slot) = value;
        } else {
            at<float>(slot) = float(value);
        }
    }

  private:
    __device__ Array(const AnyTile &tile, const ThreadRing &ring, const void *data, int storage,
                     int64_t between, int each, const Input *input)
        : tile(tile),
          ring(ring),
          data(data),
          storage(storage),
          wide_slots(tile.common.wide),
          between(between),
          each(each),
          input(input) {}

    // Hides from the compiler that these never change. Chunks, which have fewer registers left,
    // hide the input's address as well: what follows from it would be kept for the whole sweep.
    __device__ void forget() {
        asm volatile("" : "+r"(storage), "+r"(wide_slots));
        if constexpr (AnyTile::CHUNKED) {
            asm volatile("" : "+l"(input));
        }
    }
};

// A stream of a result or a cotangent, (B, N, P).
template <int P, typename AnyTile>
__device__ Array<AnyTile> unknowns(const AnyTile &tile, const void *data) {
    const Problem &problem = tile.common.problem;
    return {tile, tile.common.unknowns, data, problem.results, problem.points * P, P};
}

// A stream in the order of a sweep (BACK or not) that, if AHEAD, may be fetched ahead of its use.
template <bool BACK, typename AnyTile, bool AHEAD = true>
class Stream {
  public:
    __device__ explicit Stream(const Array<AnyTile> &array)
        : array(array), loaded(0), arrived(0), stored(0) {
        offset = offset_of(begin(array.tile.lane));
        nearest = array.first_slot() + array.tile.lane * pitch() + array.sector() - 1 - offset;
    }

    // Returns value v of this lane's system, once it is readable.
    __device__ double get(int v) const { return array.get(slot(v)); }
    // Replaces value v of this lane's system.
    __device__ void put(int v, double value) { array.put(slot(v), value); }
    // Returns value v where it stands, as a value of the slots' type.
    template <typename Slot>
    __device__ Slot &at(int v) const {
        return Array<AnyTile>::template at<Slot>(slot(v));
    }

    // Makes `count` values of every system from `first` on readable, which belong to the point
    // whose `each` values begin at `point`. Where these are its first ones in this order (`opens`)
    // and AHEAD, begins to fetch its others and those of the point that comes next, as far as the
    // ring has room.
    __device__ void require(int first, int count, int point, int each, bool opens) {
        const bool down = reversed();
        const int needed = down ? windows() - windows_below(first) : windows_to(first + count);
        int wanted = needed;
        if constexpr (AHEAD) {
            if (arrived < min(needed, loaded)) {
                wait();
            }
            if (opens) {
                const int later = down ? windows() - windows_below(max(point - each, 0))
                                       : windows_to(min(point + 2 * each, array.values()));
                // The slots of the point are still needed.
                const int room = down ? windows() - windows_to(point + each - array.capacity())
                                      : windows_below(point + array.capacity());
                wanted = max(needed, min(later, room));
            }
        }
        if (loaded < wanted) {
            __syncwarp();
            while (loaded < wanted) {
                fetch();
            }
            if (!AHEAD || arrived < needed) {
                wait();
            }
        }
    }

    // Writes what is complete when `count` values of every system from `first` on are, after all
    // those before them, to `data`, of this storage and with systems `between` apart.
    __device__ void release(void *data, int storage, int64_t between, int first, int count) {
        const int complete = completed(first, count);
        while (stored < complete) {
            store(data, storage, between);
        }
    }

    // Writes the values that are left.
    __device__ void close(void *data, int storage, int64_t between) {
        const int all = windows();
        while (stored < all) {
            store(data, storage, between);
        }
    }

    // Writes sums over the tile's systems in the same way, added in an order that is always the
    // same, from value `start` of `sums` on.
    __device__ void release_sums(const Output &sums, int64_t start, int first, int count) {
        const int complete = completed(first, count);
        while (stored < complete) {
            store_sums(sums, start);
        }
    }
    __device__ void close_sums(const Output &sums, int64_t start) {
        const int all = windows();
        while (stored < all) {
            store_sums(sums, start);
        }
    }

  private:
    const Array<AnyTile> array;
    int offset;   // o of this lane's system
    int nearest;  // slot of this lane with v + o = 0
    int loaded;   // windows that are fetched
    int arrived;  // of them, those that are readable
    int stored;

    // The same stream in a pass, for which nothing is kept in registers from the one before: so its
    // array has a tile of its own.
    __device__ Stream(const Stream &other, const AnyTile &tile)
        : array(tile, other.array),
          offset(other.offset),
          nearest(other.nearest),
          loaded(other.loaded),
          arrived(other.arrived),
          stored(other.stored) {}

    // Loads that are under way at once: in a chunk, registers suffice for two.
    static constexpr int TOGETHER = AHEAD && !AnyTile::CHUNKED ? 4 : 2;

    __device__ int pitch() const { return array.capacity() + array.sector() - 1; }
    __device__ int slot(int v) const { return nearest + ((v + offset) & (array.capacity() - 1)); }

    // Returns whether the stream begins with the last values.
    __device__ bool reversed() const { return array.tile.reversed(BACK); }

    // Returns how many windows have the values v < end of every system, how many have only those,
    // and how many there are.
    __device__ int windows_to(int end) const {
        return (end + array.sector() + array.window() - 2) >> array.window_bits();
    }
    __device__ int windows_below(int end) const { return end >> array.window_bits(); }
    __device__ int windows() const { return windows_to(array.values()); }
    // Returns how many windows are complete when these values are, and all those before them.
    __device__ int completed(int first, int count) const {
        return reversed() ? windows() - windows_to(first) : windows_below(first + count);
    }
    // Returns the window that comes after so many others.
    __device__ int window_after(int others) const {
        return reversed() ? windows() - 1 - others : others;
    }

    // Returns the values between the begin of a sector and the first value of the tile's lane 0, if
    // the array is dense.
    __device__ int ahead() const {
        if (!array.dense()) {
            return 0;
        }
        const int64_t first = array.start();
        const uint64_t values = reinterpret_cast<uint64_t>(array.data) >> shift_of(array.storage);
        return int(unsigned(values) + unsigned(first)) & (array.sector() - 1);
    }
    // Returns the place of a lane's first value, counted from the begin of that sector.
    __device__ int begin(int lane) const { return ahead() + array.distance(lane); }
    // Returns o of the system whose values begin at this place: 0 where no sectors are met.
    __device__ int offset_of(int begin) const {
        return array.shared() || !array.dense() ? 0 : begin & (array.sector() - 1);
    }

    // Returns v + o of the values that this lane moves of a window.
    __device__ int place_in(int window) const {
        return window * array.window() + (array.tile.lane & (array.window() - 1));
    }

    // Shows every value of window `window` to visit(i, slot, lane of its system, place of that
    // system's first value, number v, whether it exists), for i < TOGETHER, then calls finish(),
    // and so on. A request of the warp covers one window of each of 32/W systems, W
    // systems apart: so its accesses to shared memory do not conflict.
    template <typename Visit, typename Finish>
    __device__ void pass(int window, int own_begin, Visit visit, Finish finish) {
        int lane = array.tile.lane;
        const int own_run = array.tile.run(lane, array.ring, array.each);
        const int place = place_in(window);
        lane &= -array.window();
        int nearest = array.first_slot() + lane * pitch() + array.sector() - 1 +
                      (place & (array.capacity() - 1));
#pragma unroll 1
        for (int request = 0; request < array.window(); request += TOGETHER) {
#pragma unroll
            for (int i = 0; i < TOGETHER; ++i) {
                const int begin = __shfl_sync(ALL_LANES, own_begin, lane);
                const int run = AnyTile::CHUNKED ? __shfl_sync(ALL_LANES, own_run, lane) : own_run;
                const int offset = offset_of(begin);
                const int v = place - offset;
                visit(i, nearest - offset, lane, begin, v, unsigned(v) < unsigned(run));
                lane += 1;
                nearest += pitch();
            }
            finish();
        }
    }

    // Returns an address of an array: a sum that is hidden from the compiler, which would rather
    // make it anew for every value.
    template <typename T>
    __device__ static T *base(T *data, int64_t start) {
        T *place = data + start;
        asm("" : "+l"(place));
        return place;
    }

    // Copies values of a window that need no conversion, of systems whose values begin `own_begin`
    // after `start`.
    template <typename Slot>
    __device__ void copy(int window, int64_t start, int own_begin) {
        const Slot *source = base(static_cast<const Slot *>(array.data), start);
        const unsigned target = unsigned(__cvta_generic_to_shared(block_memory()));
        int slots[TOGETHER], places[TOGETHER];
        pass(
            window, own_begin,
            [&](int i, int slot, int, int begin, int v, bool exists) {
                slots[i] = exists ? slot : -1;
                places[i] = begin + v;
            },
            [&]() {
#pragma unroll
                for (int i = 0; i < TOGETHER; ++i) {
                    if (slots[i] >= 0) {
                        asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(
                                         target + unsigned(slots[i]) * unsigned(sizeof(Slot))),
                                     "l"(source + places[i]), "n"(sizeof(Slot))
                                     : "memory");
                    }
                }
            });
    }

    __device__ void convert(int window, int64_t start, int own_begin) {
        double values[TOGETHER];
        int slots[TOGETHER];
        pass(
            window, own_begin,
            [&](int i, int slot, int, int begin, int v, bool exists) {
                slots[i] = exists ? slot : -1;
                if (exists) {
                    values[i] = read(array.data, array.storage, start + (begin + v));
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
    }

    __device__ void fetch() {
        const AnyTile tile = again(array.tile);
        Stream own(*this, tile);
        const int window = own.window_after(loaded);
        const int begin = own.begin(tile.lane);
        const int64_t start = own.array.start() - own.ahead() + own.array.gap(own.place_in(window));
        if (!own.array.fits(own.array.storage)) {
            own.convert(window, start, begin);
        } else if (own.array.wide()) {
            own.template copy<double>(window, start, begin);
        } else {
            own.template copy<float>(window, start, begin);
        }
        ++loaded;
    }

    // Makes all windows readable that are fetched.
    __device__ void wait() {
        asm volatile("cp.async.wait_all;" ::: "memory");
        __syncwarp();
        arrived = loaded;
    }

    // Writes a window to an array of Stored, from slots of type Slot.
    template <typename Slot, typename Stored>
    __device__ void store_as(void *data, int64_t between) {
        const AnyTile &tile = array.tile;
        const int own_distance = tile.distance(tile.lane, between, array.each);
        const int ahead = this->ahead(), held = tile.held();
        Stored *target = base(static_cast<Stored *>(data), tile.start(between, array.each) - ahead);
        // Chunks keep both: the systems of an array of partial sums are further apart than those of
        // the input.
        const int own_begin =
            AnyTile::CHUNKED || array.dense() ? begin(tile.lane) : ahead + own_distance;
        Slot values[TOGETHER];
        int places[TOGETHER];
        pass(
            window_after(stored), own_begin,
            [&](int i, int slot, int lane, int begin, int v, bool exists) {
                const int start =
                    AnyTile::CHUNKED ? ahead + __shfl_sync(ALL_LANES, own_distance, lane) : begin;
                exists &= lane < held;
                places[i] = exists ? start + v : -1;
                if (exists) {
                    values[i] = Array<AnyTile>::template at<Slot>(slot);
                }
            },
            [&]() {
#pragma unroll
                for (int i = 0; i < TOGETHER; ++i) {
                    if (places[i] >= 0) {
                        target[places[i]] = Stored(values[i]);
                    }
                }
            });
    }

    __device__ void store(void *data, int storage, int64_t between) {
        const AnyTile tile = again(array.tile);
        Stream own(*this, tile);
        __syncwarp();
        if (storage == STORAGE_F64) {
            own.array.wide() ? own.template store_as<double, double>(data, between)
                             : own.template store_as<float, double>(data, between);
        } else {
            own.array.wide() ? own.template store_as<double, float>(data, between)
                             : own.template store_as<float, float>(data, between);
        }
        ++stored;
        __syncwarp();
    }

    __device__ void store_sums(const Output &sums, int64_t start) {
        const int window = array.window();
        const int v = window_after(stored) * window + (array.tile.lane & (window - 1));
        const int slot = array.first_slot() + (array.tile.lane & -window) * pitch() +
                         array.sector() - 1 + (v & (array.capacity() - 1));
        const bool inside = v < array.values();
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
            sum += __shfl_xor_sync(ALL_LANES, sum, distance);
        }
        if (inside && array.tile.lane < window) {
            write(sums.data, sums.storage, start + v, sum);
        }
        ++stored;
        __syncwarp();
    }
};

}  // namespace thread

#endif
