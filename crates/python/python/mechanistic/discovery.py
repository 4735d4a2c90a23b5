"""Time series in, governing equations out: an estimator as scikit-learn and pysindy have them.

>>> import numpy as np
>>> from mechanistic import Discover
>>> t = np.linspace(0, 10, 200)
>>> x = np.stack([np.cos(t), -np.sin(t)], axis=1)
>>> model = Discover(degree=2).fit(x, t)
>>> np.round(model.coefficients(), 3) + 0.0  # of 1, x0, x1, x0^2, x0 x1, x1^2
array([[ 0.,  0.,  1.,  0.,  0.,  0.],
       [ 0., -1.,  0.,  0.,  0.,  0.]])
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native, _series, _shapes

if TYPE_CHECKING:
    import sympy
    from matplotlib.figure import Figure

__all__ = ["Discover", "Fit"]

Array = NDArray[np.float64]


class Fit(NamedTuple):
    """A trajectory of the data as the equations reproduce it, at M times."""

    time: Array
    """The times, (M)."""
    smoothed: Array
    """The estimated trajectory without noise, (M, K)."""
    simulated: Array
    """The equations integrated from its first point, (M, K); NaN after a blow-up."""
    restarts: Array
    """The indices of the points before which no line is drawn: those after a gap that splits the
    trajectory, and where the pieces begin that are taken of long data."""

    def parts(self) -> list[slice]:
        """Returns the points that lines join."""
        edges = [0, *self.restarts.tolist(), len(self.time)]
        return [slice(*pair) for pair in zip(edges, edges[1:])]


class NotFittedError(ValueError, AttributeError):
    """``fit`` has not been called yet."""


class Discover:
    """Finds the equations u' = Θ(u) ξ behind time series, with the standard errors of ξ.

    Trajectory and coefficients are estimated together, and terms are selected by their standard
    errors, so that noisy data need no derivatives and no tuning.

    Args:
        degree: the highest total degree of the monomials. By default the data choose among many
            models, from lines to functions and ratios, as ``mnn discover`` has it; but it is 2, and
            for ratios 3, where something else says which model is meant: ``hidden``, ``sine_cosine``, ``explicit_time``, ``terms``,
            ``link``, ``known``, ``positive``, ``negative``, inputs, or the network.
        order: 1 for u' = …, 2 for u'' = … (whose terms may have u').
        hidden: so many states without data are added to the equations. They are derivatives of the
            states in their order: x0' = hidden1, x1' = hidden2, …; after those of all states, that
            of hidden1. ``warnings_`` names those that cannot be identified.
        sine_cosine: whether sin and cos of each state are candidates.
        explicit_time: whether the time ``t`` occurs in the monomials like a state.
        terms: further candidates as expressions, such as ``"exp(-x)"`` or ``"x/(1 + y^2)"``.
        link: the function around the combination of terms: ``"identity"``, ``"tanh"``, ``"sin"``,
            ``"sigmoid"`` or ``"ratio"``.
        threshold: a term stays where the fit without it is at least as much worse as for a coefficient so many
            standard errors away from zero.
        robust: whether values far from their neighbors are left out, and other outliers count less.
        max_points: the most rows that the search takes; of longer data it takes averages and pieces,
            and a warning says so.
        known: coefficients held fixed: ``{("x", ("x", "y")): 0.5}`` for the term 0.5 x y of x'.
        positive, negative: terms whose coefficients must not be negative, or positive:
            ``[("x", ("x",))]``.
        grid_refinement: grid steps per sampling interval; ``None`` chooses them.
        interpolation: the course of inputs between their values: ``"linear"``, ``"hold"``, or
            ``None`` to choose.
        method: ``"joint"``, or ``"network"``, the paper's.
        seed: of all random numbers.
        progress: a function that is called with the fraction done and the stage.

    Attributes:
        feature_names_in_: the names of the K states with data.
        hidden_names_: the names of the hidden states, which follow those with data wherever there is
            a number for each state, but for ``noise_`` and ``explained_``.
        input_names_in_: the names of the inputs.
        n_features_in_: K.
        order_: the order of the equations.
        equations_: the equations as text, with standard errors in brackets.
        coefficients_: the coefficients, (K, L), in the order of :meth:`get_feature_names`.
        standard_errors_: their standard errors; NaN for terms that are not in the equations.
        warnings_: what the reader must know: undecidable terms, a poor fit, blow-ups.
        noise_: the standard deviation of the noise of each state, (K).
        explained_: the fraction of each state's variance that the simulated equations explain.
        fits_: a :class:`Fit` for each trajectory.
    """

    feature_names_in_: list[str]
    hidden_names_: list[str]
    input_names_in_: list[str]
    n_features_in_: int
    order_: int
    equations_: list[str]
    coefficients_: Array
    standard_errors_: Array
    warnings_: list[str]
    noise_: Array
    explained_: Array
    fits_: list[Fit]

    def __init__(
        self,
        *,
        degree: int | None = None,
        order: int = 1,
        hidden: int = 0,
        sine_cosine: bool = False,
        explicit_time: bool = False,
        terms: Sequence[str] = (),
        link: str = "identity",
        threshold: float = 5.0,
        robust: bool = False,
        max_points: int = 20_000,
        known: dict[tuple[str, tuple[str, ...]], float] | None = None,
        positive: Sequence[tuple[str, tuple[str, ...]]] = (),
        negative: Sequence[tuple[str, tuple[str, ...]]] = (),
        grid_refinement: int | None = None,
        interpolation: str | None = None,
        method: str = "joint",
        seed: int = 0,
        progress: Callable[[float, str], object] | None = None,
    ) -> None:
        self.degree = degree
        self.order = order
        self.hidden = hidden
        self.sine_cosine = sine_cosine
        self.explicit_time = explicit_time
        self.terms = terms
        self.link = link
        self.threshold = threshold
        self.robust = robust
        self.max_points = max_points
        self.known = known
        self.positive = positive
        self.negative = negative
        self.grid_refinement = grid_refinement
        self.interpolation = interpolation
        self.method = method
        self.seed = seed
        self.progress = progress

    # --- as scikit-learn wants it ---------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns the parameters by name."""
        return {name: getattr(self, name) for name in _PARAMETERS}

    def set_params(self, **parameters: Any) -> Discover:
        """Sets parameters by name, and returns the estimator."""
        for name, value in parameters.items():
            if name not in _PARAMETERS:
                raise ValueError(f"{name}: no parameter of Discover; there are {_PARAMETERS}")
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, RegressorTags, Tags, TargetTags

        return Tags(
            estimator_type="regressor",
            target_tags=TargetTags(required=True),
            regressor_tags=RegressorTags(),
            input_tags=InputTags(allow_nan=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_json")

    def __repr__(self) -> str:
        defaults = type(self)().get_params()
        changed = [f"{k}={v!r}" for k, v in self.get_params().items() if v != defaults[k]]
        return f"Discover({', '.join(changed)})"

    # --- the search -----------------------------------------------------------------------------

    def fit(
        self,
        x: Any,
        t: Any = None,
        *,
        u: Any = None,
        feature_names: Sequence[str] | None = None,
        input_names: Sequence[str] | None = None,
    ) -> Discover:
        """Finds the equations, and returns the estimator.

        Args:
            x: the states at N times, (N, K) or (N) for one state; or a list of such arrays, which
                are several trajectories of the same system. NaN is a missing value. A pandas
                DataFrame has the names of the states.
            t: the times (N), or the interval between them; a list of arrays for several
                trajectories; for DataFrames, the name of the column with the times, or nothing if
                they are the index. Without all of these, points are 1 apart. Dates count in
                seconds since the first of them, here and in all that the equations predict.
            u: inputs, which act on the states and have no equations, as ``x``.
            feature_names: names of the states; by default those of the DataFrame, or x0, x1, ….
            input_names: names of the inputs; by default those of the DataFrame, or u0, u1, ….

        Ctrl-C breaks the search off.
        """
        data = _series.read(x, t, u, feature_names, input_names)
        found, candidates, fits = _native.discover(
            data.states, data.inputs, data.addresses(), self._settings(data), self.progress
        )
        content = json.loads(found)
        self._json = found
        self._candidates = [tuple(factors) for factors in candidates]
        self.feature_names_in_, self.input_names_in_ = data.states, data.inputs
        self.hidden_names_ = content.get("hidden", [])
        self.n_features_in_ = len(data.states)
        self.order_ = int(content["order"])
        self.equations_ = _native.text(found).splitlines()
        self.coefficients_ = self._table(content["equations"], "coefficient", 0.0)
        self.standard_errors_ = self._table(content["equations"], "standard_error", np.nan)
        self.warnings_ = content["warnings"]
        self.noise_ = np.array(content["noise"], dtype=float)
        self.explained_ = np.array(content["fit"], dtype=float)
        shape = (-1, len(self._states()))
        self.fits_ = [
            Fit(
                np.array(time),
                np.reshape(smoothed, shape),
                np.reshape(simulated, shape),
                np.array(restarts, dtype=int),
            )
            for time, smoothed, simulated, restarts in fits
        ]
        hidden = [fit.smoothed[:, self.n_features_in_ :] for fit in self.fits_]
        largest = np.max(np.abs(np.concatenate(hidden)), axis=0, initial=0.0)
        self._sizes, self._origin = [*data.sizes(), *largest.tolist()], data.origin
        self._depends_on_time = self._find_time(content["equations"])
        return self

    def _find_time(self, equations: list[dict[str, Any]]) -> bool:
        variables = {*self.feature_names_in_, *self.input_names_in_}
        terms = (
            term
            for equation in equations
            for term in (*equation["terms"], *equation.get("denominator", ()))
        )
        factors = {factor for term in terms for factor in term["factors"]} - variables
        return "t" not in variables and any(re.search(r"\bt\b", factor) for factor in factors)

    def _is_automatic(self, data: _series.Series) -> bool:
        """Returns whether the data choose the model. An input is known between its values only as it
        is interpolated, and rich models fit the errors of that."""
        given = (
            self.degree is not None
            or self.hidden != 0
            or self.sine_cosine
            or self.explicit_time
            or len(self.terms) > 0
            or self.link != "identity"
            or bool(self.known)
            or len(self.positive) > 0
            or len(self.negative) > 0
            or len(data.inputs) > 0
        )
        return self.method == "joint" and not given

    def _settings(self, data: _series.Series) -> dict[str, Any]:
        settings = self.get_params()
        del settings["progress"]
        settings["automatic"] = self._is_automatic(data)
        if self.degree is None:
            del settings["degree"]
            if self.link == "ratio":
                settings["degree"] = 3
        named = [((state, list(factors)), float(value)) for (state, factors), value in
                 (self.known or {}).items()]
        settings["known"] = named
        for sign in ("positive", "negative"):
            settings[sign] = [(state, list(factors)) for state, factors in settings[sign]]
        settings["terms"] = list(self.terms)
        for name in ("degree", "order", "hidden", "max_points", "grid_refinement", "seed"):
            if settings.get(name) is not None:
                settings[name] = _shapes.size(name, settings[name])
        settings["threshold"] = float(self.threshold)
        return settings

    def _table(self, equations: list[dict[str, Any]], of: str, missing: float) -> Array:
        places = {tuple(sorted(factors)): i for i, factors in enumerate(self._candidates)}
        table = np.full((len(equations), len(places)), missing)
        for row, equation in zip(table, equations):
            for term in equation["terms"]:
                value = term[of]
                row[places[tuple(sorted(term["factors"]))]] = np.nan if value is None else value
        return table

    def _found(self) -> str:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError("Discover: call `fit` first")
        return self._json

    # --- what was found -------------------------------------------------------------------------

    def equations(self, precision: int | None = None) -> list[str]:
        """Returns the right-hand sides as text: with the standard errors in brackets, or with
        ``precision`` decimals, as pysindy writes them."""
        self._found()
        if precision is None:
            return [equation.split(" = ", 1)[1] for equation in self.equations_]
        names = {tuple(sorted(factors)): _product(factors) for factors in self._candidates}

        def total(terms: Sequence[dict[str, Any]]) -> str:
            return " + ".join(
                f"{term['coefficient']:.{precision}f} {names[tuple(sorted(term['factors']))]}"
                for term in terms
                if term["coefficient"] != 0.0
            )

        sides = []
        for equation in json.loads(self._json)["equations"]:
            side = total(equation["terms"]) or f"{0.0:.{precision}f}"
            below = total(equation.get("denominator", ()))
            link = equation.get("link", "identity")
            if below:
                side = f"({side}) / (1 + {below})"
            elif link not in ("identity", "ratio"):
                side = f"{link}({side})"
            sides.append(side)
        return sides

    def coefficients(self) -> Array:
        """Returns the coefficients, (K, L): those of the numerator if ``link`` is ``"ratio"``."""
        self._found()
        return self.coefficients_

    def standard_errors(self) -> Array:
        """Returns the standard errors of the coefficients, (K, L); NaN for terms that are not in
        the equations, or were held fixed."""
        self._found()
        return self.standard_errors_

    def warnings(self) -> list[str]:
        """Returns what the reader of the equations must know, in words."""
        self._found()
        return self.warnings_

    def get_feature_names(self) -> list[str]:
        """Returns the names of the L candidate terms, such as ``1``, ``x``, ``x^2`` and ``x y``; where
        the data have chosen the model, those of the terms in the equations."""
        self._found()
        return [_product(factors) for factors in self._candidates]

    def print(self) -> None:
        """Prints the equations, one in a line, with the standard errors in brackets."""
        print(_native.text(self._found()), end="")

    def to_latex(self) -> str:
        """Returns the equations as an ``align*`` environment of LaTeX."""
        return _native.latex(self._found())

    def _repr_latex_(self) -> str | None:
        if not self.__sklearn_is_fitted__():
            return None
        # `align*` begins a display of its own, which must not stand within another.
        return f"$${self.to_latex().replace('align*', 'aligned').strip()}$$"

    def to_json(self) -> str:
        """Returns the equations as the JSON of ``mnn discover --format json``."""
        return self._found()

    def to_sympy(self) -> dict[sympy.Symbol, sympy.Expr]:
        """Returns the right-hand sides as expressions of SymPy, by the symbols of their states."""
        import sympy

        content = json.loads(self._found())
        symbols = {name: sympy.Symbol(name) for name in content["symbols"]}
        states = list(symbols.values())[: len(self._states())]
        return {
            state: sympy.sympify(equation["rhs"].replace("^", "**"), locals=symbols)
            for state, equation in zip(states, content["equations"])
        }

    # --- what the equations predict -------------------------------------------------------------

    def predict(self, x: Any, u: Any = None, t: Any = None) -> Array | list[Array]:
        """Returns the right-hand sides at states x, of the shape of x: u', or u'' for order 2.

        For order 2 the columns of x are the states and then their velocities, and the result has
        the accelerations; hidden states follow those with data. The arguments are those of :meth:`fit`: ``u`` are the inputs at the same
        points, ``t`` the times, which equations that depend on the time need.
        """
        found = self._found()
        data = _series.read(x, t, u, self._variables(), self.input_names_in_, self._origin)
        if self._depends_on_time and not data.timed:
            raise ValueError("t: the equations depend on the time: give that of each point")
        slopes = []
        for time, values, forcing in zip(data.times, data.values, data.forcings):
            table = np.ascontiguousarray(np.concatenate([values, forcing, time[:, None]], axis=1))
            flat = _native.derivative(found, table.ctypes.data, table.size)
            own = np.reshape(flat, values.shape)[:, -len(self._states()) :]
            slopes.append(own)
        if _series.are_several(x):
            return [own[:, 0] if np.ndim(one) == 1 else own for own, one in zip(slopes, x)]
        return slopes[0][:, 0] if np.ndim(x) == 1 else slopes[0]

    def _states(self) -> list[str]:
        """Returns the names of the states: those with data, then the hidden ones."""
        return [*self.feature_names_in_, *self.hidden_names_]

    def _variables(self) -> list[str]:
        """Returns the names of the states, and for order 2 then those of their velocities."""
        names = self._states()
        return names if self.order_ == 1 else names + [f"{name}'" for name in names]

    def simulate(self, x0: ArrayLike, t: ArrayLike, u: Any = None) -> Array:
        """Returns the trajectory (N, K) through the initial state at t[0], at the times t (N).

        Args:
            x0: the initial state (K), with the hidden states; for order 2, then the velocities (2K).
            t: the times.
            u: the inputs at these times, (N, I).

        After a blow-up the values are NaN.
        """
        found = self._found()
        start = np.asarray(x0, dtype=float).ravel()
        times, _ = _series.read_times(t, self._origin)
        names = self._variables()
        if start.size != len(names):
            raise ValueError(f"x0: expected {len(names)} numbers, got {start.size}")
        if times.ndim != 1 or times.size == 0:
            raise ValueError(f"t: expected the times (N), got shape {times.shape}")
        values = np.full((len(times), len(names)), np.nan)
        values[0] = start
        data = _series.read(values, times, u, names, self.input_names_in_, self._origin)
        trajectories, _, _ = _native.simulate(
            found, data.states, data.inputs, data.addresses(), self._sizes
        )
        return np.reshape(trajectories[0], (len(times), len(self._states())))

    def score(self, x: Any, t: Any = None, *, u: Any = None) -> float:
        """Returns R², the mean over the states of the fraction of the variance that trajectories
        explain which are simulated from the first row of x; −∞ where they blow up.

        Long trajectories of chaotic systems are not reproduced even by the right equations: give
        them as a list of short ones.
        """
        found = self._found()
        names = self.feature_names_in_, self.input_names_in_
        data = _series.read(x, t, u, *names, self._origin)
        _, explained, _ = _native.simulate(
            found, data.states, data.inputs, data.addresses(), self._sizes
        )
        mean = float(np.mean(explained))
        return mean if np.isfinite(mean) else -np.inf

    def plot(self) -> Figure:
        """Returns a figure of matplotlib with the smoothed and the simulated trajectories."""
        import matplotlib.pyplot as plt

        self._found()
        names = self._states()
        figure, axes = plt.subplots(
            len(names), 1, sharex=True, squeeze=False, layout="constrained"
        )
        for k, (name, axis) in enumerate(zip(names, axes[:, 0])):
            labels: tuple[str | None, str | None] = ("smoothed data", "equations")
            for fit in self.fits_:
                for part in fit.parts():
                    time = fit.time[part]
                    axis.plot(time, fit.smoothed[part, k], color="0.6", label=labels[0])
                    axis.plot(time, fit.simulated[part, k], "--", color="C0", label=labels[1])
                    labels = (None, None)
            axis.set_ylabel(name)
        axes[0, 0].legend()
        axes[-1, 0].set_xlabel("t")
        return figure


_PARAMETERS = (
    "degree",
    "order",
    "hidden",
    "sine_cosine",
    "explicit_time",
    "terms",
    "link",
    "threshold",
    "robust",
    "max_points",
    "known",
    "positive",
    "negative",
    "grid_refinement",
    "interpolation",
    "method",
    "seed",
    "progress",
)


def _product(factors: tuple[str, ...]) -> str:
    powers = [
        factor if factors.count(factor) == 1 else f"{factor}^{factors.count(factor)}"
        for factor in dict.fromkeys(factors)
    ]
    return " ".join(powers) or "1"
