// out = transpose of in, both n x n, row-major, n a multiple of 32.
// Grid (n/32, n/32), block (32, 8): a block moves one 32 x 32 tile, a thread four elements.

// Straight through: reads rows, writes columns.
extern "C" __global__ void transpose_direct(const float* in, float* out, int n) {
    int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32 + threadIdx.y;
    for (int j = 0; j < 32; j += 8) out[x * n + y + j] = in[(y + j) * n + x];
}

// Through shared memory, rows PITCH words apart: 32 puts a column into one bank, 33 into all.
template <int PITCH>
__device__ void transpose_tile(const float* in, float* out, int n) {
    __shared__ float tile[32 * PITCH];
    int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32 + threadIdx.y;
    for (int j = 0; j < 32; j += 8) {
        tile[(threadIdx.y + j) * PITCH + threadIdx.x] = in[(y + j) * n + x];
    }
    __syncthreads();
    x = blockIdx.y * 32 + threadIdx.x;
    y = blockIdx.x * 32 + threadIdx.y;
    for (int j = 0; j < 32; j += 8) {
        out[(y + j) * n + x] = tile[threadIdx.x * PITCH + threadIdx.y + j];
    }
}

extern "C" __global__ void transpose_conflicts(const float* in, float* out, int n) {
    transpose_tile<32>(in, out, n);
}

extern "C" __global__ void transpose_padded(const float* in, float* out, int n) {
    transpose_tile<33>(in, out, n);
}
