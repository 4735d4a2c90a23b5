"""How the solve of each system ended, and what happens where one failed."""

from __future__ import annotations

import enum
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._native import Factor


class Status(enum.IntEnum):
    """The outcome of one system of a batch, as the numbers in a solution's ``status`` tell it."""

    OK = 0
    """The system was solved."""
    NON_FINITE_INPUT = 1
    """An input of the system is NaN or infinite."""
    INVALID_STEP = 2
    """A step is zero or negative."""
    BREAKDOWN = 3
    """The rows do not determine the solution, in this precision."""
    OVERFLOW = 4
    """The inputs are finite, the solution is not."""


class SolveError(RuntimeError):
    """Some systems of a batch could not be solved."""


class SolveWarning(UserWarning):
    """Some systems of a batch could not be solved, and the caller asked for a warning."""


def report(factor: Factor, check: str) -> None:
    """Raises :class:`SolveError` or warns of the systems of a solve that failed, as ``check`` says."""
    if check == "raise":
        raise SolveError(factor.failures())
    if check == "warn":
        warnings.warn(factor.failures(), SolveWarning, stacklevel=3)
