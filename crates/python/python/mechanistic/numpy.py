"""The solver among NumPy arrays.

>>> import numpy as np
>>> from mechanistic.numpy import solve
>>> # u'' + w u = 0 for w = 1 and w = 4, u(0) = 1, u'(0) = 0, on 101 points 0.02 apart.
>>> coefficients = np.array([[1.0, 0, 1], [4, 0, 1]]).reshape(2, 1, 1, 1, 3)
>>> solution = solve(coefficients, [[0.0]], [[[1.0, 0.0]]], [0.02], points=101)
>>> solution.values.shape  # (B, N, K, Q): u, u', u'' and one derivative more
(2, 101, 1, 4)
>>> np.allclose(solution.values[:, -1, 0, 0], [np.cos(2), np.cos(4)], atol=1e-6)
True
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native, _options, _shapes, _status

__all__ = ["Gradients", "Solution", "solve"]

Array = NDArray[Any]


class Gradients(NamedTuple):
    """The gradients of a scalar with respect to the four inputs, each of its input's shape."""

    coefficients: Array
    rhs: Array
    initial_values: Array
    steps: Array


class Solution:
    """The solution of a batch, and the factor from which its derivatives are computed.

    Attributes:
        values: u and its derivatives, (..., N, K, Q); NaN for a system that was not solved.
        epsilon: the shared slack of each system, (...); zero if there is none.
        status: how each solve ended, (...), int32: numbers of :class:`mechanistic.Status`.
    """

    values: Array
    epsilon: Array
    status: NDArray[np.int32]

    def __init__(
        self,
        values: Array,
        epsilon: Array,
        status: NDArray[np.int32],
        batch: _shapes.Batch,
        shapes: tuple[tuple[int, ...], ...],
        dtypes: tuple[np.dtype[Any], ...],
        solve: _Solve,
        factor: _native.Factor,
    ) -> None:
        self.values = values.reshape(batch.axes + values.shape[1:])
        self.epsilon = epsilon.reshape(batch.axes)
        self.status = status.reshape(batch.axes)
        self._batch, self._shapes, self._dtypes = batch, shapes, dtypes
        self._solve, self._flat, self._own_factor = solve, solve.inputs, factor

    @property
    def _factor(self) -> _native.Factor:
        """The factor, which a forked process computes once more."""
        if self._own_factor.is_inherited:
            self._own_factor = self._solve()[3]
        return self._own_factor

    def vjp(self, values: ArrayLike | None = None, epsilon: ArrayLike | None = None) -> Gradients:
        """Returns the gradients of a scalar ℓ from ∂ℓ/∂values, of the shape of ``values``, and
        ∂ℓ/∂epsilon; what is not given is zero.

        Systems that were not solved contribute zero. Along an axis that an input shares, its
        gradient is the sum. The derivatives are those at the inputs as they were when they were
        solved, also if their arrays have changed since.
        """
        dtype = self.values.dtype
        if values is None:
            values = np.zeros_like(self.values)
        cotangent = _cotangent("values", values, self.values.shape, dtype)
        slack = None
        if epsilon is not None:
            slack = _cotangent("epsilon", epsilon, self.epsilon.shape, dtype)
        gradients = tuple(np.empty_like(array) for array in self._flat)
        self._factor.vjp(
            _addresses(self._flat),
            (cotangent.ctypes.data, 0 if slack is None else slack.ctypes.data),
            _addresses(gradients),
        )
        given = zip(gradients, self._shapes, self._dtypes)
        return Gradients(*(x.reshape(shape).astype(dtype, copy=False) for x, shape, dtype in given))

    def jvp(
        self,
        coefficients: ArrayLike | None = None,
        rhs: ArrayLike | None = None,
        initial_values: ArrayLike | None = None,
        steps: ArrayLike | None = None,
    ) -> tuple[Array, Array]:
        """Returns the directional derivatives of ``values`` and ``epsilon`` as the inputs move along
        these directions, each of its input's shape; an input without one does not move."""
        directions: list[Array | None] = []
        for i, direction in enumerate((coefficients, rhs, initial_values, steps)):
            if direction is None:
                directions.append(None)
                continue
            array = np.asarray(direction, dtype=self.values.dtype)
            if array.shape != self._shapes[i]:
                name, shape = _shapes.NAMES[i], self._shapes[i]
                raise ValueError(
                    f"the direction of {name}: expected shape {shape}, got {array.shape}"
                )
            directions.append(_flatten(array, self._batch, i).reshape(self._flat[i].shape))
        values, epsilon = np.empty_like(self.values), np.empty_like(self.epsilon)
        self._factor.jvp(
            _addresses(self._flat),
            tuple(0 if array is None else array.ctypes.data for array in directions),
            (values.ctypes.data, epsilon.ctypes.data),
        )
        return values, epsilon

    @property
    def plan(self) -> str:
        """How and where it was solved, for people to read."""
        return self._factor.plan()


