"""What the comparisons of this folder share: taking turns in one run, this library's programs, tables."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

# What this library takes for its turns: the programs that `cargo build --release` makes.
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", "target"), "release")
# The batches that are solved: B, N, K, order.
SHAPES = [
    (1, 1000, 1, 2),
    (1, 10000, 1, 2),
    (100, 1000, 1, 2),
    (1536, 50, 1, 2),
    (3000, 50, 1, 2),
    (512, 50, 3, 1),
    (4096, 64, 2, 2),
    (256, 64, 8, 2),
    (30, 50, 10, 2),
]


def threads() -> int:
    """Returns how many threads this library takes, which its peers are given too."""
    return int(os.environ.get("RAYON_NUM_THREADS", 0)) or len(os.sched_getaffinity(0))


def take_turns(
    contenders: dict[str, Callable[[], float]], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Calls the contenders one after the other, and again, for at most this many rounds, and no round
    that would end after this many seconds if it took as long as the one before. The first always runs.
    Returns what each call returned, in general its time."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    begin = time.perf_counter()
    longest = 0.0
    for _ in range(rounds):
        before = time.perf_counter()
        if before - begin + longest > seconds:
            break
        for name, turn in contenders.items():
            found[name].append(turn())
        longest = max(longest, time.perf_counter() - before)
    return found


def medians(found: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in found.items()}


def timed(turn: Callable[[], object]) -> Callable[[], float]:
    """Returns a turn that returns its seconds."""

    def seconds() -> float:
        begin = time.perf_counter()
        turn()
        return time.perf_counter() - begin

    return seconds


def repeated(turn: Callable[[], object], least: float = 0.05) -> Callable[[], float]:
    """Returns a turn that repeats what is soon done for this many seconds, and returns its mean. What the others have
    left in the caches, and threads that sleep, count once in it, as they would in a program that does it
    again and again."""

    def seconds() -> float:
        begin = time.perf_counter()
        for count in itertools.count(1):
            turn()
            elapsed = time.perf_counter() - begin
            if elapsed >= least:
                return elapsed / count
        raise AssertionError

    return seconds


class Training:
    """This library's side of a training (crates/peers), which takes a turn when it is asked to."""

    def __init__(self, task: str, folder: str) -> None:
        command = [PROGRAMS / "peers", task, folder]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.loss = float("nan")

    def __call__(self) -> float:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended: {self.process.wait()}")
        found = json.loads(line)
        self.loss = found["loss"]
        return found["seconds"]

    def close(self) -> None:
        self.process.communicate()


def row(cells: Iterable[object]) -> None:
    print("|", " | ".join(map(str, cells)), "|", flush=True)


def head(*cells: str) -> None:
    row(cells)
    print("|" + "---|" * len(cells), flush=True)
