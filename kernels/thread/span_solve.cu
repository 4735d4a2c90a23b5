// Instances of the parts of a solve whose chunks are spread over blocks: thread/spans.cuh says
// which follows which. The contracts of thread/solve.cuh and thread/separators.cuh are those of all
// together.
//
//   grid    x = ceil(B·C/32) for spans of up to 32 chunks, else the spans of all systems
//   block   32 threads, or the chunks of a span, at most 256
//   shared  as for thread/chunk_solve.cu
//   reads, writes  also `spikes`, `separators` and `findings` of the workspace

#include "thread/sizes.cuh"
#include "thread/spans.cuh"

#define KERNEL(NAME, K, Q, ...) \
    extern "C" __global__ void __launch_bounds__(256, 1) thread_span_##NAME##_##K##_##Q(__VA_ARGS__)

#define KERNELS(K, Q)                                                                 \
    KERNEL(factorize, K, Q, const __grid_constant__ ThreadProblem p) {                \
        thread::factorize_span<K, Q>(p);                                              \
    }                                                                                 \
    KERNEL(solution, K, Q, const __grid_constant__ ThreadSolve p) {                   \
        thread::substitute_solution<K, Q, true>(p, p.common.problem.refinement == 0); \
    }                                                                                 \
    KERNEL(residual, K, Q, const __grid_constant__ ThreadProblem p) {                 \
        thread::substitute_residual<K, Q, thread::SpanTile, true>(p, p.solution);     \
    }                                                                                 \
    KERNEL(correction, K, Q, const __grid_constant__ ThreadSolve p, int complete) {   \
        thread::substitute_solution<K, Q, false>(p, complete != 0);                   \
    }

THREAD_CHUNK_SIZES(KERNELS)

extern "C" __global__ void __launch_bounds__(256)
    thread_span_verdict(const __grid_constant__ ThreadSolve p) {
    thread::decide(p);
}
