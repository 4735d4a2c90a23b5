"""Times the solver next to LAPACK's banded Cholesky, in one run on one machine.

    pip install numpy scipy
    cargo build --release
    python3 benches/peers/lapack.py

For every shape, LAPACK factorizes the same number of symmetric positive definite band matrices of
the same size and bandwidth (dpbtrf) and substitutes twice in each (dpbtrs: solution and adjoint).
It is given the matrices for free: assembling them and the gradients of the inputs are not part of
its time, but of the solver's. Both run on one thread, the solver also on all.
"""

import json
import os
import subprocess
import time

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy
from scipy.linalg.lapack import dpbtrf, dpbtrs

# (B, N, K, order): forward + backward with ScalableMNN (PyTorch, CPU, f64), in milliseconds, as
# measured once on a machine with 2 cores.
SHAPES = {
    (1, 1000, 1, 2): 89,
    (1, 10000, 1, 2): 741,
    (100, 1000, 1, 2): 327,
    (1536, 50, 1, 2): 207,
    (3000, 50, 1, 2): 431,
    (512, 50, 3, 1): 161,
    (4096, 64, 2, 2): 1810,
    (256, 64, 8, 2): 2257,
    (30, 50, 10, 2): 158,
}
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
    program = os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release", "mnn")
    sizes = {"batch": batch, "points": points, "states": states, "order": order}
    command = [program, "bench", "--dtype", "f64", "--json"]
    for name, size in sizes.items():
        command += [f"--{name}", str(size)]
    environment = dict(os.environ)
    if threads:
        environment["RAYON_NUM_THREADS"] = str(threads)
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(output.stdout)["total_ms"]


print("| B, N, K, order (P) | ScalableMNN* | LAPACK, 1 thread | ours, 1 thread | ours, all threads |")
print("|---|---|---|---|---|")
for shape, published in SHAPES.items():
    rounds = [(lapack(*shape), ours(*shape, 1), ours(*shape, None)) for _ in range(ROUNDS)]
    peer, single, every = (sorted(column)[ROUNDS // 2] for column in zip(*rounds))
    batch, points, states, order = shape
    name = f"{batch}, {points}, {states}, {order} ({states * (order + 1)})"
    print(f"| {name} | {published} ms | {peer:.2f} ms | {single:.2f} ms | {every:.2f} ms |")
