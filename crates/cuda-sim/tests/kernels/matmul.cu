// c = a b, all n x n, row-major, n a multiple of 16. Grid (n/16, n/16), block (16, 16).
// The next pair of tiles is copied asynchronously while the present pair is multiplied.
// Dynamic shared memory: 2 buffers x 2 tiles x 16 x 16 floats = 4096 bytes (or more).
#include <cuda_pipeline_primitives.h>

extern "C" __global__ void matmul(const float* a, const float* b, float* c, int n) {
    extern __shared__ float tiles[];
    const int x = threadIdx.x, y = threadIdx.y, element = y * 16 + x;
    const int column = blockIdx.x * 16 + x, row = blockIdx.y * 16 + y;
    auto fetch = [&](int k) {
        float* buffer = tiles + (k % 2) * 512;
        __pipeline_memcpy_async(buffer + element, a + row * n + k * 16 + x, 4);
        __pipeline_memcpy_async(buffer + 256 + element, b + (k * 16 + y) * n + column, 4);
        __pipeline_commit();
    };
    float sum = 0;
    fetch(0);
    for (int k = 0; k < n / 16; k++) {
        if (k + 1 < n / 16) {
            fetch(k + 1);
            __pipeline_wait_prior(1);
        } else {
            __pipeline_wait_prior(0);
        }
        __syncthreads();
        const float* buffer = tiles + (k % 2) * 512;
        for (int i = 0; i < 16; i++) {
            sum = fmaf(buffer[y * 16 + i], buffer[256 + i * 16 + x], sum);
        }
        __syncthreads();
    }
    c[row * n + column] = sum;
}
