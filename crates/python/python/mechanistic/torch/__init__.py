"""The solver as an operation of PyTorch.

>>> import torch
>>> from mechanistic.torch import solve_ode
>>> # u'' + w u = 0, u(0) = 1, u'(0) = 0, on 101 points 0.02 apart.
>>> w = torch.tensor(4.0, dtype=torch.float64, requires_grad=True)
>>> zero, one = torch.zeros_like(w), torch.ones_like(w)
>>> coefficients = torch.stack([w, zero, one]).reshape(1, 1, 1, 3)
>>> rhs = w.new_zeros(1, 1)
>>> initial_values = w.new_tensor([[[1.0, 0.0]]])
>>> steps = w.new_tensor([0.02])
>>> u = solve_ode(coefficients, rhs, initial_values, steps, points=101)[:, 0, 0]
>>> u[-1].backward()  # d cos(2 sqrt(w)) / dw = -sin(4) / 2
>>> round(w.grad.item(), 3)
0.378

It works under autograd (twice), ``torch.compile(fullgraph=True)``, ``torch.func`` (``vmap``,
``grad``, ``vjp``, ``jvp``, ``jacrev``, ``jacfwd``, ``hessian``), checkpointing and in the workers of
a ``DataLoader``. It has limits: forward mode cannot be nested in itself (``jvp`` of ``jvp``,
``jacfwd(jacfwd(f))``; ``hessian`` and the other orders work), ``torch.compile`` follows gradients but
not forward mode, nor with ``fullgraph=True`` gradients that ``torch.func`` takes inside of the compiled
function (``grad``, ``vmap`` of ``grad``, ``jacrev``), and there are no third derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _options, _shapes
from .._status import SolveError, SolveWarning, Status
from . import _operators

__all__ = ["OdeLayer", "Solution", "SolveError", "SolveWarning", "Status", "solve_ode"]


class Solution(NamedTuple):
    """The solution of a batch."""

    values: Tensor
    """u and its derivatives, (..., N, K, Q); NaN for a system that was not solved."""
    epsilon: Tensor
    """The shared slack of each system, (...); zero if there is none."""
    status: Tensor
    """How each solve ended, (...), int32: numbers of :class:`mechanistic.Status`."""


def solve_ode(
    coefficients: Tensor,
    rhs: Tensor,
    initial_values: Tensor | None,
    steps: Tensor,
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
    full: bool = False,
) -> Tensor | Solution:
    """Solves Σ c[k,j](t) u_k^(j)(t) = b(t) for all systems of a batch at once; returns u and its
    derivatives, (..., N, K, Q), or a :class:`Solution` if ``full``.

    Letters: N time points, K states, E equations at each point, Qc = order of the equations + 1,
    Q = Qc + ``extra_derivatives``. Leading axes (...) are the batch and broadcast; an axis of
    length 1 is shared. Tensors are read where they lie: transposed ones (step first), slices, and such as
    share some leading axes and not others are not copied, except under ``torch.compile`` and the
    transformations of ``torch.func``. (A tensor that was expanded is copied: leave its axes at length 1. On
    CUDA devices one is copied, too, where the values of a point do not lie side by side in row-major order,
    and all are with more than three leading axes that cannot be made one, or with 2^31 values.)

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
            of magnitude. Their second derivatives are not to be had.
        check: what happens if systems cannot be solved: ``"raise"`` a :class:`SolveError`,
            ``"warn"``, or ``"ignore"``; ``status`` tells which they are.
        full: whether the slack and the statuses are returned too.

    All tensors lie on the CPU, or on one CUDA device, and are float64 or float32; float16 and
    bfloat16 are computed in float32, and so is their solution. Gradients have the types of the
    inputs. Where an input is shared by systems, time points or states, its gradient is the sum.

    On a CUDA device the work goes into PyTorch's current stream. ``check="ignore"`` returns before it
    is done; the other choices read the statuses, and wait for them, and so do second derivatives, which
    no CUDA graph can capture. There, gradients that are not
    finite stay so (on the CPU such a system contributes zero), and ``follow_growth`` is refused.

    Raises:
        ValueError: shapes or options that do not fit, with the name of the argument.
        TypeError: mixed types or devices, with the name of the argument.
        SolveError: systems that cannot be solved, if ``check`` is ``"raise"``.
    """
    if initial_values is None:
        states = coefficients.shape[-2] if coefficients.dim() >= 4 else 1
        initial_values = coefficients.new_empty(0, states, 0)
    inputs = _check_tensors(coefficients, rhs, initial_values, steps)
    compiling = torch.compiler.is_compiling()
    if not compiling:
        points = None if points is None else _shapes.size("points", points)
        if extra_derivatives is not None:
            extra_derivatives = _shapes.size("extra_derivatives", extra_derivatives)
    batch_of = _shapes.batch_of if compiling else _shapes.known_batch_of
    batch = batch_of(tuple([x.shape for x in inputs]), points, steps_per_state)
    c, b, v, s = _flatten(inputs, batch, keep=not compiling)
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
    if extra_derivatives is None:
        extra_derivatives = _options.default_extra_derivatives(smoothness)
    systems = _shapes.count(batch.axes)
    values, epsilon, status = _operators.solve(
        c, b, v, s, systems, batch.points, extra_derivatives, key
    )
    if len(batch.axes) != 1:
        values = values.reshape(batch.axes + values.shape[1:])
        epsilon, status = epsilon.reshape(batch.axes), status.reshape(batch.axes)
    return Solution(values, epsilon, status) if full else values


def _check_tensors(*inputs: Tensor) -> list[Tensor]:
    """Returns the inputs in the precision of the solve."""
    first = inputs[0]
    for name, x in zip(_shapes.NAMES, inputs):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: expected a tensor, got {type(x).__name__}")
        if x.dtype != first.dtype:
            raise TypeError(f"{name}: expected {first.dtype} as coefficients, got {x.dtype}")
        if x.device != first.device:
            raise TypeError(f"{name}: on {x.device}, but coefficients on {first.device}")
    if first.device.type not in ("cpu", "cuda"):
        raise NotImplementedError(
            f"coefficients: on {first.device}, but solves run on the CPU and on CUDA devices only"
        )
    if first.dtype in (torch.float64, torch.float32):
        return list(inputs)
    if first.dtype in (torch.float16, torch.bfloat16):
        return [x.float() for x in inputs]
    raise TypeError(f"coefficients: expected real numbers, got {first.dtype}")


def _flatten(inputs: list[Tensor], batch: _shapes.Batch, keep: bool) -> list[Tensor]:
    """Returns the inputs with one leading axis: 1 if the systems share it, else their number. If copies would
    have to be made for it, and ``keep``, they have all leading axes where the solver reads these."""
    several = len(batch.axes) > 1 and (
        batch.partly_shared or not all([x.is_contiguous() for x in inputs])
    )
    # Kernels follow three axes, and count places in 32 bits.
    followed = inputs[0].is_cpu or (
        len(batch.axes) <= 3 and all([x.numel() < 2**31 for x in inputs])
    )
    if several and keep and followed and not _operators.is_transformed():
        return [
            x if leading == own else x.reshape(leading + x.shape[len(own) :])
            for x, leading, own in zip(inputs, batch.padded, batch.own)
        ]
    return [
        x if len(own) == 1 == len(batch.axes) else _operators.one_axis(x, own, batch.axes)
        for x, own in zip(inputs, batch.own)
    ]


class OdeLayer(torch.nn.Module):
    """A module without parameters that solves ODEs: :func:`solve_ode` with its options kept.

    >>> layer = OdeLayer(smoothness="taylor", weights=(1.0, 10.0, 1.0))
    >>> layer
    OdeLayer(smoothness='taylor', weights=(1.0, 10.0, 1.0))

    Args:
        options: keyword arguments of :func:`solve_ode`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        checked = {name: value for name, value in options.items() if name not in _OF_THE_CALL}
        _options.parse(_options.key(**checked))
        self.options = options

    def forward(
        self,
        coefficients: Tensor,
        rhs: Tensor,
        initial_values: Tensor | None,
        steps: Tensor,
        points: int | None = None,
    ) -> Tensor | Solution:
        """Solves; the arguments are those of :func:`solve_ode`."""
        options = self.options if points is None else {**self.options, "points": points}
        return solve_ode(coefficients, rhs, initial_values, steps, **options)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())


#: The options of :func:`solve_ode` that are not those of the solver.
_OF_THE_CALL = ("points", "extra_derivatives", "steps_per_state", "full")
