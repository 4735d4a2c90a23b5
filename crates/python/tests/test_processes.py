"""Forked processes and several threads."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from problems import inputs
from torch.utils.data import DataLoader, Dataset

import mechanistic
from mechanistic.torch import solve_ode

#: Enough systems that a solve is spread over threads.
LARGE = {"batch": 200, "points": 50}


class Solutions(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        return solve_ode(*inputs(**LARGE, seed=i, requires_grad=False))[:, -1]


def test_workers_of_a_data_loader_solve_after_the_parent_has():
    here = torch.stack([Solutions()[i] for i in range(8)])
    loader = DataLoader(
        Solutions(), batch_size=2, num_workers=2, timeout=60, multiprocessing_context="fork"
    )
    assert torch.equal(torch.cat(list(loader)), here)


@pytest.mark.parametrize("size", [{}, LARGE])
def test_a_forked_child_computes_gradients(size):
    x = inputs(**size)
    expected = torch.autograd.grad(solve_ode(*x).sum(), x)
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        # The threads of PyTorch itself do not survive a fork.
        torch.set_num_threads(1)
        found = torch.autograd.grad(solve_ode(*x).sum(), x)
        os._exit(0 if all(torch.equal(a, b) for a, b in zip(found, expected)) else 1)
    assert os.waitpid(child, 0)[1] == 0
    for a, b in zip(torch.autograd.grad(solve_ode(*x).sum(), x), expected):
        assert torch.equal(a, b)


def test_threads_of_python_solve_at_once():
    problems = [inputs(**LARGE, seed=seed) for seed in range(4)]

    def gradients(x):
        return torch.autograd.grad(solve_ode(*x).sin().sum(), x)

    expected = [gradients(x) for x in problems]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for found, of_problem in zip(pool.map(gradients, problems), expected):
                assert all(torch.equal(a, b) for a, b in zip(found, of_problem))


def run(code: str, **variables: str) -> str:
    """Returns what another process prints that runs this code."""
    environment = {**os.environ, **variables}
    folder = os.path.dirname(__file__)
    command = [sys.executable, "-c", code]
    return subprocess.check_output(command, cwd=folder, env=environment, text=True, timeout=120)


#: Prints how many threads a large solve and its gradients have started beside those of PyTorch, and the
#: bits of the gradients.
STARTED = """
import os, threading, torch, mechanistic
from problems import bits, inputs
from mechanistic.torch import solve_ode
def threads(): return len(os.listdir("/proc/self/task"))
torch.set_num_threads({of_torch})
mechanistic.set_num_threads(3)
x = inputs(batch=80, points=30)
w = torch.ones(80, 30, 2, 4, dtype=torch.float64)
torch.ones(1_000_000).add_(1)
def work():
    before = threads()
    gradients = torch.autograd.grad(solve_ode(*x), x, w)
    print(threads() - before, bits(gradients))
{call}
"""
HERE = "work()"
#: There, PyTorch has not computed yet.
ELSEWHERE = "thread = threading.Thread(target=work); thread.start(); thread.join()"

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="other systems, other OpenMP")


@linux_only
@pytest.mark.parametrize(
    ("call", "of_torch", "started"),
    [(HERE, 3, 0), (HERE, 2, 0), (HERE, 1, 3), (ELSEWHERE, 3, 2), (ELSEWHERE, 1, 3)],
)
def test_large_solves_run_on_the_threads_of_pytorch(call, of_torch, started):
    code = STARTED.format(call=call, of_torch=of_torch)
    assert run(code, OMP_NUM_THREADS="2").startswith(f"{started} ")


@linux_only
def test_openmp_may_grant_fewer_threads_than_asked():
    code = STARTED.format(call=HERE, of_torch=3)
    usual = run(code)
    assert usual.startswith("0 ")
    for granted in ("1", "2"):
        assert run(code, OMP_THREAD_LIMIT=granted) == usual


#: Solves in a child where PyTorch's threads are its parent's, and in the parent, before or after. Prints
#: the bits of the gradients in both, and the exit status of the child. The arrays are too small for
#: PyTorch itself to need the threads.
FORKED = """
import multiprocessing, signal, torch
from problems import bits, inputs
torch.set_num_threads(2)
x = inputs(batch=80, points=30)
w = torch.ones(80, 30, 2, 4, dtype=torch.float64)
torch.ones(1_000_000).add_(1)
def solve():
    from mechanistic.torch import solve_ode
    print(bits(torch.autograd.grad(solve_ode(*x), x, w)), flush=True)
def work():
    signal.alarm(60)  # The time limit.
    torch.set_num_threads(2)
    solve()
child = multiprocessing.get_context("fork").Process(target=work)
{before}
child.start()
child.join()
{after}
print(child.exitcode)
"""


@linux_only
@pytest.mark.parametrize(("before", "after"), [("solve()", ""), ("", "solve()")])
def test_a_forked_child_does_not_wait_for_threads_of_its_parent(before, after):
    found, expected, status = run(FORKED.format(before=before, after=after)).split()
    assert found == expected and status == "0"


def test_python_goes_on_during_a_solve():
    x = inputs(batch=4000, points=100, requires_grad=False)
    solve_ode(*x)
    ticks, stop = [], threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    begin = time.perf_counter()
    solve_ode(*x)
    end = time.perf_counter()
    stop.set()
    thread.join()
    assert sum(begin < tick < end for tick in ticks) >= 3


def test_the_number_of_threads_is_set_and_does_not_change_results():
    x = inputs(**LARGE, requires_grad=False)
    usual, before, of_torch = solve_ode(*x), mechanistic.num_threads(), torch.get_num_threads()
    try:
        for threads, team in itertools.product((1, 2, 3), (1, 2, 4)):
            mechanistic.set_num_threads(threads)
            torch.set_num_threads(team)
            assert mechanistic.num_threads() == threads
            assert torch.equal(solve_ode(*x), usual)
    finally:
        mechanistic.set_num_threads(0)
        torch.set_num_threads(of_torch)
    assert mechanistic.num_threads() == before
    with pytest.raises(ValueError, match="threads: at most 4096"):
        mechanistic.set_num_threads(10**6)
