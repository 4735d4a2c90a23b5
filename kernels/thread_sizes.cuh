// The sizes (K, Q) for which there are kernels: those that need no spills in double precision.

#ifndef MECHANISTIC_THREAD_SIZES_CUH
#define MECHANISTIC_THREAD_SIZES_CUH

#define THREAD_SIZES(KERNEL)                                                                       \
    KERNEL(1, 2)                                                                                   \
    KERNEL(1, 3)                                                                                   \
    KERNEL(1, 4)                                                                                   \
    KERNEL(2, 2)                                                                                   \
    KERNEL(2, 3)                                                                                   \
    KERNEL(3, 2)

// The same for chunks.
#define THREAD_CHUNK_SIZES(KERNEL)                                                                 \
    KERNEL(1, 2)                                                                                   \
    KERNEL(1, 3)                                                                                   \
    KERNEL(1, 4)                                                                                   \
    KERNEL(2, 2)

#endif
