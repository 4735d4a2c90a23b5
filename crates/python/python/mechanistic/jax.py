"""The solver as an operation of JAX, on the CPU, by a callback into the host.

>>> import jax, jax.numpy as jnp
>>> jax.config.update("jax_enable_x64", True)
>>> from mechanistic.jax import solve
>>> def end(w):  # u'' + w u = 0, u(0) = 1, u'(0) = 0 on [0, 2]
...     coefficients = jnp.stack([w, 0.0 * w, 1.0 + 0.0 * w]).reshape(1, 1, 1, 3)
...     initial_values = jnp.array([[[1.0, 0.0]]])
...     u = solve(coefficients, jnp.zeros((1, 1)), initial_values, jnp.array([0.02]), points=101)
...     return u[-1, 0, 0]
>>> round(float(jax.jit(jax.grad(end))(4.0)), 3)  # -sin(4) / 2
0.378
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from . import _options, _shapes
from . import numpy as host

__all__ = ["solve"]


def solve(
    coefficients: jax.typing.ArrayLike,
    rhs: jax.typing.ArrayLike,
    initial_values: jax.typing.ArrayLike | None,
    steps: jax.typing.ArrayLike,
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
) -> jax.Array:
    """Solves Σ c[k,j](t) u_k^(j)(t) = b(t) for all systems of a batch at once; returns u and its
    derivatives, (..., N, K, Q).

    Arguments are those of :func:`mechanistic.numpy.solve`, and arrays float32 or float64, all the
    same. It works under ``jit``, ``grad`` and ``vmap``, which solves all samples as one batch. No
    factor crosses the callback: gradients factor the matrix again. A system that cannot be solved
    is NaN, and its gradients are zero, because a compiled program cannot raise.
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
        "ignore",
    )
    _options.parse(key)
    arrays = [
        None if x is None else jax.numpy.asarray(x)
        for x in (coefficients, rhs, initial_values, steps)
    ]
    c = arrays[0]
    assert c is not None
    if arrays[2] is None:
        states = c.shape[-2] if c.ndim >= 4 else 1
        arrays[2] = jax.numpy.empty((0, states, 0), c.dtype)
    inputs = tuple(x for x in arrays if x is not None)
    for name, x in zip(_shapes.NAMES, inputs):
        if x.dtype not in (np.float32, np.float64):
            raise TypeError(f"{name}: expected float32 or float64, got {x.dtype}")
        if x.dtype != c.dtype:
            raise TypeError(f"{name}: expected {c.dtype} as coefficients, got {x.dtype}")
    points = None if points is None else _shapes.size("points", points)
    batch = _shapes.batch_of([x.shape for x in inputs], points, steps_per_state)
    if extra_derivatives is None:
        extra_derivatives = _options.default_extra_derivatives(smoothness)
    extra_derivatives = _shapes.size("extra_derivatives", extra_derivatives)
    # All inputs get the same number of leading axes, before which `vmap` puts its own.
    aligned = tuple(
        x.reshape((1,) * (len(batch.axes) - len(own)) + x.shape) for x, own in zip(inputs, batch.own)
    )
    return _solve(aligned, (batch.points, extra_derivatives, steps_per_state, key))


Constants = tuple[int, int, bool, str]
Inputs = tuple[Any, ...]


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _solve(inputs: Inputs, constants: Constants) -> jax.Array:
    points, extra, per_state, _ = constants
    batch = _shapes.batch_of([x.shape for x in inputs], points, per_state)
    c = inputs[0]
    shape = (*batch.axes, points, c.shape[-2], c.shape[-1] + extra)
    result = _shape_of(shape, c.dtype)
    call = functools.partial(_solve_on_host, constants)
    values: jax.Array = jax.pure_callback(call, result, *inputs, vmap_method="expand_dims")
    return values


def _forward(inputs: Inputs, constants: Constants) -> tuple[jax.Array, Inputs]:
    return _solve(inputs, constants), inputs


def _backward(constants: Constants, inputs: Inputs, cotangent: jax.Array) -> tuple[Inputs]:
    results = tuple(_shape_of(x.shape, x.dtype) for x in inputs)
    call = functools.partial(_vjp_on_host, constants)
    # Every sample has gradients of its own, also of an input that all samples share.
    gradients = jax.pure_callback(call, results, *inputs, cotangent, vmap_method="broadcast_all")
    return (gradients,)


_solve.defvjp(_forward, _backward)


def _shape_of(shape: tuple[int, ...], dtype: Any) -> Any:
    make: Any = jax.ShapeDtypeStruct
    return make(shape, dtype)


def _host_solution(constants: Constants, inputs: Sequence[Any]) -> host.Solution:
    points, extra, per_state, key = constants
    _, options = _options.parse(key)
    arrays = [np.asarray(x) for x in inputs]
    return host.solve(
        arrays[0],
        arrays[1],
        arrays[2],
        arrays[3],
        points=points,
        extra_derivatives=extra,
        steps_per_state=per_state,
        **options._asdict(),
    )


def _solve_on_host(constants: Constants, *inputs: Any) -> Any:
    return _host_solution(constants, inputs).values


def _vjp_on_host(constants: Constants, *arguments: Any) -> Any:
    *inputs, cotangent = arguments
    return tuple(_host_solution(constants, inputs).vjp(np.asarray(cotangent)))
