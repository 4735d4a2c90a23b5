// Kernels whose simulated speed the bench prints.

// Cholesky factors of `systems` symmetric P x P matrices, a matrix per thread, in registers; entry
// (i, j), i >= j, of matrix s lies at a[(i (i + 1) / 2 + j) systems + s]. The factor goes to `l`.
template <int P>
__device__ void cholesky(const double* a, double* l, int systems) {
    int s = blockIdx.x * blockDim.x + threadIdx.x;
    if (s >= systems) return;
    double m[P][P];
#pragma unroll
    for (int i = 0; i < P; i++)
#pragma unroll
        for (int j = 0; j <= i; j++) m[i][j] = a[(long long)(i * (i + 1) / 2 + j) * systems + s];
#pragma unroll
    for (int j = 0; j < P; j++) {
#pragma unroll
        for (int k = 0; k < j; k++) m[j][j] = fma(-m[j][k], m[j][k], m[j][j]);
        m[j][j] = sqrt(m[j][j]);
        double inverse = 1.0 / m[j][j];
#pragma unroll
        for (int i = j + 1; i < P; i++) {
#pragma unroll
            for (int k = 0; k < j; k++) m[i][j] = fma(-m[i][k], m[j][k], m[i][j]);
            m[i][j] *= inverse;
        }
    }
#pragma unroll
    for (int i = 0; i < P; i++)
#pragma unroll
        for (int j = 0; j <= i; j++) l[(long long)(i * (i + 1) / 2 + j) * systems + s] = m[i][j];
}

extern "C" __global__ void cholesky4(const double* a, double* l, int systems) {
    cholesky<4>(a, l, systems);
}

extern "C" __global__ void cholesky12(const double* a, double* l, int systems) {
    cholesky<12>(a, l, systems);
}
