"""The function of ScalableMNN, on this solver: ``from mechanistic.torch.smnn import ode_forward``."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from . import solve_ode

__all__ = ["ode_forward"]


def ode_forward(
    coefficients: Tensor,
    rhs_equation: Tensor,
    init_vars: Tensor,
    steps: Tensor,
    n_steps: int | None = None,
    n_init_var_steps: int | None = None,
    is_step_dim_first: bool = False,
    weight_equation: float = 1.0,
    weight_init_var: float = 1.0,
    weight_smooth: float = 1.0,
    enable_central_smoothness: bool = False,
    prefer_cuda_graph: bool = True,
    frozen_lhs_cache_version: int = 0,
) -> Tensor:
    """Solves as the published function of this signature does; returns u and its derivatives.

    Without ``is_step_dim_first``, with the batch (...):

    Args:
        coefficients: (..., N or 1, E, K, Q).
        rhs_equation: (..., N or 1, E).
        init_vars: (..., I, K, J), or with I = 1 and ``n_init_var_steps``, the same at the first
            ``n_init_var_steps`` points.
        steps: (..., N-1 or 1).
        n_steps: N, if all inputs are shared by the time points.
        n_init_var_steps: I; of more points in ``init_vars``, the first count.
        is_step_dim_first: whether the axis of the time points comes before the batch, in all
            arguments and in the result.
        weight_equation, weight_init_var, weight_smooth: the weights of the rows.
        enable_central_smoothness: whether central rows tie the top derivative, and not one that is
            held over a step.
        prefer_cuda_graph: without effect.
        frozen_lhs_cache_version: if not 0, coefficients and steps have no gradients. The factor is
            not kept from call to call.

    The rows are ``"taylor_hold"`` or ``"taylor_central"``, unscaled, as published. Two things
    differ: the solution is refined once, which recovers digits that the factor of the normal matrix
    loses (in single precision, where the published solver returns what is left, the factor is that
    of the rows themselves); and a system that cannot be solved is NaN with zero gradients, and no
    error.
    """
    if is_step_dim_first:
        coefficients = coefficients.movedim(0, -4)
        rhs_equation = rhs_equation.movedim(0, -2)
        init_vars = init_vars.movedim(0, -3)
        steps = steps.movedim(0, -1)
    given = init_vars.shape[-3]
    if n_init_var_steps is not None and n_init_var_steps != given:
        if given == 1:
            shape = (*init_vars.shape[:-3], n_init_var_steps, *init_vars.shape[-2:])
            init_vars = init_vars.expand(shape)
        elif n_init_var_steps > given:
            raise ValueError(
                f"n_init_var_steps: {n_init_var_steps}, but init_vars has {given} points"
            )
        else:
            init_vars = init_vars[..., :n_init_var_steps, :, :]
    if frozen_lhs_cache_version:
        coefficients, steps = coefficients.detach(), steps.detach()
    u = solve_ode(
        coefficients,
        rhs_equation,
        init_vars,
        steps,
        points=n_steps,
        smoothness="taylor_central" if enable_central_smoothness else "taylor_hold",
        weights=(weight_equation, weight_init_var, weight_smooth),
        check="ignore",
    )
    u = cast("Tensor", u)
    return u.movedim(-3, 0) if is_step_dim_first else u
