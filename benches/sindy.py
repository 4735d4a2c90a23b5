"""SINDy as a peer of `mnn discover` in discovery.py: what pysindy finds where somebody tunes it.

Derivatives by finite differences, of the data or of data smoothed over 15 points; polynomials of degree
1 to 5, alone or with sine, cosine and exponential of each state; sequentially thresholded least squares.
Of all these (the grid that ODEFormer's authors publish, d'Ascoli et al. 2024, but for the numbers of
iterations and the weight of the ridge, which decide little), the equations are taken that, integrated
from the first row of the table, explain most of it.
"""

import itertools
import time
import warnings

import numpy as np
import pysindy as ps

DEGREES = [1, 2, 3, 4, 5]
FUNCTIONS = [False, True]
THRESHOLDS = [0.05, 0.1, 0.15]
ORDERS = [2, 4]
WINDOWS = [None, 15]


def differentiation(order, window):
    if window is None:
        return ps.FiniteDifference(order=order)
    smoother = dict(window_length=window, polyorder=3)
    return ps.SmoothedFiniteDifference(order=order, smoother_kws=smoother)


def library(degree, functions):
    polynomials = ps.PolynomialLibrary(degree=degree)
    if not functions:
        return polynomials
    # The library counts the arguments of functions, which those of NumPy do not tell.
    called = [lambda x: np.sin(x), lambda x: np.cos(x), lambda x: np.exp(x)]
    names = [lambda x: f"sin({x})", lambda x: f"cos({x})", lambda x: f"exp({x})"]
    return polynomials + ps.CustomLibrary(called, names)


def expression(coefficients, features):
    terms = zip(coefficients, features)
    written = [f"({float(c)!r})*" + f.replace(" ", "*").replace("^", "**") for c, f in terms if c]
    return " + ".join(written) or "0"


def discover(times, values, names, predict, explained):
    """Returns the seconds of processor time and the best equations as discovery.py knows them.

    `predict(right_hand_sides, start)` integrates equations over the times, `explained(data,
    prediction)` is the fraction of the variance that they explain.
    """
    began = time.process_time()
    best = (-np.inf, None, "")
    seen = {}
    for degree, functions, threshold, order, window in itertools.product(
        DEGREES, FUNCTIONS, THRESHOLDS, ORDERS, WINDOWS
    ):
        model = ps.SINDy(
            optimizer=ps.STLSQ(threshold=threshold),
            feature_library=library(degree, functions),
            differentiation_method=differentiation(order, window),
        )
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                model.fit(values, t=times, feature_names=names)
        except (ValueError, np.linalg.LinAlgError):
            continue
        features = model.get_feature_names()
        found = tuple(expression(row, features) for row in model.coefficients())
        if found not in seen:
            seen[found] = explained(values, predict(found, values[0]))
        if seen[found] > best[0]:
            best = (seen[found], found, f"degree {degree}" + ", functions" * functions)
    seconds = time.process_time() - began
    if best[1] is None:
        return seconds, None, "nothing found"
    equations = [dict(rhs=rhs) for rhs in best[1]]
    tried = [dict(model=best[2], chosen=True)]
    return seconds, dict(states=names, symbols=names, equations=equations, tried=tried), ""
