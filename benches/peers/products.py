"""Times the products of a linear layer next to NumPy's: its output, and the gradients of its input and weight.

`cargo xtask peers --only products` installs NumPy and runs this. The turns of this library are those of
`cargo bench --bench products`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits
from turns import head, row, take_turns

# As in benches/products.rs: the rows, inputs and outputs of a layer.
SIZES = [(512, 1024, 1024), (512, 150, 1024), (8410, 144, 16), (25600, 10, 3)]
PARTS = {"output": 1, "gradients": 2}
KINDS = {"f64": np.float64, "f32": np.float32}
ROUNDS = 3
# Of a turn, for each part.
SECONDS = 0.4


class Numpy:
    """Products of NumPy; a turn adds the median of each part to `times`."""

    def __init__(self, kind: str, size: tuple[int, int, int], threads: int) -> None:
        m, k, n = size
        shapes = (m, k), (k, n), (m, n)
        numbers = [np.arange(i * j, dtype=KINDS[kind]).reshape(i, j) % 7 for i, j in shapes]
        self.inputs, self.threads = numbers, threads
        self.outputs = [np.empty_like(numbers[i]) for i in (2, 0, 1)]
        self.times: dict[str, list[float]] = {part: [] for part in PARTS}

    def __call__(self) -> float:
        (x, w, g), (y, gx, gw) = self.inputs, self.outputs
        found = []
        begin = time.perf_counter()
        with threadpool_limits(self.threads):
            while time.perf_counter() - begin < len(PARTS) * SECONDS:
                start = time.perf_counter()
                np.dot(x, w, y)
                middle = time.perf_counter()
                np.dot(g, w.T, gx)
                np.dot(x.T, g, gw)
                found.append((middle - start, time.perf_counter() - middle))
        for part, times in zip(PARTS, zip(*found)):
            self.times[part].append(statistics.median(times))
        return self.times["output"][-1]


class Ours:
    """The same of this library, as its benchmark measures them."""

    def __init__(self, kind: str, size: tuple[int, int, int], threads: int) -> None:
        # The name of a benchmark, of which a space has to stand for itself.
        names = f"products/{kind}/.*/{' x '.join(map(str, size))}$"
        settings = ["--warm-up-time", "0.1", "--measurement-time", str(SECONDS), "--sample-size", "10"]
        cargo = os.environ.get("CARGO", "cargo")
        bench = [cargo, "bench", "--quiet", "--bench", "products", "--", "--noplot"]
        self.command = [*bench, *settings, names]
        self.environment = os.environ | {"RAYON_NUM_THREADS": str(threads)}
        self.times: dict[str, list[float]] = {part: [] for part in PARTS}

    def __call__(self) -> float:
        with tempfile.TemporaryDirectory() as folder:
            environment = self.environment | {"CRITERION_HOME": folder}
            subprocess.run(self.command, env=environment, check=True, capture_output=True)
            for path in Path(folder).glob("**/new/benchmark.json"):
                part = json.loads(path.read_text())["function_id"]
                estimates = json.loads(path.with_name("estimates.json").read_text())
                self.times[part].append(1e-9 * estimates["median"]["point_estimate"])
        return self.times["output"][-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=180.0, help="to stop after, about")
    seconds = parser.parse_args().seconds
    threads = sorted({1, len(os.sched_getaffinity(0))})
    problems = [(kind, size, n) for kind in KINDS for size in SIZES for n in threads]
    head("product", "threads", "NumPy", "ours", "speed, ours / NumPy")
    rounds = []
    for kind, size, count in problems:
        peer, ours = Numpy(kind, size, count), Ours(kind, size, count)
        found = take_turns({"NumPy": peer, "ours": ours}, ROUNDS, seconds / len(problems))
        rounds.append(len(found["ours"]))
        for part, products in PARTS.items():
            flops = products * 2 * size[0] * size[1] * size[2]
            theirs, own = (statistics.median(side.times[part]) for side in (peer, ours))
            speeds = [f"{1e-9 * flops / time:.1f} Gflop/s" for time in (theirs, own)]
            name = f"{kind} {part}, {' × '.join(map(str, size))}"
            row([name, count, *speeds, f"{theirs / own:.2f}"])
    print(f"\nNumPy {np.__version__}, whose times are of products alone; medians of {min(rounds)} to {ROUNDS} rounds.")


if __name__ == "__main__":
    main()
