// Instances of the parts of the gradients of systems whose chunks are spread over blocks:
// thread/spans.cuh says which follows which. The contracts of thread/adjoint.cuh and
// thread/separators.cuh are those of all together.
//
//   grid    x = ceil(B·C/32) for spans of up to 32 chunks, else the spans of all systems
//   block   32 threads, or the chunks of a span, at most 256
//   shared  as for thread/chunk_adjoint.cu
//   reads, writes  also `spikes` and `separators` of the workspace, which the solve has filled

#include "thread/sizes.cuh"
#include "thread/spans.cuh"

#define KERNEL(NAME, K, Q, ...) \
    extern "C" __global__ void __launch_bounds__(256, 1) thread_span_##NAME##_##K##_##Q(__VA_ARGS__)

#define KERNELS(K, Q)                                                                \
    KERNEL(cotangent, K, Q, const __grid_constant__ ThreadAdjoint p) {               \
        thread::substitute_cotangent<K, Q, thread::SpanTile>(p);                     \
    }                                                                                \
    KERNEL(direction, K, Q, const __grid_constant__ ThreadProblem p, int increase) { \
        thread::substitute_direction<K, Q, thread::SpanTile>(p, increase != 0);      \
    }                                                                                \
    KERNEL(direction_residual, K, Q, const __grid_constant__ ThreadProblem p) {      \
        thread::substitute_residual<K, Q, thread::SpanTile, false>(p, p.direction);  \
    }                                                                                \
    KERNEL(gradients, K, Q, const __grid_constant__ ThreadAdjoint p) {               \
        thread::substitute_gradients<K, Q, thread::SpanTile>(p);                     \
    }

THREAD_CHUNK_SIZES(KERNELS)
