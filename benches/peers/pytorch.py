"""Times solve and adjoint from PyTorch next to what its users have otherwise, in one run on one machine.

    cargo xtask python && cargo xtask python --wheel
    target/python/bin/pip install --no-deps --force-reinstall torchdiffeq target/wheels/release/*.whl
    target/python/bin/python benches/peers/pytorch.py

All three take the same float64 coefficients, right-hand sides, initial values and steps of B systems and
return the gradients of them all, one after the other in every round:

* plain PyTorch: the same rows (`taylor_hold`), assembled into the same block-tridiagonal normal matrix,
  factored block by block with batched operations. Its backward pass is not PyTorch's through all these,
  which would be slower, but one more substitution with the factor. Solutions and gradients are compared
  with the library's before they are timed.
* torchdiffeq: rk4 on the same points, which backpropagates through its steps. The coefficients are
  interpolated between the points, and those of the highest derivative taken for the identity that they are
  here. It solves the same equations by another method, so that its numbers differ.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch
from mechanistic.torch import solve_ode
from torch import Tensor
from torchdiffeq import odeint

# B, N, K, order.
SHAPES = [
    (1, 1000, 1, 2),
    (1, 10000, 1, 2),
    (100, 1000, 1, 2),
    (1536, 50, 1, 2),
    (3000, 50, 1, 2),
    (512, 50, 3, 1),
    (4096, 64, 2, 2),
    (256, 64, 8, 2),
    (30, 50, 10, 2),
]
STEP = 0.02
# What takes longer than so many seconds runs once.
LONG = 2.0

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]


def problem(batch: int, points: int, states: int, order: int) -> Inputs:
    """Returns random coefficients, right-hand sides, initial values and steps."""
    make = {"generator": torch.Generator().manual_seed(0), "dtype": torch.float64}
    c = 0.5 * torch.randn(batch, points, states, states, order + 1, **make)
    c[..., order] = torch.eye(states)
    b = torch.randn(batch, points, states, **make)
    v = torch.randn(batch, 1, states, order, **make)
    s = torch.full((batch, points - 1), STEP, dtype=torch.float64)
    return c.requires_grad_(), b.requires_grad_(), v.requires_grad_(), s.requires_grad_()


def ours(c: Tensor, b: Tensor, v: Tensor, s: Tensor) -> Tensor:
    u = solve_ode(c, b, v, s, smoothness="taylor_hold", refinement_steps=0)
    assert isinstance(u, Tensor)
    return u


class BlockTridiagonal(torch.autograd.Function):
    """(D, L, q) → x of the symmetric system with diagonal blocks D (N, B, P, P), L (N-1, B, P, P) below
    them, and right-hand side q (N, B, P)."""

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
        below = g[1:, :, :, None] * x[:-1, :, None, :] + x[1:, :, :, None] * g[:-1, :, None, :]
        return -g[..., None] * x[:, :, None, :], -below, g


def substitute(factors: list[Tensor], couplings: list[Tensor], q: Tensor) -> Tensor:
    halves: list[Tensor] = []
    for point, half in enumerate(q[..., None].unbind()):
        if point:
            half = torch.baddbmm(half, couplings[point - 1], halves[-1], alpha=-1)
        halves.append(torch.linalg.solve_triangular(factors[point], half, upper=False))
    x = halves
    for point in reversed(range(len(halves))):
        half = halves[point]
        if point + 1 < len(halves):
            half = torch.baddbmm(half, couplings[point].mT, x[point + 1], alpha=-1)
        x[point] = torch.linalg.solve_triangular(factors[point].mT, half, upper=True)
    return torch.stack(x)[..., 0]


def plain(c: Tensor, b: Tensor, v: Tensor, s: Tensor) -> Tensor:
    batch, points, _, states, q = c.shape
    block = states * q
    # Rows of a step, with its length and the same backward: Σ_m h^m/(m-j)! z[t,m] - h^j z[t+1,j] = 0.
    table = [[1 / math.factorial(m - j) if m >= j else 0.0 for m in range(q)] for j in range(q)]
    forward = s[..., None] ** torch.arange(q, dtype=s.dtype)
    backward = (-s)[..., None] ** torch.arange(q, dtype=s.dtype)
    series = [powers[..., None, :] * s.new_tensor(table) for powers in (forward, backward)]
    here = torch.cat([series[0], -torch.diag_embed(backward)], -2)
    there = torch.cat([-torch.diag_embed(forward), series[1]], -2)

    def of_states(product: Tensor) -> Tensor:
        """Returns blocks (N-1, B, P, P) with the same block (B, N-1, Q, Q) for every state."""
        whole = torch.einsum("kl,btij->tbkilj", torch.eye(states, dtype=s.dtype), product)
        return whole.reshape(points - 1, batch, block, block)

    rows = c.transpose(0, 1).reshape(points, batch, -1, block)
    none = c.new_zeros(1, batch, block, block)
    diagonal = rows.mT @ rows
    diagonal = diagonal + torch.cat([of_states(here.mT @ here), none])
    diagonal = diagonal + torch.cat([none, of_states(there.mT @ there)])
    given = torch.zeros(states, q, dtype=c.dtype)
    given[:, : v.shape[3]] = 1
    start = torch.diag(given.flatten()).expand_as(none)
    diagonal = diagonal + torch.cat([start, none.expand(points - 1, -1, -1, -1)])
    rhs = (rows.mT @ b.transpose(0, 1)[..., None])[..., 0]
    initial = torch.nn.functional.pad(v[:, 0], (0, q - v.shape[3])).reshape(1, batch, block)
    rhs = torch.cat([rhs[:1] + initial, rhs[1:]])
    x = BlockTridiagonal.apply(diagonal, of_states(there.mT @ here), rhs)
    return x.transpose(0, 1).reshape(batch, points, states, q)


def rk4(c: Tensor, b: Tensor, v: Tensor, s: Tensor) -> Tensor:
    batch, points, _, states, q = c.shape
    order = q - 1
    lower = c[..., :order].reshape(batch, points, states, -1).unbind(1)
    forces = b.unbind(1)

    def slope(t: Tensor, y: Tensor) -> Tensor:
        place = min(max(t.item() / STEP, 0.0), points - 1.0)
        first = min(int(place + 1e-6), points - 2)
        part = place - first
        if part < 1e-6:
            matrix, force = lower[first], forces[first]
        else:
            matrix = torch.lerp(lower[first], lower[first + 1], part)
            force = torch.lerp(forces[first], forces[first + 1], part)
        top = force - (matrix @ y.reshape(batch, -1, 1))[..., 0]
        return torch.cat([y[..., 1:], top[..., None]], -1)

    # One grid for all systems is all that torchdiffeq has.
    times = torch.cat([s.new_zeros(1), s[0].cumsum(0)])
    return odeint(slope, v[:, 0], times, method="rk4").transpose(0, 1)


def milliseconds(method: Callable[..., Tensor], inputs: Inputs) -> float:
    begin = time.perf_counter()
    torch.autograd.grad(method(*inputs).sum(), inputs)
    return 1e3 * (time.perf_counter() - begin)


def check(inputs: Inputs) -> float:
    """Returns the largest relative difference of solutions and gradients."""
    found = []
    for method in (ours, plain):
        u = method(*inputs)
        found.append((u.detach(), *torch.autograd.grad(u.sum(), inputs)))
    return max(((x - y).abs().max() / y.abs().max()).item() for x, y in zip(*found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print("| B, N, K, order (P) | plain PyTorch | torchdiffeq, rk4 | ours | ratios | difference |")
    print("|---|---|---|---|---|---|")
    for shape in SHAPES:
        inputs = problem(*shape)
        difference = check(inputs)
        times: dict[str, list[float]] = {"plain": [], "rk4": [], "ours": []}
        for turn in range(rounds):
            for method in (plain, rk4, ours):
                kept = times[method.__name__]
                if turn == 0 or max(kept) < 1e3 * LONG:
                    kept.append(milliseconds(method, inputs))
        a, b, c = [statistics.median(kept) for kept in times.values()]
        batch, points, states, order = shape
        name = f"{batch}, {points}, {states}, {order} ({states * (order + 1)})"
        ratios = f"{a / c:.0f}, {b / c:.0f}"
        print(
            f"| {name} | {a:.1f} ms | {b:.1f} ms | {c:.2f} ms | {ratios} | {difference:.0e} |",
            flush=True,
        )
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