class _Solve(NamedTuple):
    """A problem whose inputs, each with as many leading axes, are solved when it is called."""

    inputs: tuple[Array, ...]
    points: int
    extra_derivatives: int
    systems: int
    options: _native.SolveOptions

    def __call__(self) -> tuple[Array, Array, NDArray[np.int32], _native.Factor, int]:
        """Returns values (B, N, K, Q), epsilon (B), status (B), the factor, and how many systems
        failed."""
        c, b, v, s = self.inputs
        n, extra, systems = self.points, self.extra_derivatives, self.systems
        values = np.empty((systems, n, c.shape[-2], c.shape[-1] + extra), c.dtype)
        epsilon, status = np.empty(systems, c.dtype), np.empty(systems, np.int32)
        factor, failed = _native.solve(
            c.dtype == np.float64,
            (systems, n, extra, c.shape, b.shape, v.shape, s.shape),
            self.options,
            _addresses(self.inputs),
            (values.ctypes.data, epsilon.ctypes.data, status.ctypes.data),
        )
        return values, epsilon, status, factor, failed


def solve(
    coefficients: ArrayLike,
    rhs: ArrayLike,
    initial_values: ArrayLike | None,
    steps: ArrayLike,
    *,
    points: int | None = None,
    extra_derivatives: int | None = None,
    steps_per_state: bool = False,
    smoothness: str = "hermite",
    weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    slack: Sequence[float] | None = None,
    periodic: bool = False,
    scaling: str = "auto",
    factorization: str = "auto",
    refinement_steps: int | None = None,
    roughness: float = 0.001,
    follow_growth: bool = False,
    check: str = "raise",
) -> Solution:
    """Solves Σ c[k,j](t) u_k^(j)(t) = b(t) for all systems of a batch at once.

    Letters: N time points, K states, E equations at each point, Qc = order of the equations + 1,
    Q = Qc + ``extra_derivatives``. Leading axes (...) are the batch and broadcast; an axis of
    length 1 is shared.

    Args:
        coefficients: c, (..., N or 1, E, K, Qc).
        rhs: b, (..., N or 1, E).
        initial_values: u_k^(j) at the first I points for j < J, (..., I, K, J), or ``None``.
        steps: the distances of neighboring points, (..., N-1 or 1), positive; with
            ``steps_per_state``, (..., N-1 or 1, K).
        points: N, needed only if all inputs are shared by the points.
        extra_derivatives: how many derivatives beyond the equation's the solution carries; by
            default 1 with Hermite rows, which are then of fourth order, and 0 with others.
        steps_per_state: whether the last axis of ``steps`` is that of the states.
        smoothness: the rows that tie neighboring points together: ``"hermite"``, ``"taylor"`` (the
            paper's), ``"taylor_hold"`` or ``"taylor_central"``.
        weights: those of the equation, initial, smoothness and periodic rows.
        slack: (gamma, alpha) of the paper's shared slack; ``None`` for least squares.
        periodic: whether the last point equals the first.
        scaling: ``"auto"``, ``"unit"`` or ``"balanced"``: whether powers of the step make equation
            and initial rows dimensionless.
        factorization: ``"auto"``, ``"cholesky"`` or ``"square_root"``.
        refinement_steps: steps of iterative refinement; ``None`` chooses them.
        roughness: weight of the weak row that ends Hermite rows.
        follow_growth: whether rows weigh relative defects, for solutions that grow by many orders
            of magnitude.
        check: what happens if systems cannot be solved: ``"raise"`` a
            :class:`mechanistic.SolveError`, ``"warn"``, or ``"ignore"``; ``Solution.status`` tells
            which they are.

    Arrays are float64 or float32, all the same, and the solution too; float16 is computed in
    float32. Numbers, lists and integers take the type of the others, and float64 if all are such.

    Raises:
        ValueError: shapes or options that do not fit, with the name of the argument.
        TypeError: mixed or other types.
        SolveError: systems that cannot be solved, if ``check`` is ``"raise"``.
    """
    key = _options.key(
        smoothness,
        weights,
        slack,
        periodic,
        scaling,
        factorization,
        refinement_steps,
        roughness,
        follow_growth,
        check,
    )
    native, options = _options.parse(key)
    if extra_derivatives is None:
        extra_derivatives = _options.default_extra_derivatives(smoothness)
    extra_derivatives = _shapes.size("extra_derivatives", extra_derivatives)
    points = None if points is None else _shapes.size("points", points)
    arrays, dtypes = _arrays(coefficients, rhs, initial_values, steps)
    batch = _shapes.known_batch_of(tuple(x.shape for x in arrays), points, steps_per_state)
    # Derivatives are computed later: what the caller changes in the meantime must not matter.
    flat = [_own(_flatten(array, batch, i), array) for i, array in enumerate(arrays)]
    if not steps_per_state:
        flat[3] = flat[3][..., None]
    systems = _shapes.count(batch.axes)
    problem = _Solve(tuple(flat), batch.points, extra_derivatives, systems, native)
    values, epsilon, status, factor, failed = problem()
    if failed:
        _status.report(factor, options.check)
    shapes = tuple(array.shape for array in arrays)
    return Solution(values, epsilon, status, batch, shapes, dtypes, problem, factor)


