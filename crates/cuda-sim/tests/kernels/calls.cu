// Device functions that are not inlined: scalars, a pointer and a structure as parameters and
// results.
struct Pair {
    double sum;
    int count;
};

__device__ __noinline__ double square_plus(double x, float y) {
    return x * x + y;
}

__device__ __noinline__ Pair accumulate(Pair pair, double x) {
    pair.sum += x;
    pair.count += 1;
    return pair;
}

__device__ __noinline__ void scale(double* values, int count, double factor) {
    for (int i = 0; i < count; i++) values[i] *= factor;
}

// out[i] = 2 (sum over k = 1..i%4+1 of (in[i] + k)^2 + 0.5) + the number of terms.
extern "C" __global__ void calls(const double* in, double* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    Pair pair = {0.0, 0};
    for (int k = 1; k <= i % 4 + 1; k++) pair = accumulate(pair, square_plus(in[i] + k, 0.5f));
    double values[2] = {pair.sum, (double)pair.count / 2};
    scale(values, 2, 2.0);
    out[i] = values[0] + values[1];
}
