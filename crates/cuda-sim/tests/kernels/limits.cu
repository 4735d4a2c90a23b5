// Compiled for blocks of at most 64 threads.
extern "C" __global__ void __launch_bounds__(64) bounded(int* out) {
    out[blockIdx.x * blockDim.x + threadIdx.x] = threadIdx.x;
}

// 1 KiB of static shared memory, and whatever a launch adds.
extern "C" __global__ void shared_kilobyte(int* out) {
    __shared__ int own[256];
    own[threadIdx.x] = threadIdx.x;
    __syncthreads();
    out[threadIdx.x] = own[blockDim.x - 1 - threadIdx.x];
}
