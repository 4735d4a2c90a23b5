// x <- a x + 1, repeated a number of times that the thread's place in its warp decides
// (1 to 32), or the same 32 times for all.
__device__ double iterate(double x, double a, int times) {
#pragma unroll 1
    for (int i = 0; i < times; i++) x = fma(a, x, 1.0);
    return x;
}

extern "C" __global__ void iterate_by_lane(const double* a, double* out) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = iterate(0.5, a[i], threadIdx.x % 32 + 1);
}

extern "C" __global__ void iterate_evenly(const double* a, double* out) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = iterate(0.5, a[i], 32);
}

// Steps of the Collatz sequence from i + 1 down to 1: nested divergence.
extern "C" __global__ void collatz(int* steps, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    unsigned long long x = i + 1;
    int count = 0;
    while (x != 1) {
        if (x % 2 == 0) {
            x /= 2;
        } else {
            x = 3 * x + 1;
        }
        count++;
    }
    steps[i] = count;
}
