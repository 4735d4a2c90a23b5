// Factorisation of the weighted rows themselves, WA = QR, without forming M: RᵀR = M, but the
// errors grow with the condition number of WA and not with its square.
//
// A triangle holds what the rows so far have left over for a point; each further row is rotated
// into it column by column (Givens). The smoothness rows of a state come as R of their table C = QR
// times powers of the step: their right-hand side is zero, so Q changes nothing. Its first Q rows
// couple two points, the others belong to the next point alone. Columns are divided by their scales
// (equilibration.cuh), and R is multiplied by them on the way out.

#ifndef MECHANISTIC_THREAD_SQUARE_ROOT_CUH
#define MECHANISTIC_THREAD_SQUARE_ROOT_CUH

#include "equilibration.cuh"
#include "rotation.cuh"
#include "thread_factor.cuh"
#include "thread_rows.cuh"

namespace thread {

template <typename T, int K, int Q> class SquareRoot {
  public:
    static constexpr int P = K * Q;
    static constexpr bool FROM_ROWS = true;

    FactorRow<T, K, Q> row;  // the triangle, then a row of R
    double right[P];         // QᵀWβ, after `eliminate`

    __device__ SquareRoot() {
        clear(row.upper_values);
        clear(rhs);
        clear(removed);
    }

    // Before the first row: the states' first step.
    __device__ void start(const T (&length)[K]) { set_exponents(length, exponent); }

    // Adds the row Σ c z_t = b, times `factor`.
    __device__ void add_row(const T (&c)[P], T b, T factor) {
        T x[P];
#pragma unroll
        for (int i = 0; i < P; ++i) {
            x[i] = factor * c[i] * scale(-exponent[i / Q], i % Q);
        }
        T y = factor * b;
        absorb<0>(row.upper_values, rhs, x, y);
    }

    // Adds the row z_t[i] = b, times `factor`.
    __device__ void add_unit_row(int i, T b, T factor) {
        T x[P];
#pragma unroll
        for (int k = 0; k < P; ++k) {
            x[k] = k == i ? factor * scale(-exponent[k / Q], k % Q) : T(0);
        }
        T y = factor * b;
        absorb<0>(row.upper_values, rhs, x, y);
    }

    // Adds the smoothness rows to the next point, whose states have these steps, times `factor`.
    __device__ void add_smoothness(const ThreadRows &rows, const T (&length)[K], T factor) {
        clear(row.link_values);
        clear(next_upper);
        clear(next_rhs);
        set_exponents(length, next_exponent);
        add_state<0>(rows, length, factor);
    }

    // Row t of R from the triangle.
    __device__ void eliminate(int t, bool last, Pivots<T> &pivots) {
#pragma unroll
        for (int i = 0; i < P; ++i) {
            T whole = removed[i];
#pragma unroll
            for (int m = 0; m <= i; ++m) {
                whole += row.upper(m, i) * row.upper(m, i);
            }
            const T pivot = pivot_of_root(row.upper(i, i));
            row.upper(i, i) = pivots.reciprocal_root(pivot, whole, t, i) *
                              scale(-exponent[i / Q], i % Q);
#pragma unroll
            for (int m = 0; m < i; ++m) {
                row.upper(m, i) *= scale(exponent[i / Q], i % Q);
            }
            right[i] = double(rhs[i]);
        }
        if (last) {
            return;
        }
#pragma unroll
        for (int j = 0; j < P; ++j) {
            removed[j] = T(0);
#pragma unroll
            for (int m = Layout<K, Q>::first_row(j); m < P; ++m) {
                removed[j] += row.link(m, j) * row.link(m, j);
                row.link(m, j) *= scale(next_exponent[j / Q], j % Q);
            }
        }
    }

    // Moves on to the next point.
    __device__ void advance(const ThreadRows &, const T (&)[K], T) {
#pragma unroll
        for (int k = 0; k < K; ++k) {
            exponent[k] = next_exponent[k];
        }
#pragma unroll
        for (int j = 0; j < P; ++j) {
            rhs[j] = next_rhs[j];
        }
#pragma unroll
        for (int i = 0; i < Layout<K, Q>::UPPER; ++i) {
            row.upper_values[i] = next_upper[i];
        }
    }

  private:
    T rhs[P];
    T removed[P];  // squared norm of what earlier rows of R hold in each column
    T next_upper[Layout<K, Q>::UPPER];
    T next_rhs[P];
    int exponent[K];  // of the steps that scale the columns of each state
    int next_exponent[K];

    __device__ static void set_exponents(const T (&length)[K], int (&exponent)[K]) {
#pragma unroll
        for (int k = 0; k < K; ++k) {
            exponent[k] = exponent_of_step(length[k], Q);
        }
    }

    __device__ static T scale(int exponent, int derivative) {
        return power_of_two<T>(exponent * derivative);
    }

    template <int COUNT> __device__ static void clear(T (&x)[COUNT]) {
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            x[i] = T(0);
        }
    }

