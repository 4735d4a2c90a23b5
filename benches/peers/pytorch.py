"""Times solve and adjoint from PyTorch next to what its users have otherwise, in one run on one machine.

`cargo xtask peers --only pytorch` installs what it needs, makes the Python package and runs this.

All take the same float64 coefficients, right-hand sides, initial values and steps of B systems and return
the gradients of them all, one after the other in every round:

* ScalableMNN, the published PyTorch solver, if the folder of its `smnn.py` is given.
* plain PyTorch: the same rows, matrix and factor, written in this folder (`banded.py`). Solutions and
  gradients are compared with the library's before they are timed, and so are ScalableMNN's.
* torchdiffeq: rk4 on the same points, which backpropagates through its steps. The coefficients are
  interpolated between the points, and those of the highest derivative taken for the identity that they are
  here. It solves the same equations by another method, so that its numbers differ.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import banded
import torch
from mechanistic.torch import solve_ode
from torch import Tensor
from torchdiffeq import odeint
from turns import SHAPES, head, medians, repeated, row, take_turns, threads

STEP = 0.02
ROUNDS = 5
OURS = "ours"

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]
Method = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


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


def contenders(scalable: str | None) -> dict[str, Method]:
    methods: dict[str, Method] = {}
    if scalable:
        sys.path.append(scalable)
        from smnn import ode_forward

        methods["ScalableMNN"] = ode_forward
    methods["plain PyTorch"] = banded.solve
    methods["torchdiffeq, rk4"] = rk4
    methods[OURS] = ours
    return methods


def solution_and_gradients(method: Method, inputs: Inputs) -> list[Tensor]:
    u = method(*inputs)
    return [u.detach(), *torch.autograd.grad(u.sum(), inputs)]


def difference(methods: list[Method], inputs: Inputs) -> float:
    """Returns the largest relative difference of solutions and gradients to those of the last."""
    *others, expected = [solution_and_gradients(method, inputs) for method in methods]
    pairs = [pair for found in others for pair in zip(found, expected)]
    # Of a NaN, this is NaN.
    return torch.stack([(x - y).abs().max() / y.abs().max() for x, y in pairs]).max().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=180.0, help="to stop after, about")
    parser.add_argument("--scalable", metavar="FOLDER", help="where ScalableMNN's smnn.py is")
    arguments = parser.parse_args()
    torch.set_num_threads(threads())
    methods = contenders(arguments.scalable)
    rk4(*problem(1, 10, 1, 2)).sum().backward()
    head("B, N, K, order (P)", *methods, "ratios", "difference")
    for shape in SHAPES:
        inputs = problem(*shape)
        same = [method for method in methods.values() if method is not rk4]
        error = difference(same, inputs)
        if not error < 1e-6:
            raise SystemExit(f"{shape}: the results differ by {error:.0e}")
        turns = {
            name: repeated(lambda method=method: solution_and_gradients(method, inputs))
            for name, method in methods.items()
        }
        times = medians(take_turns(turns, ROUNDS, arguments.seconds / len(SHAPES)))
        batch, points, states, order = shape
        row(
            [
                f"{batch}, {points}, {states}, {order} ({states * (order + 1)})",
                *(f"{1e3 * time:.1f} ms" for name, time in times.items() if name != OURS),
                f"{1e3 * times[OURS]:.2f} ms",
                ", ".join(f"{times[name] / times[OURS]:.0f}" for name in times if name != OURS),
                f"{error:.0e}",
            ]
        )
    print(f"\nPyTorch {torch.__version__}, {torch.get_num_threads()} threads; medians of {ROUNDS} rounds")
    print("where the time allows.")


if __name__ == "__main__":
    main()
