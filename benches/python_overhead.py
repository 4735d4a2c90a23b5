"""What a call from Python costs beside the arithmetic: forward and backward of one small system.

    target/python/bin/python benches/python_overhead.py     # after cargo xtask python

B = 1, N = 10, K = 1, second order, Taylor rows, float64, gradients of all inputs. Times are the median and
the smallest of many runs, in microseconds. In JAX the loss is not linear, so that the values are needed too,
and the gradient factors once more.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

import mechanistic.numpy
from mechanistic import _native, _options
from mechanistic.torch import solve_ode


def measure(name: str, work: Callable[[], object], runs: int = 3000) -> None:
    for _ in range(200):
        work()
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    print(f"{name:45} {1e6 * statistics.median(times):6.1f} {1e6 * min(times):6.1f}")


def main() -> None:
    torch.manual_seed(0)
    points = 10
    tensors = [
        torch.rand(1, points, 1, 1, 3, dtype=torch.float64) + 0.5,
        torch.rand(1, points, 1, dtype=torch.float64),
        torch.rand(1, 1, 1, 2, dtype=torch.float64),
        torch.full((1, points - 1), 0.05, dtype=torch.float64),
    ]
    arrays = [x.numpy() for x in tensors]
    inputs = [x.requires_grad_() for x in tensors]
    options = {"smoothness": "taylor_hold"}
    weight = torch.ones(1, points, 1, 3, dtype=torch.float64)

    native, _ = _options.parse(_options.key(**options))
    sizes = (1, points, 0, *(tuple(x.shape) for x in tensors[:3]), (1, points - 1, 1))
    values, epsilon, status = np.empty(weight.shape), np.empty(1), np.empty(1, np.int32)
    results = tuple(x.ctypes.data for x in (values, epsilon, status))
    gradients = [np.empty(x.shape) for x in arrays]
    addresses = tuple(x.ctypes.data for x in arrays)
    targets, cotangent = tuple(x.ctypes.data for x in gradients), weight.data_ptr()

    def solve_natively() -> None:
        factor, _ = _native.solve(True, sizes, native, addresses, results)
        factor.vjp(addresses, (cotangent, 0), targets)

    def solve_in_numpy() -> None:
        mechanistic.numpy.solve(*arrays, **options).vjp(weight.numpy())

    def loss(*x: torch.Tensor) -> torch.Tensor:
        return (solve_ode(*x, **options) * weight).sum()

    compiled = torch.compile(loss, fullgraph=True)
    print(f"{'forward and backward':45} median    min (µs)")
    measure("the native solver", solve_natively)
    measure("mechanistic.numpy", solve_in_numpy)
    measure("solve_ode, autograd", lambda: torch.autograd.grad(loss(*inputs), inputs))
    measure(
        "torch.compile(fullgraph=True)", lambda: torch.autograd.grad(compiled(*inputs), inputs)
    )
    # A program that has PyTorch alone does not load it.
    import jax

    from mechanistic.jax import solve

    jax.config.update("jax_enable_x64", True)
    of_jax = [jax.numpy.asarray(x) for x in arrays]

    def square(*x: jax.Array) -> jax.Array:
        return (solve(*x, **options) ** 2).sum()

    in_jax = jax.jit(jax.value_and_grad(square, argnums=(0, 1, 2, 3)))
    measure("mechanistic.jax, jit", lambda: jax.block_until_ready(in_jax(*of_jax)))


if __name__ == "__main__":
    main()
