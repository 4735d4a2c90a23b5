"""The shapes of the four inputs with any number of leading axes, which are the batch."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

NAMES = ("coefficients", "rhs", "initial_values", "steps")

Shape = tuple[int, ...]

#: How many of the last axes belong to one system, and what they are.
_OWN = (
    (4, "(..., N or 1, E, K, Qc)"),
    (2, "(..., N or 1, E)"),
    (3, "(..., I, K, J)"),
    (1, "(..., N-1 or 1)"),
)
_OWN_STEPS = (2, "(..., N-1 or 1, K or 1)")


class Batch(NamedTuple):
    """The leading axes of a batch, and how each input has them."""

    axes: Shape
    """The leading axes of the solution."""
    own: tuple[Shape, Shape, Shape, Shape]
    """The leading axes of each input, which broadcast to ``axes``."""
    points: int
    """N."""
    padded: tuple[Shape, Shape, Shape, Shape]
    """The leading axes of each input, as many as ``axes``."""
    partly_shared: bool
    """Whether an input has some of the axes and shares others."""


def size(name: str, value: Any) -> int:
    """Returns a size as an integer of Python.

    Raises ``ValueError`` if it is negative and ``TypeError`` if it is no integer, with its name.
    """
    try:
        found = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {value!r}") from None
    if found < 0:
        raise ValueError(f"{name}: must not be negative, got {found}")
    return found


def batch_of(
    shapes: Sequence[Sequence[int]], points: int | None, steps_per_state: bool
) -> Batch:
    """Returns the leading axes of inputs of these shapes, and N, which is read off the first axis
    of time that is not shared if it is not given.

    Raises ``ValueError`` with the name of an input that has too few axes or leading axes that do
    not broadcast.
    """
    axes: Shape = ()
    own: list[Shape] = []
    for i in range(4):
        inner, form = _OWN_STEPS if i == 3 and steps_per_state else _OWN[i]
        shape = tuple(shapes[i])
        if len(shape) < inner:
            raise ValueError(f"{NAMES[i]}: expected shape {form}, got {shape}")
        leading = shape[: len(shape) - inner]
        own.append(leading)
        axes = _broadcast(NAMES[i], axes, leading)
    if points is None:
        points = _told_points(shapes, steps_per_state)
    one, two, three, four = [(1,) * (len(axes) - len(leading)) + leading for leading in own]
    partly = any(count(leading) not in (1, count(axes)) for leading in own)
    return Batch(
        axes, (own[0], own[1], own[2], own[3]), points, (one, two, three, four), partly
    )


@functools.lru_cache(maxsize=1024)
def known_batch_of(
    shapes: tuple[Shape, ...], points: int | None, steps_per_state: bool
) -> Batch:
    """Returns :func:`batch_of`, which takes longer than a small solve, from the last results."""
    return batch_of(shapes, points, steps_per_state)


def _broadcast(name: str, axes: Shape, leading: Shape) -> Shape:
    """Returns the axes that both broadcast to, as NumPy and PyTorch do."""
    width = max(len(axes), len(leading))
    one = (1,) * (width - len(axes)) + axes
    other = (1,) * (width - len(leading)) + leading
    result = []
    for a, b in zip(one, other):
        if a != b and a != 1 and b != 1:
            raise ValueError(
                f"{name}: the leading axes {leading} do not broadcast with {axes} of the others"
            )
        result.append(b if a == 1 else a)
    return tuple(result)


def _told_points(shapes: Sequence[Sequence[int]], steps_per_state: bool) -> int:
    steps = shapes[3][-2] if steps_per_state else shapes[3][-1]
    for told in (shapes[0][-4], shapes[1][-2]):
        if told != 1:
            return told
    if steps != 1:
        return steps + 1
    raise ValueError("points: all inputs are shared by the time points: say how many there are")


def count(axes: Shape) -> int:
    """Returns the number of systems of these leading axes."""
    product = 1
    for axis in axes:
        product *= axis
    return product
