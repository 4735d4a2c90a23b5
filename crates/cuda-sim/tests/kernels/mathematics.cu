// The device's mathematical library, f64 and f32: FUNCTIONS numbers per argument.
#define FUNCTIONS 12

extern "C" __global__ void functions_f64(const double* in, double* out) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    double x = in[i], *f = out + FUNCTIONS * i;
    f[0] = sin(x), f[1] = cos(x), f[2] = exp(x), f[3] = log(1 + x * x);
    f[4] = pow(fabs(x), 1.5), f[5] = tanh(x), f[6] = atan(x), f[7] = cbrt(x);
    f[8] = sqrt(fabs(x)), f[9] = sinh(x), f[10] = atan2(x, 2.0), f[11] = fmod(x, 0.3);
}

extern "C" __global__ void functions_f32(const float* in, float* out) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float x = in[i], *f = out + FUNCTIONS * i;
    f[0] = sinf(x), f[1] = cosf(x), f[2] = expf(x), f[3] = logf(1 + x * x);
    f[4] = powf(fabsf(x), 1.5f), f[5] = tanhf(x), f[6] = atanf(x), f[7] = cbrtf(x);
    f[8] = sqrtf(fabsf(x)), f[9] = sinhf(x), f[10] = atan2f(x, 2.0f), f[11] = fmodf(x, 0.3f);
}
