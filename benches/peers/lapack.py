"""Times the solver next to LAPACK's banded Cholesky, in one run on one machine.

`cargo xtask peers --only lapack` installs what it needs and runs this.

For every shape, LAPACK factorizes the same number of symmetric positive definite band matrices of
the same size and bandwidth (dpbtrf) and substitutes twice in each (dpbtrs: solution and adjoint).
It is given the matrices for free: assembling them and the gradients of the inputs are not part of
its time, but of the solver's. Both run on one thread, the solver also on all. The solver computes as the
published one does (`TaylorHold`, no refinement).
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


def ours(batch, points, states, order, threads):
    """Median milliseconds of forward and backward."""
    sizes = {"batch": batch, "points": points, "states": states, "order": order}
    command = [PROGRAMS / "mnn", "bench", "--dtype", "f64", "--json"]
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
    single, every = "ours, 1 thread", "ours, all threads"
    head("B, N, K, order (P)", "LAPACK, 1 thread", single, every, "all threads / LAPACK")
    for shape in SHAPES:
        turns = {
            "LAPACK": lambda: lapack(*shape),
            single: lambda: ours(*shape, 1),
            every: lambda: ours(*shape, None),
        }
        times = medians(take_turns(turns, ROUNDS, seconds / len(SHAPES)))
        batch, points, states, order = shape
        name = f"{batch}, {points}, {states}, {order} ({states * (order + 1)})"
        ratio = times[every] / times["LAPACK"]
        row([name, *(f"{time:.2f} ms" for time in times.values()), f"{ratio:.2f}"])


if __name__ == "__main__":
    main()
