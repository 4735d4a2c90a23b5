"""The layers of the authors' mech-nn, on this solver: ``from mechanistic.torch.mechnn import
ODEINDLayer, ODESYSLayer``.

Letters: B systems (``bs``), D independent ones in each (``n_ind_dim``), E equations, N points
(``n_step``), K states (``n_dim``), Q = ``order`` + 1.

Differences from the published layers: the steps of ``ODESYSLayer`` may be shared by the states; a
system that cannot be solved is NaN with zero gradients; only central rows are offered, and only the
CPU. ``gamma`` is the relaxation and ``alpha`` the linear cost of the shared slack ε, as in the
paper's section 3.1.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from . import Solution, solve_ode

__all__ = ["ODEINDLayer", "ODESYSLayer"]


class _Layer(nn.Module):
    def __init__(
        self,
        bs: int,
        order: int,
        n_ind_dim: int,
        n_dim: int,
        n_equations: int,
        n_iv: int,
        n_iv_steps: int,
        n_step: int,
        periodic_boundary: bool,
        solver_dbl: bool,
        gamma: float,
        alpha: float,
        double_ret: bool,
        device: Any,
    ) -> None:
        super().__init__()
        if order < 2:
            raise ValueError(f"order: must be at least 2, as u'' is returned, got {order}")
        if device is not None and torch.device(device).type not in ("cpu", "cuda"):
            raise NotImplementedError(f"device: must be the CPU or a CUDA device, got {device}")
        self.bs, self.order, self.n_ind_dim, self.n_dim = bs, order, n_ind_dim, n_dim
        self.n_equations, self.n_iv, self.n_iv_steps = n_equations, n_iv, n_iv_steps
        self.n_step, self.periodic_boundary = n_step, periodic_boundary
        self.solver_dbl, self.double_ret = solver_dbl, double_ret
        self.gamma, self.alpha = gamma, alpha

    def solve(
        self, coeffs: Tensor, rhs: Tensor, iv_rhs: Tensor | None, steps: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the values (B·D, N, K, Q), ε (B·D) and the steps (B·D, N-1, K or 1)."""
        batch, e, n, k = self.bs * self.n_ind_dim, self.n_equations, self.n_step, self.n_dim
        # Theirs have the equations before the points, ours the points before the equations.
        c = coeffs.reshape(batch, e, n, k, self.order + 1).transpose(1, 2)
        b = rhs.reshape(batch, e, n).transpose(1, 2)
        v = None if iv_rhs is None else iv_rhs.reshape(batch, self.n_iv_steps, k, self.n_iv)
        s = steps.reshape(batch, n - 1, -1)
        inputs: list[Any] = [c, b, v, s]
        if self.solver_dbl:
            inputs = [None if x is None else x.double() for x in inputs]
        solution = solve_ode(
            *inputs,
            steps_per_state=True,
            smoothness="taylor_central",
            slack=(self.gamma, self.alpha),
            periodic=self.periodic_boundary,
            check="ignore",
            full=True,
        )
        values, epsilon, _ = cast("Solution", solution)
        if not self.double_ret:
            values, epsilon = values.float(), epsilon.float()
        return values, epsilon, s


class ODEINDLayer(_Layer):
    """The published layer for independent scalar ODEs Σ_j c_j u^(j) = b.

    Args:
        bs: B.
        order: the order of the ODEs.
        n_ind_dim: D, how many ODEs there are in each system.
        n_iv: how many derivatives are given at each point with initial values.
        n_step: N.
        n_iv_steps: at how many points initial values are given.
        solver_dbl: whether it is solved in double precision.
        gamma, alpha: relaxation and linear cost of the slack.
        central_diff: must be true; the published layer has no other rows with slack.
        double_ret: whether the results are in double precision.
        device: the CPU or a CUDA device; solves run where the tensors are.
    """

    def __init__(
        self,
        bs: int,
        order: int,
        n_ind_dim: int,
        n_iv: int,
        n_step: int,
        n_iv_steps: int,
        solver_dbl: bool = True,
        gamma: float = 0.5,
        alpha: float = 0.1,
        central_diff: bool = True,
        double_ret: bool = False,
        device: Any = None,
    ) -> None:
        if not central_diff:
            raise NotImplementedError("central_diff: only the central rows are published")
        super().__init__(
            bs,
            order,
            n_ind_dim,
            1,
            1,
            n_iv,
            n_iv_steps,
            n_step,
            False,
            solver_dbl,
            gamma,
            alpha,
            double_ret,
            device,
        )

    def forward(
        self, coeffs: Tensor, rhs: Tensor, iv_rhs: Tensor | None, steps: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Returns u, u', u'' (B, D, N), ε (B·D) and the steps.

        Args:
            coeffs: (B, D, N, Q), or of any shape with these numbers in this order.
            rhs: (B, D, N).
            iv_rhs: (B, D, points, derivatives), or ``None``.
            steps: (B, D, N-1).
        """
        values, epsilon, s = self.solve(coeffs, rhs, iv_rhs, steps)
        u = values.reshape(self.bs, self.n_ind_dim, self.n_step, self.order + 1)
        return u[..., 0], u[..., 1], u[..., 2], epsilon, s


class ODESYSLayer(_Layer):
    """The published layer for systems Σ_{k,j} c[e,k,j] u_k^(j) = b[e].

    Args:
        bs: B.
        order: the order of the ODEs.
        n_ind_dim: D, how many independent systems there are in each sample.
        n_dim: K, the states of a system.
        n_equations: E, its equations at each point.
        n_iv: how many derivatives are given at each point with initial values.
        n_iv_steps: at how many points initial values are given.
        n_step: N.
        periodic_boundary: whether the last point equals the first.
        solver_dbl: whether it is solved in double precision.
        gamma, alpha: relaxation and linear cost of the slack.
        double_ret: whether the results are in double precision.
        device: the CPU or a CUDA device; solves run where the tensors are.
    """

    def __init__(
        self,
        bs: int,
        order: int,
        n_ind_dim: int,
        n_dim: int,
        n_equations: int,
        n_iv: int,
        n_iv_steps: int,
        n_step: int,
        periodic_boundary: bool = False,
        solver_dbl: bool = True,
        gamma: float = 0.5,
        alpha: float = 0.1,
        double_ret: bool = True,
        device: Any = None,
    ) -> None:
        super().__init__(
            bs,
            order,
            n_ind_dim,
            n_dim,
            n_equations,
            n_iv,
            n_iv_steps,
            n_step,
            periodic_boundary,
            solver_dbl,
            gamma,
            alpha,
            double_ret,
            device,
        )

    def forward(
        self, coeffs: Tensor, rhs: Tensor, iv_rhs: Tensor | None, steps: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Returns u, u', u'' (B, D, N, K), ε (B·D) and all values (B, D, N, K, Q).

        Args:
            coeffs: (B, D, E, N, K, Q), or of any shape with these numbers in this order.
            rhs: (B, D, E, N).
            iv_rhs: (B, D, points, K, derivatives), or ``None``.
            steps: (B, D, N-1, K) or (B, D, N-1).
        """
        values, epsilon, _ = self.solve(coeffs, rhs, iv_rhs, steps)
        u = values.reshape(self.bs, self.n_ind_dim, self.n_step, self.n_dim, self.order + 1)
        return u[..., 0], u[..., 1], u[..., 2], epsilon, u
