// The rows of A as a thread reads them for its system: equation and initial rows from the staged
// inputs, smoothness rows from the table in the constant bank.

#ifndef MECHANISTIC_THREAD_ROWS_CUH
#define MECHANISTIC_THREAD_ROWS_CUH

#include "thread_stream.cuh"

namespace thread {

// Values of one input of this lane's system, point after point (backward if REVERSED); with the
// gradient in their place, once each is read.
template <typename T, bool REVERSED> class Values {
  public:
    // `time` is the distance between points: 0 if there is no time axis.
    __device__ Values(const Tile &tile, const Input &input, int time, const ThreadRing &ring,
                      T *shared)
        : array(tile, ring, shared, input.data, input.storage, input.system), time(time),
          sums(reinterpret_cast<double *>(shared) + ring.sums), stream(array) {}

    // Makes `count` values of point t from `first` on readable.
    __device__ void require(int t, int first, int count) {
        if (array.between != 0) {
            const int v = time * t + first;
            stream.require(REVERSED ? array.ring.values - v : v + count);
        }
    }

    // Value i of point t.
    __device__ T get(int t, int i) {
        return array.between == 0 ? load<T>(array.data, time * t + i, array.storage)
                                  : stream.at(time * t + i);
    }

    // K times `width` values of point t from `first` on, each followed by Q − width zeros.
    template <int K, int Q> __device__ void get_row(int t, int first, int width, T (&row)[K * Q]) {
        const int start = time * t + first;
        if (array.between == 0) {
#pragma unroll
            for (int i = 0; i < K * Q; ++i) {
                row[i] = i % Q < width
                             ? load<T>(array.data, start + i / Q * width + i % Q, array.storage)
                             : T(0);
            }
        } else {
#pragma unroll
            for (int i = 0; i < K * Q; ++i) {
                row[i] = i % Q < width ? stream.at(start + i / Q * width + i % Q) : T(0);
            }
        }
    }

    // Clears the sums over time.
    __device__ void begin_gradient() {
        if (time == 0) {
            for (int v = 0; v < array.ring.values; ++v) {
                sum(v) = 0;
            }
        }
    }

    // Gradient of value i of point t; a value without a time axis gets the sum over time.
    __device__ void put(int t, int i, double gradient) {
        if (time == 0) {
            sum(i) += gradient;
        } else {
            stream.at(time * t + i) = T(gradient);
        }
    }

    // Writes gradients, if they are wanted; those of point t are complete from value `first` on.
    // REVERSED only.
    __device__ void release(const Output &output, int t, int first) {
        if (time != 0 && output.data != nullptr) {
            const int end = array.ring.values - (time * t + first);
            if (array.between == 0) {
                stream.release_sums(partial(output), end);
            } else {
                stream.release(output.data, end);
            }
        }
    }

    // Writes the rest.
    __device__ void end_gradient(const Output &output) {
        if (output.data == nullptr) {
            return;
        }
        if (time == 0) {
            for (int v = 0; v < array.ring.values; ++v) {
                stream.at(v) = T(sum(v));
            }
        }
        if (array.between == 0) {
            stream.close_sums(partial(output));
        } else {
            stream.close(output.data);
        }
    }

  private:
    const Array<T> array;
    const int time;
    double *const sums;
    Stream<T, REVERSED> stream;

    __device__ double &sum(int v) { return sums[array.tile.lane * (array.ring.values | 1) + v]; }
    __device__ T *partial(const Output &output) const {
        return static_cast<T *>(output.data) + array.tile.index * output.system;
    }
};

// Factor of the rows that are balanced: powers of the mean step of a point.
template <typename T, int Q> struct Scale {
    T power[Q];  // l^j

    __device__ T equation(const Problem &problem) const {
        return select(problem.equation_derivatives - 1);
    }
    // l^j for a j that is not known at compile time.
    __device__ T select(int j) const {
        T value = power[0];
#pragma unroll
        for (int i = 1; i < Q; ++i) {
            value = i == j ? power[i] : value;
        }
        return value;
    }
};

template <typename T, int Q> __device__ void powers(T length, T (&power)[Q]) {
    power[0] = T(1);
#pragma unroll
    for (int j = 1; j < Q; ++j) {
        power[j] = power[j - 1] * length;
    }
}

// All inputs of this lane's system.
template <typename T, int K, int Q, bool REVERSED> class Inputs {
  public:
    static constexpr int P = K * Q;

    Values<T, REVERSED> coefficients;
    Values<T, REVERSED> rhs;
    Values<T, REVERSED> initial_values;
    Values<T, REVERSED> steps;

    __device__ Inputs(const Tile &tile, const ThreadProblem &common, T *shared)
        : coefficients(tile, common.problem.coefficients, int(common.problem.coefficients.time),
                       common.coefficients, shared),
          rhs(tile, common.problem.rhs, int(common.problem.rhs.time), common.rhs, shared),
          initial_values(tile, common.problem.initial_values,
                         K * common.problem.initial_derivatives, common.initial_values, shared),
          steps(tile, common.problem.steps, int(common.problem.steps.time), common.steps, shared),
          problem(common.problem) {}

    // visit(e, c, b) for every equation row Σ c z_t = b of point t.
    template <typename Visit> __device__ void equations(int t, Visit visit) {
        const int width = problem.equation_derivatives;
#pragma unroll 1
        for (int i = 0; i < problem.equations; ++i) {
            const int e = REVERSED ? problem.equations - 1 - i : i;
            const int first = e * K * width;
            coefficients.require(t, first, K * width);
            rhs.require(t, e, 1);
            T c[P];
            coefficients.template get_row<K, Q>(t, first, width, c);
            visit(e, c, rhs.get(t, e));
        }
    }

    // visit(i, v) for every initial row z_t[i] = v of point t.
    template <typename Visit> __device__ void initial(int t, Visit visit) {
        const int given = problem.initial_derivatives;
        if (t >= problem.initial_points || given == 0) {
            return;
        }
        initial_values.require(t, 0, K * given);
#pragma unroll
        for (int k = 0; k < K; ++k) {
#pragma unroll
            for (int j = 0; j < Q; ++j) {
                if (j < given) {
                    visit(k * Q + j, initial_values.get(t, k * given + j));
                }
            }
        }
    }

    // Lengths s_t of the K states.
    __device__ void lengths(int t, T (&length)[K]) {
        const bool each = problem.steps.state != 0;
        steps.require(t, 0, each ? K : 1);
        length[0] = steps.get(t, 0);
#pragma unroll
        for (int k = 1; k < K; ++k) {
            length[k] = each ? steps.get(t, k) : length[0];
        }
    }

    // Scale of the rows of a point whose step has these lengths.
    template <typename Real> __device__ Scale<Real, Q> scale(const Real (&length)[K]) const {
        Real mean = Real(1);
        if (problem.balanced) {
            mean = length[0];
            if (problem.steps.state != 0) {
#pragma unroll
                for (int k = 1; k < K; ++k) {
                    mean += length[k];
                }
                mean /= Real(K);
            }
        }
        Scale<Real, Q> scale;
        powers(mean, scale.power);
        return scale;
    }

  private:
    const Problem &problem;
};

// Part of a point's values that belongs to state k.
template <int Q, typename T, int P> __device__ T (&state(T (&x)[P], int k))[Q] {
    return reinterpret_cast<T(&)[Q]>(x[k * Q]);
}

// Entry of CᵀC, or of R of C = QR, in the kernel's precision.
template <typename T> __device__ T gram(const ThreadRows &rows, int index);
template <> __device__ inline double gram<double>(const ThreadRows &rows, int index) {
    return rows.gram[index];
}
template <> __device__ inline float gram<float>(const ThreadRows &rows, int index) {
    return rows.single_gram[index];
}

// a·(x, y) of a smoothness row whose points hold x and y, already multiplied by powers of the
// length.
template <int Q>
__device__ double row_times(const ThreadRows &rows, int row, const double (&x)[Q],
                            const double (&y)[Q]) {
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
