"""The options of a solve. They travel through operators of PyTorch and JAX as a string, the key."""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

from . import _native, _shapes

CHECKS = ("raise", "warn", "ignore")


class Options(NamedTuple):
    """The options of a solve, and what happens where a system cannot be solved."""

    smoothness: str
    weights: tuple[float, float, float, float]
    slack: tuple[float, float] | None
    periodic: bool
    scaling: str
    factorization: str
    refinement_steps: int | None
    roughness: float
    follow_growth: bool
    check: str


def key(
    smoothness: str = "hermite",
    weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    slack: Sequence[float] | None = None,
    periodic: bool = False,
    scaling: str = "auto",
    factorization: str = "auto",
    refinement_steps: int | None = None,
    roughness: float = 0.001,
    follow_growth: bool = False,
    check: str = "raise",
) -> str:
    """Returns the key of these options."""
    smoothness, scaling, factorization = str(smoothness), str(scaling), str(factorization)
    if check not in CHECKS:
        raise ValueError(f"check: expected one of {', '.join(CHECKS)}, got {check!r}")
    if len(weights) not in (3, 4):
        raise ValueError(
            "weights: expected three or four (equation, initial, smoothness, periodic), "
            f"got {len(weights)}"
        )
    if slack is not None and len(slack) != 2:
        raise ValueError(f"slack: expected (gamma, alpha), got {len(slack)} numbers")
    four = (*weights, 1.0)[:4]
    given = () if slack is None else slack
    for name, numbers in (("weights", four), ("slack", given), ("roughness", (roughness,))):
        for number in numbers:
            if getattr(number, "requires_grad", False):
                raise TypeError(
                    f"{name}: options have no gradients: give numbers, or tensors that are detached"
                )
            if not math.isfinite(number):
                raise ValueError(f"{name}: must be finite, got {number}")
    return repr(
        (
            smoothness,
            tuple([float(weight) for weight in four]),
            None if slack is None else (float(slack[0]), float(slack[1])),
            bool(periodic),
            scaling,
            factorization,
            None if refinement_steps is None else _shapes.size("refinement_steps", refinement_steps),
            float(roughness),
            bool(follow_growth),
            str(check),
        )
    )


@functools.lru_cache(maxsize=1024)
def parse(key: str) -> tuple[_native.SolveOptions, Options]:
    """Returns the options of a key, and what the native solver takes of them."""
    options = Options(*ast.literal_eval(key))
    native = options._asdict()
    del native["check"]
    return _native.SolveOptions(**native), options


def default_extra_derivatives(smoothness: str) -> int:
    """Returns how many derivatives beyond the equation's a solution carries by default: Hermite
    rows are of fourth order with one, and the rows of the published method have none."""
    return 1 if smoothness == "hermite" else 0
