// The precisions and sizes (K, Q) for which there are kernels: those that need no spills.

#ifndef MECHANISTIC_THREAD_INSTANCES_CUH
#define MECHANISTIC_THREAD_INSTANCES_CUH

// Calls KERNEL(name of the precision, type, K, Q).
#define THREAD_SIZES(KERNEL, NAME, T)                                                                \
    KERNEL(NAME, T, 1, 2)                                                                            \
    KERNEL(NAME, T, 1, 3)                                                                            \
    KERNEL(NAME, T, 1, 4)                                                                            \
    KERNEL(NAME, T, 2, 2)                                                                            \
    KERNEL(NAME, T, 2, 3)                                                                            \
    KERNEL(NAME, T, 3, 2)

#define THREAD_INSTANCES(KERNEL)                                                                     \
    THREAD_SIZES(KERNEL, f64, double)                                                                \
    THREAD_SIZES(KERNEL, f32, float)

#endif
