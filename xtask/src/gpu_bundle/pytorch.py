"""Times of block-tridiagonal systems in PyTorch, of the sizes that the library solves.

A problem (B, N, K, order) is, for each of B systems, a positive definite matrix of N blocks of
P = K (order + 1) rows. PyTorch has no solver for it, so its user has two ways: to eliminate block by
block, all systems at once, or to factor dense matrices, where they fit. The systems are random; the
library besides makes them from the equations, which is not timed here.
"""

import argparse
import json
import statistics
import time

import torch

SHAPES = [
    (1, 1000, 1, 2),
    (1, 10000, 1, 2),
    (100, 1000, 1, 2),
    (1536, 50, 1, 2),
    (512, 50, 3, 1),
    (4096, 64, 2, 2),
    (256, 64, 8, 2),
    (30, 50, 10, 2),
    (8192, 50, 1, 2),
    (131072, 50, 1, 2),
]
# Dense matrices of all systems together may take so many bytes.
MOST_DENSE_BYTES = 8 << 30


def system(batch, points, block, dtype):
    """Blocks of the diagonal, those below it, and right-hand sides, diagonally dominant."""
    options = {"device": "cuda", "dtype": dtype}
    below = torch.rand(points - 1, batch, block, block, **options) - 0.5
    diagonal = torch.rand(points, batch, block, block, **options) - 0.5
    diagonal = diagonal + diagonal.mT + 4 * block * torch.eye(block, **options)
    return diagonal, below, torch.rand(points, batch, block, 1, **options)


def by_blocks(diagonal, below, rhs):
    """Cholesky factors block by block, and both substitutions."""
    factors, couplings, halves = [], [], []
    for point in range(len(diagonal)):
        pivot, half = diagonal[point], rhs[point]
        if point:
            coupling = torch.linalg.solve_triangular(
                factors[-1].mT, below[point - 1], upper=True, left=False
            )
            pivot = pivot - coupling @ coupling.mT
            half = half - coupling @ halves[-1]
            couplings.append(coupling)
        factors.append(torch.linalg.cholesky_ex(pivot)[0])
        halves.append(torch.linalg.solve_triangular(factors[-1], half, upper=False))
    values = [None] * len(diagonal)
    for point in reversed(range(len(diagonal))):
        half = halves[point]
        if point + 1 < len(diagonal):
            half = half - couplings[point].mT @ values[point + 1]
        values[point] = torch.linalg.solve_triangular(factors[point].mT, half, upper=True)
    return torch.stack(values)


def dense(diagonal, below, rhs):
    """The same systems as dense matrices, for `by_dense`."""
    points, batch, block, _ = diagonal.shape
    matrix = diagonal.new_zeros(batch, points, block, points, block)
    for point in range(points):
        matrix[:, point, :, point] = diagonal[point]
        if point:
            matrix[:, point, :, point - 1] = below[point - 1]
            matrix[:, point - 1, :, point] = below[point - 1].mT
    return matrix.reshape(batch, points * block, -1), rhs.transpose(0, 1).reshape(batch, -1, 1)


def by_dense(matrix, rhs):
    return torch.cholesky_solve(rhs, torch.linalg.cholesky_ex(matrix)[0])


def milliseconds(work, least_runs=3, seconds=0.3):
    work()
    times, begin = [], time.monotonic()
    while len(times) < least_runs or time.monotonic() - begin < seconds:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=40, help="begin no row after so many")
    parser.add_argument("--json", help="write the rows to this file too")
    arguments = parser.parse_args()
    begin, rows, left = time.monotonic(), [], 0
    print("| B × N × K × order | by blocks, ms | dense, ms | largest difference |\n|---|---|---|---|")
    for dtype, name in ((torch.float64, "f64"), (torch.float32, "f32")):
        for batch, points, states, order in SHAPES:
            if time.monotonic() - begin > arguments.seconds:
                left += 1
                continue
            block = states * (order + 1)
            blocks = system(batch, points, block, dtype)
            row = {"problem": f"{batch} × {points} × {states} × {order} {name}"}
            row["by blocks, ms"] = milliseconds(lambda: by_blocks(*blocks))
            row["dense, ms"] = row["difference"] = None
            if batch * (points * block) ** 2 * blocks[0].element_size() <= MOST_DENSE_BYTES / 4:
                matrices = dense(*blocks)
                row["dense, ms"] = milliseconds(lambda: by_dense(*matrices))
                values = by_blocks(*blocks).transpose(0, 1).reshape(batch, -1, 1)
                row["difference"] = (values - by_dense(*matrices)).abs().max().item()
                del matrices
            rows.append(row)
            print("| " + " | ".join("" if v is None else str(v) for v in row.values()) + " |", flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"torch": torch.__version__, "rows": rows}, file, indent=1, ensure_ascii=False)
    print(f"PyTorch {torch.__version__}: {len(rows)} rows, {left} left out for lack of time")


if __name__ == "__main__":
    main()
