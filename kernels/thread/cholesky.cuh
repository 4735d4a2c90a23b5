// Factorization by elimination in M = AᵀW²A, which is formed block by block in registers.

#ifndef MECHANISTIC_THREAD_CHOLESKY_CUH
#define MECHANISTIC_THREAD_CHOLESKY_CUH

#include "thread/factor.cuh"
#include "thread/rows.cuh"

namespace thread {

// Adds AᵀW²β of the row Σ c z_t = b, times `factor`, to the point's right-hand side.
template <int P>
__device__ void add_to_right(double (&right)[P], const double (&c)[P], double b, double factor) {
#pragma unroll
    for (int i = 0; i < P; ++i) {
        right[i] += factor * factor * c[i] * b;
    }
}
// Does the same for the row z_t[i] = b.
template <int P>
__device__ void add_to_right(double (&right)[P], int i, double b, double factor) {
    right[i] += factor * factor * b;
}

template <int K, int Q>
class Cholesky {
  public:
    static constexpr int P = K * Q;

    FactorRow<K, Q> row;  // of M while rows are added, of R after `eliminate`
    double right[P];      // of AᵀW²β, then R⁻ᵀ of it
    double removed[P];    // what elimination has taken from the diagonal of M

    __device__ Cholesky() {
#pragma unroll
        for (int i = 0; i < Layout<K, Q>::UPPER; ++i) {
            row.upper_values[i] = 0.0;
        }
#pragma unroll
        for (int i = 0; i < P; ++i) {
            right[i] = 0;
            removed[i] = 0.0;
        }
    }

    // Adds the row Σ c z_t = b, times `factor`.
    __device__ void add_row(const double (&c)[P], double b, double factor) {
        add_to_right(right, c, b, factor);
#pragma unroll
        for (int i = 0; i < P; ++i) {
            const double weighted = factor * factor * c[i];
#pragma unroll
            for (int k = i; k < P; ++k) {
                row.upper(i, k) += weighted * c[k];
            }
        }
    }

    // Adds the row z_t[i] = b, times `factor`.
    __device__ void add_unit_row(int i, double b, double factor) {
        row.upper(i, i) += factor * factor;
        add_to_right(right, i, b, factor);
    }

    // Adds the smoothness rows to the next point, whose states have these steps, times `factor`.
    __device__ void add_smoothness(const ThreadRows &rows, const double (&length)[K],
                                   double factor) {
#pragma unroll
        for (int i = 0; i < Layout<K, Q>::LINK; ++i) {
            row.link_values[i] = 0.0;
        }
#pragma unroll
        for (int k = 0; k < K; ++k) {
            double power[2 * Q - 1];
            weighted_powers(length[k], factor, power);
#pragma unroll
            for (int i = 0; i < Q; ++i) {
#pragma unroll
                for (int j = 0; j < Q; ++j) {
                    row.link(k * Q + i, k * Q + j) = rows.gram[i * 2 * Q + Q + j] * power[i + j];
                    if (j >= i) {
                        row.upper(k * Q + i, k * Q + j) += rows.gram[i * 2 * Q + j] * power[i + j];
                    }
                }
            }
        }
    }

    // Computes row t of R, and R_tt⁻ᵀ of the right-hand side: R_tj = R_tt⁻ᵀ M_tj.
    __device__ void eliminate(int t, bool last, Pivots &pivots) {
        row.factorize(removed, t, pivots);
        if (!last) {
#pragma unroll
            for (int k = 0; k < P; ++k) {
#pragma unroll
                for (int i = Layout<K, Q>::first_row(k); i < P; ++i) {
#pragma unroll
                    for (int m = Layout<K, Q>::first_row(k); m < i; ++m) {
                        row.link(i, k) -= row.upper(m, i) * row.link(m, k);
                    }
                    row.link(i, k) *= row.upper(i, i);
                }
            }
        }
        row.forward(right);
    }

    // Leaves point t out instead of eliminating it: what follows does not depend on it.
    __device__ void skip() {
#pragma unroll
        for (int i = 0; i < Layout<K, Q>::LINK; ++i) {
            row.link_values[i] = 0.0;
        }
#pragma unroll
        for (int i = 0; i < P; ++i) {
            right[i] = 0;
        }
    }

    // Moves on to the next point, whose block is M_{t+1,t+1} − R_{t,t+1}ᵀ R_{t,t+1}, and whose
    // right-hand side is reduced alike.
    __device__ void advance(const ThreadRows &rows, const double (&length)[K], double factor) {
#pragma unroll
        for (int j = 0; j < P; ++j) {
#pragma unroll
            for (int k = j; k < P; ++k) {
                double sum = 0.0;
#pragma unroll
                for (int m = Layout<K, Q>::first_row(k); m < P; ++m) {
                    sum += row.link(m, j) * row.link(m, k);
                }
                row.upper(j, k) = -sum;
                if (j == k) {
                    removed[j] = sum;
                }
            }
        }
#pragma unroll
        for (int k = 0; k < K; ++k) {
            double power[2 * Q - 1];
            weighted_powers(length[k], factor, power);
#pragma unroll
            for (int i = 0; i < Q; ++i) {
#pragma unroll
                for (int j = i; j < Q; ++j) {
                    row.upper(k * Q + i, k * Q + j) +=
                        rows.gram[(Q + i) * 2 * Q + Q + j] * power[i + j];
                }
            }
        }
        double next[P];
        row.carry(right, next);
#pragma unroll
        for (int i = 0; i < P; ++i) {
            right[i] = next[i];
        }
    }

  private:
    // Computes w² h^n.
    __device__ static void weighted_powers(double length, double factor,
                                           double (&power)[2 * Q - 1]) {
        power[0] = factor * factor;
#pragma unroll
        for (int n = 1; n < 2 * Q - 1; ++n) {
            power[n] = power[n - 1] * length;
        }
    }
};

}  // namespace thread

#endif
