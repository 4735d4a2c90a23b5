"""The solver as an operation of JAX, on the CPU, by custom calls of XLA.

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
import json
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from . import _native, _options, _shapes

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
    check: str = "raise",
) -> jax.Array:
    """Solves Σ c[k,j](t) u_k^(j)(t) = b(t) for all systems of a batch at once; returns u and its
    derivatives, (..., N, K, Q).

    Arguments are those of :func:`mechanistic.numpy.solve`, and arrays float32 or float64, all the
    same. It works on the CPU, under ``jit``, ``grad`` and ``vmap``, which solves all samples as one
    batch; there is no forward mode, and there are no second derivatives. A gradient factors the matrix
    once more, and once for all cotangents of ``jacrev``.

    A system that cannot be solved is an error of the program that JAX has compiled, also where its
    result is dropped, as by ``jnp.where``; with ``check="ignore"`` it is NaN, and its gradients are zero. A
    compiled program cannot warn.

    Raises:
        ValueError: shapes or options that do not fit, with the name of the argument.
        TypeError: mixed or other types.
        jax.errors.JaxRuntimeError or ValueError: systems that cannot be solved, if ``check`` is
            ``"raise"``: the former where JAX waits for a program, the latter where a program runs at
            once. Samples of ``vmap`` are systems of one batch here.
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
    _options.parse(key)
    if check == "warn":
        raise ValueError("check: expected raise or ignore, because a compiled program cannot warn")
    arrays = [
        None if x is None else jax.numpy.asarray(x)
        for x in (coefficients, rhs, initial_values, steps)
    ]
    c = arrays[0]
    assert c is not None
    if arrays[2] is None:
        states = c.shape[-2] if c.ndim >= 4 else 1
        arrays[2] = jax.numpy.empty((0, states, 0), c.dtype)
    inputs = [x for x in arrays if x is not None]
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
    flat = [_flatten(x, batch, i) for i, x in enumerate(inputs)]
    if not steps_per_state:
        flat[3] = flat[3][:, :, None]
    shapes = [x.shape for x in flat]
    sizes: Any = (_shapes.count(batch.axes), batch.points, extra_derivatives, *shapes)
    _native.check_sizes(sizes)
    values: jax.Array = _solve((batch.points, extra_derivatives, key), *flat)
    return values.reshape(batch.axes + values.shape[1:])


def _flatten(x: jax.Array, batch: _shapes.Batch, i: int) -> jax.Array:
    """Returns an input with one leading axis: 1 if the systems share it, else their number."""
    leading = batch.own[i]
    rest = x.shape[len(leading) :]
    if _shapes.count(leading) == 1:
        return x.reshape((1, *rest))
    whole = jax.numpy.broadcast_to(x, batch.axes + rest)
    return whole.reshape((_shapes.count(batch.axes), *rest))


# --- the operators, on inputs with one leading axis, (B or 1, ...) ---------------------------------

#: N, the number of extra derivatives and the key of the options.
Constants = tuple[int, int, str]
Arrays = tuple[Any, ...]

for _name, _handler in zip(("mechanistic_solve", "mechanistic_vjp"), _native.xla_handlers()):
    jax.ffi.register_ffi_target(_name, _handler, platform="cpu")


def _attributes(constants: Constants) -> dict[str, str]:
    """Returns what a custom call has to know beside its arrays."""
    options = _options.parse(constants[2])[1]._asdict()
    check = options.pop("check")
    return {"options": json.dumps(options), "check": check}


def _systems(inputs: Sequence[Any]) -> int:
    """Returns B."""
    return next((x.shape[0] for x in inputs if x.shape[0] != 1), 1)


def _values(constants: Constants, *inputs: Any) -> Any:
    """Returns the values (B, N, K, Q)."""
    return _operator(_solve_now, _solve_samples, constants)(*inputs)


def _forward(constants: Constants, *inputs: Any) -> tuple[Any, Arrays]:
    return _values(constants, *inputs), inputs


def _backward(constants: Constants, inputs: Arrays, cotangent: Any) -> Arrays:
    gradients = _vjp(constants, *inputs, cotangent[None])
    return tuple([gradient[0] for gradient in gradients])


_solve = jax.custom_vjp(_values, nondiff_argnums=(0,))
_solve.defvjp(_forward, _backward)


def _vjp(constants: Constants, *arguments: Any) -> Arrays:
    """Returns the gradients (C, ...) of the four inputs from cotangents (C, B, N, K, Q)."""
    gradients: Arrays = _operator(_vjp_now, _vjp_samples, constants)(*arguments)
    return gradients


