"""Time series in the forms that users have them: arrays, lists of arrays, DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Series(NamedTuple):
    """Trajectories of the same states and inputs."""

    states: list[str]
    inputs: list[str]
    times: list[Array]
    values: list[Array]
    forcings: list[Array]

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
) -> Series:
    """Returns the trajectories, checked against each other.

    Raises ``ValueError`` with the name of the argument that does not fit.
    """
    several = isinstance(x, (list, tuple)) and not all(np.isscalar(row) for row in x)
    xs = list(x) if several else [x]
    if not xs:
        raise ValueError("x: there must be at least one trajectory")
    ts = _each(t, len(xs), "t", several)
    times, values = [], []
    for series, time in zip(xs, ts):
        own, table = _table(series if names is None else ordered(series, names), time)
        if names is None:
            names = own or [f"x{k}" for k in range(table.shape[1])]
        if table.shape[1] != len(names):
            raise ValueError(f"x: {table.shape[1]} states, but {len(names)} names")
        values.append(table)
        times.append(_times(series, time, len(table)))
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
            raise ValueError(f"u: {forcing.shape[1]} inputs, but {len(input_names)} names")
        forcings.append(forcing)
    return Series(list(names or ()), list(input_names or ()), times, values, forcings)


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
    values = np.ascontiguousarray(series, dtype=np.float64)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2:
        raise ValueError(f"x: expected shape (N, K) or (N), got {values.shape}")
    return own, values


def _times(series: Any, time: Any, rows: int) -> Array:
    if isinstance(time, str):
        if not _is_frame(series):
            raise ValueError("t: the name of a column needs a DataFrame")
        time = series[time]
    elif time is None and hasattr(series, "index") and not callable(series.index):
        time = series.index
    if time is None:
        return np.arange(rows, dtype=np.float64)
    times = np.asarray(time)
    if times.dtype.kind in "Mm":
        first = times.ravel()[0]
        return np.ascontiguousarray((times - first) / np.timedelta64(1, "s"), dtype=np.float64)
    if times.ndim == 0:
        return np.arange(rows, dtype=np.float64) * np.float64(times)
    times = np.ascontiguousarray(times, dtype=np.float64)
    if times.shape != (rows,):
        raise ValueError(f"t: expected shape ({rows},) as x has rows, got {times.shape}")
    return times
