"""Time series in the forms that users have them: arrays, lists of arrays, DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timezone
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: What times count from: this date, in seconds; or they are numbers; or, with ``None``, what the first
#: of them says.
Origin = np.datetime64 | Literal["numbers"] | None


class Series(NamedTuple):
    """Trajectories of the same states and inputs."""

    states: list[str]
    inputs: list[str]
    times: list[Array]
    values: list[Array]
    forcings: list[Array]
    origin: Origin
    timed: bool
    """Whether all points came with a time, and are not merely a number of intervals apart."""

    def addresses(self) -> list[tuple[int, int, int, int]]:
        """Returns the length of each trajectory, and where its arrays lie."""
        arrays = zip(self.times, self.values, self.forcings)
        return [
            (len(time), time.ctypes.data, values.ctypes.data, forcing.ctypes.data)
            for time, values, forcing in arrays
        ]

    def sizes(self) -> list[float]:
        """Returns the largest absolute value of each state."""
        every = np.abs(np.concatenate(self.values))
        return [float(np.nanmax(column)) for column in every.T]


def read(
    x: Any,
    t: Any,
    u: Any,
    names: Sequence[str] | None,
    input_names: Sequence[str] | None,
    origin: Origin = None,
) -> Series:
    """Returns the trajectories, checked against each other.

    Raises ``ValueError`` with the name of the argument that does not fit.
    """
    several = are_several(x)
    xs = list(x) if several else [x]
    if not xs:
        raise ValueError("x: there must be at least one trajectory")
    ts = _each(t, len(xs), "t", several)
    times: list[Array] = []
    values: list[Array] = []
    timed = True
    for series, time in zip(xs, ts):
        own, table = _table(series if names is None else ordered(series, names), time)
        if names is None:
            names = own or [f"x{k}" for k in range(table.shape[1])]
        if table.shape[1] != len(names):
            raise ValueError(f"x: expected {_columns(names)}, got {table.shape[1]}")
        values.append(table)
        own_times, origin, own_timed = _times(series, time, len(table), origin)
        times.append(own_times)
        timed = timed and own_timed
    us = _each(u, len(xs), "u", several) if u is not None else [None] * len(xs)
    forcings: list[Array] = []
    for series, table in zip(us, values):
        own, forcing = None, np.zeros((len(table), 0))
        if series is not None:
            own, forcing = _table(ordered(series, input_names or ()), None)
        if len(forcing) != len(table):
            raise ValueError(f"u: {len(forcing)} rows, but x has {len(table)}")
        if input_names is None:
            input_names = own or [f"u{k}" for k in range(forcing.shape[1])]
        if forcing.shape[1] != len(input_names):
            raise ValueError(f"u: expected {_columns(input_names)}, got {forcing.shape[1]}")
        forcings.append(forcing)
    named = list(names or ()), list(input_names or ())
    return Series(*named, times, values, forcings, origin, timed)


def are_several(x: Any) -> bool:
    """Returns whether these are several trajectories: a list, but not one of numbers."""
    return isinstance(x, (list, tuple)) and not (x and all(np.isscalar(row) for row in x))


def _columns(names: Sequence[str]) -> str:
    return f"{len(names)} columns ({', '.join(names)})" if names else "0 columns"


def ordered(series: Any, names: Sequence[str]) -> Any:
    """Returns a DataFrame with these columns in this order, before any others, if it has them all;
    and anything else as it is."""
    if not _is_frame(series) or not set(names) <= set(series.columns):
        return series
    return series[[*names, *(name for name in series.columns if name not in names)]]


def _each(argument: Any, count: int, name: str, several: bool) -> list[Any]:
    """Returns an argument for each trajectory: its own, or the same for all."""
    if several and isinstance(argument, (list, tuple)):
        if len(argument) != count:
            raise ValueError(f"{name}: {len(argument)} trajectories, but x has {count}")
        return list(argument)
    return [argument] * count


def _is_frame(series: Any) -> bool:
    return hasattr(series, "columns") and hasattr(series, "index")


def _table(series: Any, time: Any) -> tuple[list[str] | None, Array]:
    """Returns the names of the columns, if they have any, and the values, (N, K)."""
    own = None
    if _is_frame(series):
        if isinstance(time, str):
            if time not in series.columns:
                raise ValueError(f"t: there is no column {time!r}")
            series = series.drop(columns=time)
        own = [str(name) for name in series.columns]
    elif hasattr(series, "name") and series.name is not None:
        own = [str(series.name)]
    values = _dense(series)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2:
        raise ValueError(f"x: expected shape (N, K) or (N), got {values.shape}")
    return own, values


def _times(series: Any, time: Any, rows: int, origin: Origin) -> tuple[Array, Origin, bool]:
    """Returns the times of a trajectory (N), their origin, and whether the points came with them."""
    if isinstance(time, str):
        if not _is_frame(series):
            raise ValueError("t: the name of a column needs a DataFrame")
        time = series[time]
    elif time is None and hasattr(series, "index") and not callable(series.index):
        time = series.index
    interval = 1.0
    found: Origin = "numbers" if origin is None else origin
    if time is not None:
        times, found = read_times(time, origin)
        if times.ndim > 0:
            if times.shape != (rows,):
                raise ValueError(
                    f"t: expected shape ({rows},) as x has rows, got {times.shape}"
                )
            return times, found, True
        if isinstance(found, np.datetime64) and np.asarray(time).dtype.kind != "m":
            raise ValueError("t: expected a date for each point, or an interval, got one date")
        interval = float(times)
    return np.arange(rows, dtype=np.float64) * interval, found, False


def read_times(time: Any, origin: Origin) -> tuple[Array, Origin]:
    """Returns times as numbers, and their origin: dates are seconds since the origin, which is the
    first of them if there is none yet; durations are in seconds; numbers are taken as they are.

    Raises ``ValueError`` for dates where the origin says that times are numbers.
    """
    times = np.asarray(time)
    if times.dtype.kind == "O" and times.size and hasattr(times.flat[0], "isoformat"):
        # Dates of the standard library, or those of pandas in a time zone.
        utc = [_without_zone(day) for day in times.flat]
        times = np.array(utc, dtype="datetime64[us]").reshape(times.shape)
    if times.dtype.kind == "M":
        if origin == "numbers":
            raise ValueError("t: dates, but the times before were numbers")
        first: np.datetime64 = times.flat[0] if origin is None else origin
        return _dense((times - first) / np.timedelta64(1, "s")), first
    if times.dtype.kind == "m":
        times = times / np.timedelta64(1, "s")
    try:
        numbers = _dense(times)
    except (TypeError, ValueError):
        raise ValueError(f"t: expected numbers or dates, got {times.dtype}") from None
    return numbers, "numbers" if origin is None else origin


def _without_zone(day: date) -> date:
    """Returns a date in universal time, if it says which zone it is in."""
    if not isinstance(day, datetime) or day.tzinfo is None:
        return day
    return day.astimezone(timezone.utc).replace(tzinfo=None)


def _dense(values: Any) -> Array:
    """Returns float64 numbers in row-major order, at an address that is a multiple of their size."""
    return np.require(values, np.float64, ["C_CONTIGUOUS", "ALIGNED"])
