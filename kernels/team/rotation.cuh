// The plane rotation of the square-root factorization.

#ifndef MECHANISTIC_ROTATION_CUH
#define MECHANISTIC_ROTATION_CUH

#include <cfloat>

// Squares below this have lost digits.
constexpr double NEGLIGIBLE = DBL_MIN / DBL_EPSILON;

// The pivot of a root that rotations left: 0, which is lost, where they passed over what was as
// small.
__device__ inline double pivot_of_root(double root) {
    const double square = root * root;
    return square < NEGLIGIBLE ? 0.0 : square;
}

// (c, s; −s, c), which turns (a, b) into (√(a² + b²), 0).
struct Rotation {
    double c, s;

    // a becomes the root. Where both are so small that their squares lose digits (what cancellation
    // leaves of a zero, say), b passes for zero: a rotation by an inaccurate angle would spoil the
    // rest of its rows. A row that is still empty (a = 0) takes b's, however small.
    __device__ Rotation(double &a, double b) {
        const double squares = a * a + b * b;
        double reciprocal = rsqrt(squares);
        reciprocal += reciprocal * (0.5 - 0.5 * squares * reciprocal * reciprocal);
        const bool empty = a == 0.0;
        const bool passes = b == 0.0 || (!empty && squares < NEGLIGIBLE);
        c = passes ? 1.0 : empty ? 0.0 : a * reciprocal;
        s = passes ? 0.0 : empty ? copysign(1.0, b) : b * reciprocal;
        a = passes ? a : empty ? abs(b) : squares * reciprocal;
    }
    __device__ void turn(double &a, double &b) const {
        const double old = a;
        a = c * old + s * b;
        b = c * b - s * old;
    }
};

#endif
