"""Trains a Mechanistic Neural Network on the Lorenz system in several processes.

    torchrun --nproc-per-node 2 examples/python/ddp.py
    python examples/python/ddp.py                        # the same in one process

The network sees windows of a noisy trajectory and emits, for each of them, the right-hand side of
u' = b(t) and the initial state; the solver turns these into a trajectory, and the loss compares it
with the data. Each process has its share of the windows in every batch, and
DistributedDataParallel averages the gradients. The parameters are those of one process to rounding.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mechanistic.torch import solve_ode

WINDOW, STEP, STATES = 32, 0.01, 3


def lorenz(points: int) -> Tensor:
    """Returns a trajectory of the Lorenz system with noise, (points, 3), of unit deviation."""

    def slope(x: Tensor) -> Tensor:
        a, b, c = x
        return torch.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c])

    x, states = torch.tensor([-8.0, 7.0, 27.0], dtype=torch.float64), []
    for _ in range(points):
        states.append(x)
        for _ in range(10):
            middle = x + STEP / 20 * slope(x)
            x = x + STEP / 10 * slope(middle)
    clean = torch.stack(states)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1), dtype=clean.dtype)
    return (clean - clean.mean(0)) / clean.std(0) + 0.01 * noise


class Network(nn.Module):
    """A network whose output is the solution of an ODE."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(WINDOW * STATES, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU())
        self.slopes = nn.Linear(64, WINDOW * STATES)
        self.start = nn.Linear(64, STATES)

    def forward(self, windows: Tensor) -> Tensor:
        """Returns trajectories (B, WINDOW, 3) for windows of the same shape."""
        hidden = self.body(windows.flatten(1))
        # u' = b: the coefficients of u and u' are 0 and 1, one equation for each state.
        coefficients = windows.new_zeros(1, 1, STATES, STATES, 2)
        coefficients[0, 0, :, :, 1] = torch.eye(STATES)
        rhs = self.slopes(hidden).reshape(-1, WINDOW, STATES)
        initial = self.start(hidden).reshape(-1, 1, STATES, 1)
        u = solve_ode(coefficients, rhs, initial, windows.new_full((1, 1), STEP))
        assert isinstance(u, Tensor)
        return u[..., 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60, help="training steps")
    parser.add_argument("--batch", type=int, default=64, help="windows of a step, of all processes")
    parser.add_argument("--save", type=Path, help="where the parameters are written")
    arguments = parser.parse_args()
    several = "RANK" in os.environ
    shares = int(os.environ.get("WORLD_SIZE", "1"))
    if arguments.batch < 1 or arguments.batch % shares:
        parser.error(f"--batch {arguments.batch} cannot be shared equally by {shares} processes")
    if several:
        dist.init_process_group("gloo")
    rank, processes = (dist.get_rank(), dist.get_world_size()) if several else (0, 1)

    torch.manual_seed(0)
    network = Network().double()
    model = DistributedDataParallel(network) if several else network
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    data = lorenz(2000)
    order = torch.Generator().manual_seed(2)
    for step in range(arguments.steps):
        starts = torch.randint(len(data) - WINDOW, (arguments.batch,), generator=order)
        mine = starts.chunk(processes)[rank]
        windows = torch.stack([data[start : start + WINDOW] for start in mine])
        loss = (model(windows) - windows).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if rank == 0 and step % 10 == 0:
            print(f"step {step:3}: loss {loss.item():.4f}", flush=True)
    if rank == 0 and arguments.save:
        torch.save(network.state_dict(), arguments.save)
    if several:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
