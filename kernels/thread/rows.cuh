// The rows of A as a thread reads them for its system: equation and initial rows from the staged
// inputs, smoothness rows from the table in the constant bank.

#ifndef MECHANISTIC_THREAD_ROWS_CUH
#define MECHANISTIC_THREAD_ROWS_CUH

#include "thread/stream.cuh"

namespace thread {

// The values of one input of this lane's system, point after point in the order of a sweep (BACK or
// not). Points are counted in time, from the first of the lane on. The gradient of a value takes
// its place once the value is read. If AHEAD, values are fetched ahead of their use.
template <bool BACK, typename AnyTile, bool AHEAD>
class Values {
  public:
    // `each` is how many values a point has: 0 if there is no time axis.
    __device__ Values(const AnyTile &tile, const Input &input, int each, const ThreadRing &ring)
        : array(tile, ring, input, each), each(each), stream(array) {}

    // Makes `count` values of point t from `first` on readable. Where these are the first that are
    // used of the point (`opens`) and all of the points before have been, begins to fetch the
    // others and those of the point that comes next.
    __device__ void require(int t, int first, int count, bool opens = false) {
        if (!array.shared()) {
            stream.require(each * t + first, count, each * t, each, opens);
        }
    }

    // Returns value i of point t.
    __device__ double get(int t, int i) {
        return array.shared() ? direct(t, i) : stream.get(each * t + i);
    }

    // Returns K times `width` values of point t from `first` on, each followed by Q − width zeros.
    template <int K, int Q>
    __device__ void get_row(int t, int first, int width, double (&row)[K * Q]) {
        const int start = each * t + first;
        if (array.shared()) {
#pragma unroll
            for (int i = 0; i < K * Q; ++i) {
                row[i] = i % Q < width ? direct(t, first + i / Q * width + i % Q) : 0.0;
            }
        } else if (array.wide()) {
            get_staged<K, Q, double>(start, width, row);
        } else {
            get_staged<K, Q, float>(start, width, row);
        }
    }

    // Clears the sums over time.
    __device__ void begin_gradient() {
        if (each == 0) {
            for (int v = 0; v < array.ring.values; ++v) {
                sum(v) = 0;
            }
        }
    }

    // Sets the gradient of value i of point t; a value without a time axis gets the sum over time.
    __device__ void put(int t, int i, double gradient) {
        if (each == 0) {
            sum(i) += gradient;
        } else {
            stream.put(each * t + i, gradient);
        }
    }

    // Does the same for values in the order of get_row.
    template <int K, int Q>
    __device__ void put_row(int t, int first, int width, const double (&gradients)[K * Q]) {
        if (each == 0) {
#pragma unroll
            for (int i = 0; i < K * Q; ++i) {
                if (i % Q < width) {
                    sum(first + i / Q * width + i % Q) += gradients[i];
                }
            }
        } else if (array.wide()) {
            put_staged<K, Q, double>(each * t + first, width, gradients);
        } else {
            put_staged<K, Q, float>(each * t + first, width, gradients);
        }
    }

    // Writes gradients, if they are wanted; `count` of point t from `first` on are complete, and
    // all before them.
    __device__ void release(const Output &output, int t, int first, int count) {
        if (each != 0 && output.data != nullptr) {
            const int v = each * t + first;
            if (array.shared()) {
                stream.release_sums(output, partial(output), v, count);
            } else {
                stream.release(output.data, output.storage, output.system, v, count);
            }
        }
    }

    // Writes the gradients that are left.
    __device__ void end_gradient(const Output &output) {
        if (output.data == nullptr) {
            return;
        }
        if constexpr (AnyTile::CHUNKED) {
            if (each == 0) {
                write_sums(output);
                return;
            }
        } else if (each == 0) {
            array.tile.barrier();
            if (array.tile.backward) {
                return;
            }
            for (int v = 0; v < array.ring.values; ++v) {
                stream.put(v, sum(v) + (&sum(v))[array.tile.common.chunks.warp_values]);
            }
        }
        if (array.shared()) {
            stream.close_sums(output, partial(output));
        } else {
            stream.close(output.data, output.storage, output.system);
        }
    }

  private:
    const Array<AnyTile> array;
    const int each;
    Stream<BACK, AnyTile, AHEAD> stream;

