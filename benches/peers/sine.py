"""Times the paper's Table 3 (section 5.7): 100 iterations that fit a noisy sine of 1000 points, by torchdiffeq's
RK4 with adjoint, and by this library's solver.

`cargo xtask peers --only sine` installs what it needs and runs this.

Both are fitted in float64 by Adam with gradients clipped to norm 1 to the same data: a sine with new noise in
each iteration. The models differ, as in the paper: a Neural ODE of two states with a network of one hidden
layer, whose first state is the fit, against a linear ODE with a learned right-hand side at every point. One
turn is an iteration of the former, or all 100 of the latter, from the beginning.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from pathlib import Path

import numpy
import torch
from safetensors.numpy import save_file
from torchdiffeq import odeint_adjoint
from turns import Training, head, row, take_turns, threads, timed

# As in crates/peers/src/sine.rs.
ITERATIONS, POINTS = 100, 1000
H, PERIOD, NOISE = 0.1, 5.0, 0.1
HIDDEN, RATE, CLIP = 32, 0.02, 1.0
# This library trains once for so many iterations of the other.
ITERATIONS_A_TURN = 5


class NeuralOde(torch.nn.Module):
    """u' = network(u), and the learned start."""

    def __init__(self) -> None:
        super().__init__()
        linear = torch.nn.Linear
        self.net = torch.nn.Sequential(linear(2, HIDDEN), torch.nn.Tanh(), linear(HIDDEN, 2))
        self.start = torch.nn.Parameter(torch.tensor([[0.0, 0.5]]))

    def forward(self, t: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return self.net(u)


class Peer:
    def __init__(self, targets: torch.Tensor) -> None:
        torch.manual_seed(0)
        self.targets = targets
        self.model = NeuralOde().double()
        self.times = H * torch.arange(POINTS, dtype=torch.float64)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=RATE)
        self.losses: list[float] = []

    def iterate(self) -> None:
        """Takes one step of training."""
        self.optimizer.zero_grad()
        u = odeint_adjoint(self.model, self.model.start, self.times, method="rk4")
        loss = (u[:, 0, 0] - self.targets[len(self.losses)]).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        self.losses.append(loss.item())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=480.0, help="to stop after, about")
    seconds = parser.parse_args().seconds
    torch.set_num_threads(threads())
    clean = numpy.sin(math.tau * H * numpy.arange(POINTS) / PERIOD)
    noise = numpy.random.default_rng(0).normal(scale=NOISE, size=(ITERATIONS, POINTS))
    noisy = clean + noise
    peer = Peer(torch.tensor(noisy))
    iterations: list[float] = []

    def iterate() -> float:
        iterations.extend(timed(peer.iterate)() for _ in range(ITERATIONS_A_TURN))
        return statistics.median(iterations)

    with tempfile.TemporaryDirectory() as folder:
        arrays = {"parameter.noisy": noisy, "steps": numpy.array(0, numpy.uint64)}
        save_file(arrays, Path(folder, "noisy.safetensors"))
        ours = Training("sine", folder)
        turns = {"torchdiffeq": iterate, "ours": ours}
        found = take_turns(turns, ITERATIONS // ITERATIONS_A_TURN, seconds)
        ours.close()
    single = statistics.median(found["ours"]) / ITERATIONS
    median = statistics.median(iterations)
    head(f"{POINTS} points", "an iteration", "iterations", "last MSE", "ratio of the times")
    row(["torchdiffeq, rk4 with adjoint", f"{median:.3f} s", len(iterations), f"{peer.losses[-1]:.4f}", ""])
    row(["ours", f"{1e3 * single:.3f} ms", ITERATIONS, f"{ours.loss:.4f}", f"{median / single:.0f}"])
    if len(iterations) < ITERATIONS:
        cut = f"{len(iterations)} of {ITERATIONS} iterations"
        print(f"\nAfter {seconds:.0f} s torchdiffeq had {cut}: its MSE is not that of the end.")
    print(f"\nPyTorch {torch.__version__}, {torch.get_num_threads()} threads; the noise alone has {NOISE**2:.4f}.")


if __name__ == "__main__":
    main()
