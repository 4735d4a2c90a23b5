"""The solve of this library in plain PyTorch: the same rows (`taylor_hold`), assembled into the same
block-tridiagonal normal matrix, which is factored block by block with batched operations. It stands in for the
published scalable solver where that is not given.

Its backward pass is not PyTorch's through all these operations, which would be slower, but one more
substitution with the factor.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


class BlockTridiagonal(torch.autograd.Function):
    """(D, L, q) → x of the symmetric systems with diagonal blocks D (N, M, P, P), L (N-1, M, P, P) below
    them, and right-hand sides q (N, M, P, R)."""

    @staticmethod
    def forward(ctx, diagonal: Tensor, below: Tensor, q: Tensor) -> Tensor:
        factors, couplings = [torch.linalg.cholesky(diagonal[0])], []
        for pivot, block in zip(diagonal[1:].unbind(), below.unbind()):
            coupling = torch.linalg.solve_triangular(factors[-1].mT, block, upper=True, left=False)
            couplings.append(coupling)
            factors.append(torch.linalg.cholesky(torch.baddbmm(pivot, coupling, coupling.mT, alpha=-1)))
        x = substitute(factors, couplings, q)
        ctx.factors, ctx.couplings = factors, couplings
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx, w: Tensor):
        (x,) = ctx.saved_tensors
        g = substitute(ctx.factors, ctx.couplings, w)
        if not ctx.needs_input_grad[0]:
            return None, None, g
        below = g[1:] @ x[:-1].mT + x[1:] @ g[:-1].mT
        return -g @ x.mT, -below, g


def substitute(factors: list[Tensor], couplings: list[Tensor], q: Tensor) -> Tensor:
    halves: list[Tensor] = []
    for point, half in enumerate(q.unbind()):
        if point:
            half = torch.baddbmm(half, couplings[point - 1], halves[-1], alpha=-1)
        halves.append(torch.linalg.solve_triangular(factors[point], half, upper=False))
    x = halves
    for point in reversed(range(len(halves))):
        half = halves[point]
        if point + 1 < len(halves):
            half = torch.baddbmm(half, couplings[point].mT, x[point + 1], alpha=-1)
        x[point] = torch.linalg.solve_triangular(factors[point].mT, half, upper=True)
    return torch.stack(x)


def solve(c: Tensor, b: Tensor, v: Tensor, s: Tensor) -> Tensor:
    """Returns u and its derivatives (B, N, K, Q) for coefficients c (M, N, K, K, Q), right-hand sides b
    (B, N, K), initial values v (B, 1, K, J) and steps s (M, N-1). Each of M = B systems has a factor of its
    own, or all that of M = 1."""
    matrices, points, _, states, q = c.shape
    batch, block = b.shape[0], states * q
    # Rows of a step, with its length and the same backward: Σ_m h^m/(m-j)! z[t,m] - h^j z[t+1,j] = 0.
    table = [[1 / math.factorial(m - j) if m >= j else 0.0 for m in range(q)] for j in range(q)]
    forward = s[..., None] ** torch.arange(q, dtype=s.dtype)
    backward = (-s)[..., None] ** torch.arange(q, dtype=s.dtype)
    series = [powers[..., None, :] * s.new_tensor(table) for powers in (forward, backward)]
    here = torch.cat([series[0], -torch.diag_embed(backward)], -2)
    there = torch.cat([-torch.diag_embed(forward), series[1]], -2)

    def of_states(product: Tensor) -> Tensor:
        """Returns blocks (N-1, M, P, P) with the same block (M, N-1, Q, Q) for every state."""
        whole = torch.einsum("kl,btij->tbkilj", torch.eye(states, dtype=s.dtype), product)
        return whole.reshape(points - 1, matrices, block, block)

    def by_matrix(x: Tensor) -> Tensor:
        """Returns (B, N, …) as columns (N, M, …, B/M)."""
        size = x.shape[2:].numel()
        return x.transpose(0, 1).reshape(x.shape[1], matrices, batch // matrices, size).mT

    rows = c.transpose(0, 1).reshape(points, matrices, -1, block)
    none = c.new_zeros(1, matrices, block, block)
    diagonal = rows.mT @ rows
    diagonal = diagonal + torch.cat([of_states(here.mT @ here), none])
    diagonal = diagonal + torch.cat([none, of_states(there.mT @ there)])
    given = torch.zeros(states, q, dtype=c.dtype)
    given[:, : v.shape[3]] = 1
    start = torch.diag(given.flatten()).expand_as(none)
    diagonal = diagonal + torch.cat([start, none.expand(points - 1, -1, -1, -1)])
    rhs = rows.mT @ by_matrix(b)
    initial = by_matrix(torch.nn.functional.pad(v, (0, q - v.shape[3])))
    rhs = torch.cat([rhs[:1] + initial, rhs[1:]])
    x = BlockTridiagonal.apply(diagonal, of_states(there.mT @ here), rhs)
    return x.mT.reshape(points, batch, states, q).transpose(0, 1)
