"""Times the solver next to LAPACK's banded Cholesky, in one run on one machine.

`cargo xtask peers --only lapack` installs what it needs and runs this.

For every shape, LAPACK factorizes the same number of symmetric positive definite band matrices of
the same size and bandwidth (dpbtrf) and substitutes twice in each (dpbtrs: solution and adjoint).
It is given the matrices for free: assembling them and the gradients of the inputs are not part of
its time, but of the solver's. Both run on one thread, the solver also on all. The solver computes as the
published one does (`TaylorHold`, no refinement), and on all threads with its default options and in single
precision too.
"""

import argparse
import json
import os
import subprocess
import time

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy
from scipy.linalg.lapack import dpbtrf, dpbtrs
from turns import PROGRAMS, SHAPES, head, medians, row, take_turns

ROUNDS = 3


def lapack(batch, points, states, order):
    """Milliseconds for the batch, best of a few runs."""
    block = states * (order + 1)
    size, width = points * block, 2 * block - 1
    band = -numpy.random.default_rng(0).random((width + 1, size)) / (4 * width)
    band[0] = 1.0  # diagonally dominant, lower storage
    band = numpy.asfortranarray(band)
    rhs = numpy.ones(size)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(batch):
            factor, info = dpbtrf(band, lower=1)
            assert info == 0
            dpbtrs(factor, rhs, lower=1)
            dpbtrs(factor, rhs, lower=1)
        best = min(best, time.perf_counter() - start)
    return 1e3 * best


def ours(batch, points, states, order, threads=None, dtype="f64", default_options=False):
    """Median milliseconds of forward and backward."""
    sizes = {"batch": batch, "points": points, "states": states, "order": order}
    command = [PROGRAMS / "mnn", "bench", "--dtype", dtype, "--json"]
    command += ["--default-options"] if default_options else []
    for name, size in sizes.items():
        command += [f"--{name}", str(size)]
    environment = dict(os.environ)
    if threads:
        environment["RAYON_NUM_THREADS"] = str(threads)
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(output.stdout)["total_ms"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0, help="to stop after, about")
    seconds = parser.parse_args().seconds
    single, every, refined, f32 = "ours, 1 thread", "all threads", "default options", "f32"
    ratios = ["all threads / LAPACK", "1 thread / all", "default options / not", "f32 / f64"]
    head("B, N, K, order (P)", "LAPACK, 1 thread", single, every, refined, f32, *ratios)
    for shape in SHAPES:
        turns = {
            "LAPACK": lambda: lapack(*shape),
            single: lambda: ours(*shape, threads=1),
            every: lambda: ours(*shape),
            refined: lambda: ours(*shape, default_options=True),
            f32: lambda: ours(*shape, dtype="f32"),
        }
        times = medians(take_turns(turns, ROUNDS, seconds / len(SHAPES)))
        batch, points, states, order = shape
        name = f"{batch}, {points}, {states}, {order} ({states * (order + 1)})"
        pairs = [(every, "LAPACK"), (single, every), (refined, every), (f32, every)]
        ratios = [f"{times[a] / times[b]:.3g}" for a, b in pairs]
        row([name, *(f"{time:.3f} ms" for time in times.values()), *ratios])


if __name__ == "__main__":
    main()
