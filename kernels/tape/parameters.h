// Parameters of the tape's kernels, passed by value; src/backend/cuda/bindings.rs is made from
// them.

#ifndef MECHANISTIC_TAPE_H
#define MECHANISTIC_TAPE_H

#include <stdint.h>

// Most axes of an index space after neighboring ones were merged.
#define TAPE_AXES 6
// Most arrays that are walked over together.
#define TAPE_OPERANDS 4

// An index space and the places of its elements in each operand: element (i_0, …, i_{axes−1}) of
// operand m is at Σ i_a · stride[m][a]. Row-major: the last axis varies fastest. Axes beyond `axes`
// do not exist; without axes there is one element.
typedef struct {
    int64_t length[TAPE_AXES];
    int64_t stride[TAPE_OPERANDS][TAPE_AXES];
    int64_t size;  // product of the lengths
    int64_t axes;
} Walk;

// The function f that a Reduction sums.
typedef enum : int32_t {
    REDUCE_SUM = 0,          // g
    REDUCE_NEGATED = 1,      // -g
    REDUCE_PRODUCT = 2,      // g·a
    REDUCE_QUOTIENT = 3,     // g/a
    REDUCE_DENOMINATOR = 4,  // -g·a/b², which is gy·∂(a/b)/∂b
    REDUCE_HELD = 5,         // g where the mask holds
    REDUCE_NOT_HELD = 6,     // g where it does not
} ReduceFunction;

// target(k) = or += Σ_r f(g, a, b at k and r), k in `kept`, r in `reduced`; see tape/reduce.cu.
// Operands: 0 target, 1 g, 2 a, 3 b.
typedef struct {
    Walk kept;
    Walk reduced;
    int64_t offset;        // of the target's first element
    int64_t split_stride;  // between the results of two splits in the target
    ReduceFunction function;
    int32_t lanes;     // threads that share a sum: a power of two, at most 256
    int32_t splits;    // blocks that share a sum
    int32_t adjacent;  // 1: neighboring threads share a sum; 0: they have neighboring sums
    int32_t add;       // 1: target += , 0: target =
    int32_t reserved;
} Reduction;

// A function of one number, which `tape/elementwise.cu` applies to an array.
typedef enum : int32_t {
    UNARY_NEGATE = 0,
    UNARY_SCALE = 1,
    UNARY_SHIFT = 2,
    UNARY_RELU = 3,
    UNARY_TANH = 4,
    UNARY_SIGMOID = 5,
    UNARY_SOFTPLUS = 6,
    UNARY_GELU = 7,
    UNARY_SIN = 8,
    UNARY_COS = 9,
    UNARY_EXP = 10,
    UNARY_LN = 11,
    UNARY_SQRT = 12,
    UNARY_SQUARE = 13,
    UNARY_RECIPROCAL = 14,
    UNARY_POWI = 15,
    UNARY_POWF = 16,
} UnaryFunction;

// A function of two numbers, which `tape/elementwise.cu` applies to two arrays.
typedef enum : int32_t {
    BINARY_ADD = 0,
    BINARY_SUBTRACT = 1,
    BINARY_MULTIPLY = 2,
    BINARY_DIVIDE = 3,
} BinaryFunction;

// A batch of products; see tape/matmul.cu. Operands of the walks: 0 c, 1 a, 2 b.
typedef struct {
    Walk kept;
    Walk reduced;
    int64_t m, k, n;
    int64_t a_row, a_column;  // strides within a matrix
    int64_t b_row, b_column;
    int64_t split_stride;  // between the results of two splits in c
    int32_t splits;        // blocks that share a tile of c
    int32_t add;           // 1: c += , 0: c =
} MatMul;

// The numbers of one step of an optimizer; see tape/optimizer.cu.
typedef struct {
    // The norm of the gradient at which it is clipped: a gradient with a larger norm is scaled by
    // limit/norm; may be infinite.
    double limit;
    double rate;
    double momentum;
    double beta1, beta2, epsilon;
    double correction1, correction2;
    double decay;
} Update;

#endif
