"""Times an epoch of the authors' network for the Lorenz system: 19 batches of 512 windows, 50 points, three states,
equations up to order 2, two networks with two hidden layers of 1024, float64, Adam.

`cargo xtask peers --only lorenz` installs what it needs, makes the Python package and runs this.

All begin with the same weights and see the same batches. The model is PyTorch's but for this library's own
tape ("ours"), with one of these solvers:

* a plain PyTorch solve (`banded.py`) that factors the matrix of every system, as the authors' solver does;
* the same with one factor for all systems, which all have the same equation and steps here;
* ScalableMNN, if the folder of its `smnn.py` is given, with its cache of the factor, as in its example;
* this library's, through its Python package.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import banded
import numpy
import torch
from mechanistic.torch import solve_ode
from safetensors.numpy import save_file
from scipy.integrate import odeint
from torch import Tensor, nn
from turns import Training, head, medians, row, take_turns, threads, timed

# As in crates/peers/src/lorenz.rs.
BATCHES, WINDOWS, POINTS, STATES = 19, 512, 50, 3
WIDTH, LATENT, RATE, STEP = 1024, 64, 5e-4, 0.01
TERMS = 10
SAMPLES = 10_000
EPOCHS = 5
OURS = "ours"

SYSTEMS = WINDOWS * STATES
EQUATION = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
# (B, N) of u' and (B) of the start → u (B, N).
Solve = Callable[[Tensor, Tensor], Tensor]


def plain(matrices: int) -> Solve:
    c = EQUATION.expand(matrices, POINTS, 1, 1, 3)
    s = torch.full((matrices, POINTS - 1), STEP, dtype=torch.float64)
    return lambda slope, start: banded.solve(c, slope[..., None], start[:, None, None, None], s)[..., 0, 0]


def scalable(folder: str) -> Solve:
    sys.path.append(folder)
    from smnn import ode_forward

    s = torch.full((1, 1), STEP, dtype=torch.float64)

    def solve(slope: Tensor, start: Tensor) -> Tensor:
        u = ode_forward(
            EQUATION.reshape(1, 1, 1, 1, 3),
            slope.T[..., None],
            start[None, :, None, None],
            s,
            n_steps=POINTS,
            is_step_dim_first=True,
            frozen_lhs_cache_version=1,
        )
        return u[..., 0, 0].T

    return solve


def ours(slope: Tensor, start: Tensor) -> Tensor:
    s = torch.full((1, 1), STEP, dtype=torch.float64)
    c, v = EQUATION.reshape(1, 1, 1, 1, 3), start[:, None, None, None]
    u = solve_ode(c, slope[..., None], v, s, smoothness="taylor_hold", refinement_steps=0)
    assert isinstance(u, Tensor)
    return u[..., 0, 0]


def mlp(inputs: int, outputs: int) -> nn.Sequential:
    linear, relu = nn.Linear, nn.ReLU
    layers = linear(inputs, WIDTH), relu(), linear(WIDTH, WIDTH), relu(), linear(WIDTH, outputs)
    return nn.Sequential(*layers)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(POINTS * STATES, POINTS * STATES)
        self.param_net = mlp(LATENT, TERMS * STATES)
        self.param_in = nn.Parameter(torch.randn(1, LATENT))

    def loss(self, data: Tensor, solve: Solve) -> Tensor:
        """MSE(u, x) + MSE(f, x) for data x (W, N·K), inputs f of the basis, and u' = Θ(f)ξ."""
        flat = self.net(data)
        f = flat.reshape(WINDOWS, POINTS, STATES)
        terms = [torch.ones_like(f[..., :1]), f]
        for i in range(STATES):
            terms.append(f[..., i : i + 1] * f[..., i:])
        xi = self.param_net(self.param_in).reshape(TERMS, STATES)
        slope = torch.cat(terms, -1) @ xi
        u = solve(slope.transpose(1, 2).reshape(SYSTEMS, POINTS), f[:, 0].reshape(SYSTEMS))
        u = u.reshape(WINDOWS, STATES, POINTS).transpose(1, 2).reshape(data.shape)
        return (u - data).square().mean() + (flat - data).square().mean()

    def stored(self) -> dict[str, numpy.ndarray]:
        """The weights as a checkpoint of this library has them."""
        arrays = {"parameter.param_in": self.param_in.detach().numpy()}
        for name in ("net", "param_net"):
            for i, layer in enumerate(getattr(self, name)[::2]):
                weight = layer.weight.detach().numpy().T
                arrays[f"parameter.{name}.{i}.weight"] = numpy.ascontiguousarray(weight)
                arrays[f"parameter.{name}.{i}.bias"] = layer.bias.detach().numpy()
        return arrays


class Peer:
    def __init__(self, model: Model, batches: Tensor, solve: Solve) -> None:
        self.model, self.batches, self.solve = copy.deepcopy(model), batches, solve
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=RATE)
        self.loss = float("nan")

    def epoch(self) -> None:
        for data in self.batches:
            loss = self.model.loss(data, self.solve)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.loss = loss.item()


def lorenz_batches() -> numpy.ndarray:
    """Windows of a trajectory at random, (BATCHES, W, N·K)."""

    def slope(u: numpy.ndarray, _: float) -> tuple[float, float, float]:
        x, y, z = u
        return 10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z

    states = odeint(slope, [1.0, 1.0, 1.0], numpy.linspace(0.0, STEP * SAMPLES, SAMPLES))
    starts = numpy.random.default_rng(0).permutation(SAMPLES - POINTS)[: BATCHES * WINDOWS]
    windows = numpy.stack([states[start : start + POINTS] for start in starts])
    return windows.reshape(BATCHES, WINDOWS, POINTS * STATES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0, help="to stop after, about")
    parser.add_argument("--scalable", metavar="FOLDER", help="where ScalableMNN's smnn.py is")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(threads())
    model, batches = Model().double(), lorenz_batches()
    solvers = {
        "PyTorch, plain solve, a factor for each system": plain(SYSTEMS),
        "PyTorch, plain solve, one factor": plain(1),
    }
    if arguments.scalable:
        solvers["PyTorch, ScalableMNN, one factor"] = scalable(arguments.scalable)
    solvers["PyTorch, this library's solve"] = ours
    data = torch.tensor(batches)
    peers = {name: Peer(model, data, solve) for name, solve in solvers.items()}
    with tempfile.TemporaryDirectory() as folder:
        steps = {"steps": numpy.array(0, numpy.uint64)}
        save_file(model.stored() | steps, Path(folder, "weights.safetensors"))
        shape = {"parameter.batches": batches.reshape(BATCHES, -1)}
        save_file(shape | steps, Path(folder, "batches.safetensors"))
        training = Training("lorenz", folder)
        turns = {name: timed(peer.epoch) for name, peer in peers.items()} | {OURS: training}
        found = take_turns(turns, EPOCHS, arguments.seconds)
        training.close()
    times, count = medians(found), len(found[OURS])
    losses = {name: peer.loss for name, peer in peers.items()} | {OURS: training.loss}
    head("", "an epoch", f"loss after {count} epochs", "times ours")
    for name, time in times.items():
        row([name, f"{time:.2f} s", f"{losses[name]:.6f}", f"{time / times[OURS]:.2f}"])
    worst = max(abs(loss / losses[OURS] - 1.0) for loss in losses.values())
    if not worst < 1e-4:
        raise SystemExit(f"the losses differ by {worst:.1e}: not all trained the same network")
    print(f"\nPyTorch {torch.__version__}, {torch.get_num_threads()} threads; medians of {count} epochs in turns.")


if __name__ == "__main__":
    main()