    // Rotates the row (x, y), whose columns FIRST .. END may be nonzero, into a triangle and its
    // right-hand side. From column END on, these rows of the triangle are zero too, if END < P.
    template <int FIRST, int END = P>
    __device__ static void absorb(T (&upper)[Layout<K, Q>::UPPER], T (&rhs)[P], T (&x)[P], T &y) {
#pragma unroll
        for (int i = FIRST; i < END; ++i) {
            const Rotation<T> rotation(upper[Layout<K, Q>::upper(i, i)], x[i]);
#pragma unroll
            for (int k = i + 1; k < END; ++k) {
                rotation.turn(upper[Layout<K, Q>::upper(i, k)], x[k]);
            }
            rotation.turn(rhs[i], y);
        }
    }

    // The rows of states GROUP and later.
    template <int GROUP>
    __device__ void add_state(const ThreadRows &rows, const T (&length)[K], T factor) {
        if constexpr (GROUP < K) {
            add_state_row<GROUP, 0>(rows, length[GROUP], factor);
            add_state<GROUP + 1>(rows, length, factor);
        }
    }

    // Rows ROW and later of R of the table, of state GROUP.
    template <int GROUP, int ROW>
    __device__ void add_state_row(const ThreadRows &rows, T length, T factor) {
        if constexpr (ROW < 2 * Q) {
            T here[P], there[P], y = T(0);
            clear(here);
            clear(there);
            T power = factor;
#pragma unroll
            for (int j = 0; j < Q; ++j) {
                if (j >= ROW) {
                    here[GROUP * Q + j] = gram<T>(rows, ROW * 2 * Q + j) * power *
                        scale(-exponent[GROUP], j);
                }
                if (Q + j >= ROW) {
                    there[GROUP * Q + j] = gram<T>(rows, ROW * 2 * Q + Q + j) * power *
                        scale(-next_exponent[GROUP], j);
                }
                power *= length;
            }
            if constexpr (ROW < Q) {
#pragma unroll
                for (int i = GROUP * Q + ROW; i < P; ++i) {
                    const Rotation<T> rotation(row.upper(i, i), here[i]);
#pragma unroll
                    for (int k = i + 1; k < P; ++k) {
                        rotation.turn(row.upper(i, k), here[k]);
                    }
#pragma unroll
                    for (int k = 0; k < (GROUP + 1) * Q; ++k) {
                        rotation.turn(row.link(i, k), there[k]);
                    }
                    rotation.turn(rhs[i], y);
                }
                absorb<0, (GROUP + 1) * Q>(next_upper, next_rhs, there, y);
            } else {
                absorb<GROUP * Q + ROW - Q, GROUP * Q + Q>(next_upper, next_rhs, there, y);
            }
            add_state_row<GROUP, ROW + 1>(rows, length, factor);
        }
    }
};

}  // namespace thread

#endif