    template <int K, int Q, typename Slot>
    __device__ void get_staged(int start, int width, double (&row)[K * Q]) {
#pragma unroll
        for (int i = 0; i < K * Q; ++i) {
            row[i] = i % Q < width ? double(stream.template at<Slot>(start + i / Q * width + i % Q))
                                   : 0.0;
        }
    }
    template <int K, int Q, typename Slot>
    __device__ void put_staged(int start, int width, const double (&gradients)[K * Q]) {
#pragma unroll
        for (int i = 0; i < K * Q; ++i) {
            if (i % Q < width) {
                stream.template at<Slot>(start + i / Q * width + i % Q) = Slot(gradients[i]);
            }
        }
    }

    // Returns value i of point t of an array of which all lanes read the same values.
    __device__ double direct(int t, int i) const {
        return read(array.data, array.storage, array.place(t, i));
    }

    __device__ double &sum(int v) {
        const AnyTile tile = here<AHEAD>(array.tile);
        return memory_of(tile)[array.ring.sums + tile.lane * (array.ring.values | 1) + v];
    }
    // Returns where this tile's partial sums begin, or those of its points.
    __device__ int64_t partial(const Output &output) const {
        return array.tile.group() * output.system + array.tile.start(0, each);
    }

    // Adds up the sums over time of a span's chunks, in order; the span's lanes share the values
    // out.
    __device__ void write_sums(const Output &output) {
        const auto &tile = array.tile;
        tile.barrier();
        if (!tile.holds(tile.lane)) {
            return;
        }
        const int first = tile.thread - tile.in_span();
        const int64_t start = partial(output);
        for (int v = tile.in_span(); v < array.ring.values; v += tile.span()) {
            double sum = 0;
            for (int thread = first; thread < first + tile.span(); ++thread) {
                sum += block_memory()[tile.memory(thread / LANES) + array.ring.sums + v +
                                      thread % LANES * (array.ring.values | 1)];
            }
            write(output.data, output.storage, start + v, sum);
        }
    }
};

// The scale of the rows that are balanced: powers of the mean step of a point.
template <int Q>
struct Scale {
    double power[Q];  // l^j

    __device__ double equation(const Problem &problem) const {
        return select(problem.equation_derivatives - 1);
    }
    // Returns l^j for a j that is not known at compile time.
    __device__ double select(int j) const {
        double value = power[0];
#pragma unroll
        for (int i = 1; i < Q; ++i) {
            value = i == j ? power[i] : value;
        }
        return value;
    }
};

template <int Q>
__device__ void powers(double length, double (&power)[Q]) {
    power[0] = 1;
#pragma unroll
    for (int j = 1; j < Q; ++j) {
        power[j] = power[j - 1] * length;
    }
}

// The inputs of this lane's system.
template <int K, int Q, bool BACK, typename AnyTile>
class Inputs {
  public:
    static constexpr int P = K * Q;
    static constexpr bool AHEAD = AMPLE<P, AnyTile>;

    Values<BACK, AnyTile, AHEAD> coefficients;
    Values<BACK, AnyTile, AHEAD> rhs;
    Values<BACK, AnyTile, AHEAD> initial_values;
    Values<BACK, AnyTile, AHEAD> steps;

    __device__ explicit Inputs(const AnyTile &tile)
        : coefficients(tile, tile.common.problem.coefficients,
                       tile.common.problem.coefficients.each, tile.common.coefficients),
          rhs(tile, tile.common.problem.rhs, tile.common.problem.rhs.each, tile.common.rhs),
          initial_values(tile, tile.common.problem.initial_values,
                         K * tile.common.problem.initial_derivatives, tile.common.initial_values),
          steps(tile, tile.common.problem.steps, tile.common.problem.steps.each, tile.common.steps),
          tile(tile),
          problem(tile.common.problem) {}

    // Calls visit(e, c, b) for every equation row Σ c z_t = b of point t, then finish(e) in all
    // lanes.
    template <typename Visit, typename Finish>
    __device__ void equations(int t, Visit visit, Finish finish) {
        const int width = problem.equation_derivatives;
        const bool reversed = tile.reversed(BACK);
        const int place = tile.place(t);
#pragma unroll 1
        for (int i = 0; i < problem.equations; ++i) {
            const int e = reversed ? problem.equations - 1 - i : i;
            const int first = e * K * width;
            coefficients.require(place, first, K * width, i == 0);
            rhs.require(place, e, 1, i == 0);
            if (tile.has(t)) {
                double c[P];
                coefficients.template get_row<K, Q>(place, first, width, c);
                visit(e, c, rhs.get(place, e));
            }
            finish(e);
        }
    }
    template <typename Visit>
    __device__ void equations(int t, Visit visit) {
        equations(t, visit, [](int) {});
    }

