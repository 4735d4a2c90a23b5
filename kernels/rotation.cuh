// The plane rotation of the square-root factorisations.

#ifndef MECHANISTIC_ROTATION_CUH
#define MECHANISTIC_ROTATION_CUH

#include <cfloat>

// Squares below this have lost digits.
template <typename T> constexpr T NEGLIGIBLE = T(FLT_MIN / FLT_EPSILON);
template <> constexpr double NEGLIGIBLE<double> = DBL_MIN / DBL_EPSILON;

// The pivot of a root that rotations left: 0, which is lost, where they passed over what was as small.
template <typename T> __device__ inline T pivot_of_root(T root)
{
    const T square = root * root;
    return square < NEGLIGIBLE<T> ? T(0) : square;
}

// (c, s; −s, c), which turns (a, b) into (√(a² + b²), 0).
template <typename T> struct Rotation {
    T c, s;

    // a becomes the root. Where both are so small that their squares lose digits (what cancellation
    // leaves of a zero, say), b passes for zero: a rotation by an inaccurate angle would spoil the
    // rest of its rows. A row that is still empty (a = 0) takes b's, however small.
    __device__ Rotation(T &a, T b)
    {
        const T squares = a * a + b * b;
        T reciprocal = rsqrt(squares);
        reciprocal += reciprocal * (T(0.5) - T(0.5) * squares * reciprocal * reciprocal);
        const bool empty = a == T(0);
        const bool passes = b == T(0) || (!empty && squares < NEGLIGIBLE<T>);
        c = passes ? T(1) : empty ? T(0) : a * reciprocal;
        s = passes ? T(0) : empty ? copysign(T(1), b) : b * reciprocal;
        a = passes ? a : empty ? abs(b) : squares * reciprocal;
    }
    __device__ void turn(T &a, T &b) const
    {
        const T old = a;
        a = c * old + s * b;
        b = c * b - s * old;
    }
};

#endif