def _operator(now: Callable[..., Any], samples: Callable[..., Any], constants: Constants) -> Any:
    """Returns the function ``now`` of arrays, to which ``vmap`` applies ``samples``."""
    operator = jax.custom_batching.custom_vmap(functools.partial(now, constants))
    operator.def_vmap(functools.partial(samples, constants))
    undifferentiable = jax.custom_jvp(operator)
    undifferentiable.defjvp(_refuse)
    return undifferentiable


def _refuse(*_: Any) -> Any:
    raise NotImplementedError("mechanistic.jax.solve has no second derivatives")


def _solve_now(constants: Constants, *inputs: Any) -> Any:
    points, extra, _ = constants
    c = inputs[0]
    shape = (_systems(inputs), points, c.shape[3], c.shape[4] + extra)
    call: Any = jax.ffi.ffi_call("mechanistic_solve", _shape_of(shape, c.dtype))
    return call(*inputs, **_attributes(constants))


def _vjp_now(constants: Constants, *arguments: Any) -> Arrays:
    *inputs, cotangents = arguments
    results = [_shape_of((len(cotangents), *x.shape), x.dtype) for x in inputs]
    call: Any = jax.ffi.ffi_call("mechanistic_vjp", results)
    return tuple(call(*arguments, **_attributes(constants)))


def _shape_of(shape: tuple[int, ...], dtype: Any) -> Any:
    make: Any = jax.ShapeDtypeStruct
    return make(shape, dtype)


def _solve_samples(
    constants: Constants, width: int, mapped: Sequence[bool], *inputs: Any
) -> tuple[Any, bool]:
    """Solves samples along another axis as one larger batch."""
    systems = _systems([x[0] if own else x for own, x in zip(mapped, inputs)])
    folded = [
        x if x.shape[0] == 1 and not own else _fold(x, own, width, systems)
        for own, x in zip(mapped, inputs)
    ]
    values = _values(constants, *folded)
    return values.reshape((width, systems, *values.shape[1:])), True


def _fold(x: Any, mapped: bool, width: int, systems: int) -> Any:
    """Returns an array of samples, or one that they share, with one axis for all their systems."""
    rest = x.shape[1 + mapped :]
    whole = jax.numpy.broadcast_to(x if mapped else x[None], (width, systems, *rest))
    return _join(whole)


def _join(x: Any) -> Any:
    """Makes one axis of the first two."""
    return x.reshape((x.shape[0] * x.shape[1], *x.shape[2:]))


def _split(x: Any, first: int, second: int) -> Any:
    """Makes two axes of the first one."""
    return x.reshape((first, second, *x.shape[1:]))


def _vjp_samples(
    constants: Constants, width: int, mapped: Sequence[bool], *arguments: Any
) -> tuple[Any, Any]:
    """Computes gradients of samples along another axis: as further cotangents of the same factor if
    that is all they differ in, or else as one larger batch."""
    *inputs, cotangents = arguments
    if not mapped[4]:
        cotangents = jax.numpy.broadcast_to(cotangents, (width, *cotangents.shape))
    if any(mapped[:4]):
        gradients = _vjp_of_samples(constants, width, mapped[:4], inputs, cotangents)
    else:
        count = cotangents.shape[1]
        joined = _vjp(constants, *inputs, _join(cotangents))
        gradients = tuple([_split(gradient, width, count) for gradient in joined])
    return gradients, (True,) * 4


def _vjp_of_samples(
    constants: Constants,
    width: int,
    mapped: Sequence[bool],
    inputs: Sequence[Any],
    cotangents: Any,
) -> Arrays:
    """Returns the gradients (W, C, ...) of W samples from cotangents (W, C, B, N, K, Q), as one batch.
    Inputs that are not mapped are those of every sample."""
    count, systems, *rest = cotangents.shape[1:]
    folded = [_fold(x, own, width, systems) for own, x in zip(mapped, inputs)]
    together = cotangents.swapaxes(0, 1).reshape((count, width * systems, *rest))
    results = []
    for own, x, gradient in zip(mapped, inputs, _vjp(constants, *folded, together)):
        of_samples = gradient.reshape((count, width, systems, *gradient.shape[2:])).swapaxes(0, 1)
        shared = x.shape[int(own)] != systems
        results.append(of_samples.sum(2, keepdims=True) if shared else of_samples)
    return tuple(results)
