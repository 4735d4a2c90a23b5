"""How several cotangents of the same systems fill the lanes of the CPU."""

from __future__ import annotations

#: So many systems are computed at a time, and a sweep over fewer takes as long.
_LANES = 8

#: Up to so many systems with more than so many points are cut into eight chunks of the time axis each, which
#: are computed at a time.
_MOST_CUT, _LEAST_CUT = 3, 64


def copies(count: int, systems: int, points: int, block: int, factored: bool) -> int:
    """Returns in how many copies of the systems their ``count`` cotangents are best computed, so that
    each sweep takes one for every copy: 1 if that saves no time.

    The unit of time is a sweep over one system, cut if it is long: a sweep over more than can be cut takes
    N / 64 of them, between 1 and 8. To factor takes as long as 1 + P / 8 sweeps. (So it was measured for N
    up to 500 and P up to 32.)

    Args:
        points: N.
        block: P, the unknowns of a point.
        factored: whether the systems are factored already, unlike their copies.
    """
    most = max(1, min(count, _LANES // systems))
    rounds = -(-count // most)
    of_copies = min(max(points / _LEAST_CUT, 1), _LANES)
    of_systems = min(systems, of_copies) if systems <= _MOST_CUT else of_copies
    factor = 1 + block / 8
    alone = (count + (0 if factored else factor)) * of_systems
    return most if (rounds + factor) * of_copies < alone else 1
