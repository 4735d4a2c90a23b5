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

// Keeps 96 numbers in registers across a barrier: too many for 1024 threads.
extern "C" __global__ void many_registers(float* p) {
    float values[96];
#pragma unroll
    for (int i = 0; i < 96; i++) values[i] = p[i * blockDim.x + threadIdx.x];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 96; i++) p[i * blockDim.x + threadIdx.x] = values[95 - i];
}
