// Cholesky factors of `systems` symmetric 4 x 4 matrices, a matrix per thread, in registers.
// Entry (i, j), i >= j, of matrix s lies at a[(i (i + 1) / 2 + j) systems + s]: interleaved, so
// that a warp's access is contiguous. The factor takes the matrix's place.
extern "C" __global__ void cholesky4(double* a, int systems) {
    int s = blockIdx.x * blockDim.x + threadIdx.x;
    if (s >= systems) return;
    double l[4][4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j <= i; j++) l[i][j] = a[(long long)(i * (i + 1) / 2 + j) * systems + s];
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
#pragma unroll
        for (int k = 0; k < j; k++) l[j][j] = fma(-l[j][k], l[j][k], l[j][j]);
        l[j][j] = sqrt(l[j][j]);
#pragma unroll
        for (int i = j + 1; i < 4; i++) {
#pragma unroll
            for (int k = 0; k < j; k++) l[i][j] = fma(-l[i][k], l[j][k], l[i][j]);
            l[i][j] = l[i][j] / l[j][j];
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j <= i; j++) a[(long long)(i * (i + 1) / 2 + j) * systems + s] = l[i][j];
    }
}