    // Calls visit(i, v) for every initial row z_t[i] = v of point t.
    template <typename Visit>
    __device__ void initial(int t, Visit visit) {
        const int given = problem.initial_derivatives;
        if (tile.earliest(t) >= problem.initial_points || given == 0) {
            return;
        }
        const int place = tile.place(t);
        initial_values.require(place, 0, K * given);
        if (AnyTile::CHUNKED && !(tile.has(t) && tile.point(t) < problem.initial_points)) {
            return;
        }
#pragma unroll
        for (int k = 0; k < K; ++k) {
#pragma unroll
            for (int j = 0; j < Q; ++j) {
                if (j < given) {
                    visit(k * Q + j, initial_values.get(place, k * given + j));
                }
            }
        }
    }

    // Sets the lengths of the step from point t to the next, if there is one: s_t of the K states,
    // negative if it goes back in time. Returns the scale of the rows of the point. `length` has
    // the step before; what all points share is read at the first. For sweeps that are not BACK.
    __device__ Scale<Q> lengths(int t, double (&length)[K]) {
        const double before = tile.scaled_before(t) ? mean(length) : 0.0;
        if (!tile.meets(t)) {
            require_step(t);
        }
        if (has_step(t) && (t == 0 || problem.steps.time != 0)) {
            get_step(t, length);
        }
        return scale(tile.scaled_before(t) ? before : mean(length));
    }

    // Does the same in sweeps that are BACK. Where there is no step, `length` is that of another
    // one. If AHEAD, what all points share is read at the last.
    __device__ Scale<Q> lengths_back(int t, double (&length)[K]) {
        const int scaling = tile.scaled_by(t);
        require_step(AnyTile::CHUNKED ? max(t - 1, 0) : scaling);
        if constexpr (!AHEAD) {
#pragma unroll
            for (int k = 0; k < K; ++k) {
                length[k] = 0;  // the point before needs no register for it
            }
        }
        const bool reads =
            tile.has(t) && (!AHEAD || t + 1 == tile.own_points() || problem.steps.time != 0);
        if (reads) {
            get_step(scaling, length);
        }
        const Scale<Q> scale = this->scale(mean(length));
        if (!AnyTile::CHUNKED && reads && scaling != t && !tile.meets(t)) {
            get_step(t, length);
        }
        return scale;
    }

    __device__ bool has_step(int t) const { return tile.has(t) && !tile.last(t) && !tile.meets(t); }

  private:
    const AnyTile &tile;
    const Problem &problem;

    __device__ void require_step(int t) {
        steps.require(tile.step(t), 0, problem.steps.state != 0 ? K : 1);
    }
    __device__ void get_step(int t, double (&length)[K]) {
        const bool each = problem.steps.state != 0;
        const int step = tile.step(t);
        length[0] = tile.sign() * steps.get(step, 0);
#pragma unroll
        for (int k = 1; k < K; ++k) {
            length[k] = each ? tile.sign() * steps.get(step, k) : length[0];
        }
    }

    // Returns the mean of a step of these lengths, if rows are scaled by it.
    __device__ double mean(const double (&length)[K]) const {
        double mean = 1;
        if (problem.balanced) {
            mean = length[0];
            if (problem.steps.state != 0) {
#pragma unroll
                for (int k = 1; k < K; ++k) {
                    mean += length[k];
                }
                mean /= K;
            }
            mean *= tile.sign();
        }
        return mean;
    }
    __device__ static Scale<Q> scale(double mean) {
        Scale<Q> scale;
        powers(mean, scale.power);
        return scale;
    }
};

// Returns the part of a point's values that belongs to state k.
template <int Q, typename T, int P>
__device__ T (&state(T (&x)[P], int k)) [Q] { return reinterpret_cast<T(&)[Q]>(x[k * Q]); }

// Returns a·(x, y) of a smoothness row whose points hold x and y, already multiplied by powers of
// the length.
template <int Q>
__device__
    double row_times(const ThreadRows &rows, int row, const double (&x)[Q], const double (&y)[Q]) {
    double sum = 0;
#pragma unroll
    for (int j = 0; j < Q; ++j) {
        sum += rows.table[row * 2 * Q + j] * x[j];
        sum += rows.table[row * 2 * Q + Q + j] * y[j];
    }
    return sum;
}

}  // namespace thread

#endif
