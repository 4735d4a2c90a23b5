// The sizes (K, Q) for which there are kernels: those that need no spills.

#ifndef MECHANISTIC_THREAD_SIZES_CUH
#define MECHANISTIC_THREAD_SIZES_CUH

#define THREAD_SIZES(KERNEL) \
    KERNEL(1, 2)             \
    KERNEL(1, 3)             \
    KERNEL(1, 4)             \
    KERNEL(2, 2)             \
    KERNEL(2, 3)             \
    KERNEL(3, 2)

// The sizes for which there are chunk kernels.
#define THREAD_CHUNK_SIZES(KERNEL) \
    KERNEL(1, 2)                   \
    KERNEL(1, 3)                   \
    KERNEL(1, 4)                   \
    KERNEL(2, 2)

#endif
