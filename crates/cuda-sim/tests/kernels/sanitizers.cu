// Kernels with one bug each, on the line marked "BUG <kernel>", and the same without it.
// The bugs lie in arguments or in a template parameter, so that both are the same code.
#include <cassert>

// In bounds for n <= the length of p.
extern "C" __global__ void global_bounds(float* p, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) p[i] = 1.0f;  // BUG global_bounds
}

// Aligned if shift is a multiple of 8.
extern "C" __global__ void alignment(char* p, int shift) {
    *(double*)(p + shift) = 1.0;  // BUG alignment
}

// In bounds for at < 32.
extern "C" __global__ void shared_bounds(int* out, int at) {
    __shared__ int values[32];
    values[threadIdx.x] = threadIdx.x;
    __syncthreads();
    if (threadIdx.x == 7) values[at] = 1;  // BUG shared_bounds
    __syncthreads();
    out[threadIdx.x] = values[threadIdx.x];
}

// In bounds for at < 16.
extern "C" __global__ void local_bounds(int* out, int at) {
    int values[16];
    for (int i = 0; i < 16; i++) values[i] = out[i];
    values[at] = 1;  // BUG local_bounds
    for (int i = 0; i < 16; i++) out[i] += values[(i + at) % 16];
}

extern "C" __global__ void read_global(const int* in, int* out) {
    out[threadIdx.x] = in[threadIdx.x];  // BUG read_global
}

// Every word is written first if written is 32.
extern "C" __global__ void read_shared(int* out, int written) {
    __shared__ int values[32];
    if (threadIdx.x < written) values[threadIdx.x] = 5;
    __syncthreads();
    out[threadIdx.x] = values[threadIdx.x];  // BUG read_shared
}

// Threads exchange values; without the barrier a read races with the write of another warp.
template <bool BARRIER>
__device__ void exchange(int* out) {
    __shared__ int values[64];
    values[threadIdx.x] = 0;
    __syncthreads();
    values[threadIdx.x] = threadIdx.x;
    if (BARRIER) __syncthreads();
    out[threadIdx.x] = values[63 - threadIdx.x];
}
extern "C" __global__ void shared_race(int* out) { exchange<false>(out); }
extern "C" __global__ void shared_ordered(int* out) { exchange<true>(out); }

// All blocks write the same word, at once or by atomics.
extern "C" __global__ void global_race(int* out) {
    if (threadIdx.x == 0) *out = blockIdx.x;  // BUG global_race
}
extern "C" __global__ void global_atomic(int* out) {
    if (threadIdx.x == 0) atomicAdd(out, 1);
}

// All threads reach the barrier if limit is at least the block size.
extern "C" __global__ void barrier(int* out, int limit) {
    __shared__ int value;
    if (threadIdx.x == 0) value = 3;
    if (threadIdx.x < limit) __syncthreads();  // BUG barrier
    if (threadIdx.x == 0) *out = value;
}

extern "C" __global__ void asserts(int* out, int wrong) {
    assert(threadIdx.x != wrong);  // BUG asserts
    out[threadIdx.x] = 1;
}

extern "C" __global__ void traps(int* out, int wrong) {
    if (threadIdx.x == wrong) __trap();  // BUG traps
    out[threadIdx.x] = 1;
}

// Aligned if shift is a multiple of 8.
extern "C" __global__ void shared_alignment(int* out, int shift) {
    __shared__ double values[8];
    values[threadIdx.x] = 1.0;
    __syncthreads();
    if (threadIdx.x == 0) out[0] = *(double*)((char*)values + shift);  // BUG shared_alignment
}

// Aligned if shift is a multiple of 4.
extern "C" __global__ void local_alignment(int* out, int shift) {
    char bytes[32];
    for (int i = 0; i < 32; i++) bytes[i] = out[i];
    out[32 + threadIdx.x] = *(int*)(bytes + shift);  // BUG local_alignment
}

__constant__ int constants[8] = {1, 2, 3, 4, 5, 6, 7, 8};

// In bounds for at < 8.
extern "C" __global__ void constant_bounds(int* out, int at) {
    out[threadIdx.x] = constants[at];  // BUG constant_bounds
}

// In bounds for at < the length of out.
extern "C" __global__ void atomic_bounds(int* out, int at) {
    atomicAdd(out + at, 1);  // BUG atomic_bounds
}
