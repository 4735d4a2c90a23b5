"""NumPy's times for the products of `cargo bench --bench products`: the output of a linear layer and the
gradients of its input and of its weight. The argument is the number of threads (default: all).

    pip install numpy
    python3 benches/peers/products.py 2
"""

import os
import sys
import time

if len(sys.argv) > 1:
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[variable] = sys.argv[1]

import numpy as np

SIZES = [(512, 1024, 1024), (512, 150, 1024), (8410, 144, 16), (25600, 10, 3)]
SECONDS = 2

for kind in (np.float64, np.float32):
    for m, k, n in SIZES:
        x, w, g = (np.arange(i * j, dtype=kind).reshape(i, j) % 7 for i, j in ((m, k), (k, n), (m, n)))
        y, gx, gw = np.empty_like(g), np.empty_like(x), np.empty_like(w)
        times = []
        while sum(map(sum, times)) < SECONDS:
            begin = time.perf_counter()
            np.dot(x, w, y)
            middle = time.perf_counter()
            np.dot(g, w.T, gx)
            np.dot(x.T, g, gw)
            times.append((middle - begin, time.perf_counter() - middle))
        for part, products, own in zip(("output", "gradients"), (1, 2), zip(*times)):
            median = sorted(own)[len(own) // 2]
            rate = products * 2 * m * k * n / median * 1e-9
            print(f"{kind.__name__} {part} {m} x {k} x {n}: {median * 1e3:.3f} ms, {rate:.0f} GFLOP/s")
