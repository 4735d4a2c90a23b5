// Access to values of arrays in whatever precision they are stored.

#ifndef MECHANISTIC_STORAGE_CUH
#define MECHANISTIC_STORAGE_CUH

#include "common/parameters.h"

// Returns value `index` of an array of the given storage.
__device__ inline double read(const void *data, int storage, int64_t index) {
    if (storage == STORAGE_F64) {
        return static_cast<const double *>(data)[index];
    }
    if (storage == STORAGE_F32) {
        return static_cast<const float *>(data)[index];
    }
    const unsigned short bits = static_cast<const unsigned short *>(data)[index];
    float value = __uint_as_float(unsigned(bits) << 16);
    if (storage == STORAGE_F16) {
        asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    }
    return value;
}

// Writes a value to an array of results, which are stored in single or double precision.
__device__ inline void write(void *data, int storage, int64_t index, double value) {
    if (storage == STORAGE_F64) {
        static_cast<double *>(data)[index] = value;
    } else {
        static_cast<float *>(data)[index] = float(value);
    }
}

// Returns whether a result is finite once it is stored.
__device__ inline bool is_finite(int storage, double value) {
    return storage == STORAGE_F64 ? isfinite(value) : isfinite(float(value));
}

#endif
