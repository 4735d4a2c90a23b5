// Inclusive prefix sum of blockDim.x integers (a power of two, up to 1024), one block:
// log2(blockDim.x) steps between two buffers. Dynamic shared memory: 2 blockDim.x integers.
extern "C" __global__ void scan(const int* in, int* out) {
    extern __shared__ int buffers[];
    int thread = threadIdx.x, width = blockDim.x, from = 0;
    buffers[thread] = in[thread];
    __syncthreads();
    for (int offset = 1; offset < width; offset *= 2) {
        int value = buffers[from * width + thread];
        if (thread >= offset) value += buffers[from * width + thread - offset];
        from = 1 - from;
        buffers[from * width + thread] = value;
        __syncthreads();
    }
    out[thread] = buffers[from * width + thread];
}