def _arrays(
    coefficients: ArrayLike, rhs: ArrayLike, initial_values: ArrayLike | None, steps: ArrayLike
) -> tuple[list[Array], tuple[np.dtype[Any], ...]]:
    """Returns the inputs in the precision of the solve, and the types that their gradients have."""
    given: list[Array | None] = [
        None if array is None else np.asarray(array)
        for array in (coefficients, rhs, initial_values, steps)
    ]
    floating: np.dtype[Any] | None = None
    first = ""
    for name, array, argument in zip(
        _shapes.NAMES, given, (coefficients, rhs, initial_values, steps)
    ):
        if array is None or not isinstance(argument, (np.ndarray, np.generic)):
            continue
        if array.dtype.kind in "iub":
            continue
        if array.dtype not in (np.float16, np.float32, np.float64):
            raise TypeError(f"{name}: expected real numbers, got {array.dtype}")
        if floating is None:
            floating, first = array.dtype, name
        elif array.dtype != floating:
            raise TypeError(f"{name}: expected {floating} as {first}, got {array.dtype}")
    floating = np.dtype(np.float64) if floating is None else floating
    dtype = np.float32 if floating == np.float16 else floating
    states = given[0].shape[-2] if given[0] is not None and given[0].ndim >= 4 else 1
    arrays = [
        np.empty((0, states, 0), dtype)
        if array is None
        else np.asarray(array, dtype=dtype)
        for array in given
    ]
    return arrays, (floating,) * 4


def _flatten(array: Array, batch: _shapes.Batch, i: int) -> Array:
    """Returns an input with one leading axis: 1 if the systems share it, else their number; or with all of
    them, if an input shares some and not others."""
    rest = array.shape[len(batch.own[i]) :]
    leading = batch.padded[i] if batch.partly_shared else (_shapes.count(batch.own[i]),)
    return _dense(array.reshape(leading + rest))


def _dense(array: Array) -> Array:
    """Returns the array in row-major order, at an address that is a multiple of the size of its
    numbers."""
    return np.require(array, requirements=["C_CONTIGUOUS", "ALIGNED"])


def _own(array: Array, given: Array) -> Array:
    """Returns an array that has no memory in common with the one that was given."""
    return array.copy() if np.may_share_memory(array, given) else array


def _cotangent(name: str, array: ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    array = _dense(np.asarray(array, dtype=dtype))
    if array.shape != shape:
        raise ValueError(f"the cotangent of {name}: expected shape {shape}, got {array.shape}")
    return array


def _addresses(arrays: Sequence[Array]) -> tuple[int, ...]:
    return tuple([array.ctypes.data for array in arrays])
