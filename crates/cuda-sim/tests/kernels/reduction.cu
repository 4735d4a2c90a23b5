// Sum of n numbers per block of 256 threads: shuffles within a warp, shared memory between warps.
// Grid: ceil(n / 256) blocks. out[block] receives the block's sum.
extern "C" __global__ void block_sums(const float* in, float* out, int n) {
    __shared__ float partial[8];
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = i < n ? in[i] : 0.0f;
    for (int offset = 16; offset > 0; offset /= 2) {
        sum += __shfl_down_sync(0xffffffff, sum, offset);
    }
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    if (lane == 0) partial[warp] = sum;
    __syncthreads();
    if (warp == 0) {
        sum = lane < 8 ? partial[lane] : 0.0f;
        for (int offset = 4; offset > 0; offset /= 2) {
            sum += __shfl_down_sync(0xffffffff, sum, offset);
        }
        if (lane == 0) out[blockIdx.x] = sum;
    }
}
