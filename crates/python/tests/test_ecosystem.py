"""Discovery among scikit-learn, pandas, SymPy and matplotlib."""

import numpy as np
import pandas as pd
import pytest
import sympy
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold
from test_discovery import cycles

from mechanistic import Discover


def test_estimators_are_cloned():
    terms = ["exp(-x0)"]
    model = Discover(degree=3, terms=terms)
    copied = clone(model)
    assert copied is not model and copied.get_params() == model.get_params()
    (x,), t = cycles()
    fitted = clone(model.fit(x, t))
    assert not hasattr(fitted, "coefficients_")


def test_the_degree_is_found_by_cross_validation():
    x, t = cycles(count=6, points=30, end=8.0)
    noise = np.random.default_rng(2)
    x = [trajectory + 0.05 * noise.standard_normal(trajectory.shape) for trajectory in x]
    search = GridSearchCV(Discover(), {"degree": [1, 2]}, cv=KFold(3))
    search.fit(x, [t] * len(x))
    assert search.best_params_ == {"degree": 2}
    assert search.best_score_ > 0.99
    assert len(search.best_estimator_.fits_) == len(x)


def test_frames_have_names_and_times():
    (x,), t = cycles()
    expected = Discover().fit(x, t, feature_names=["hare", "lynx"])
    by_index = pd.DataFrame(x, columns=["hare", "lynx"], index=t)
    by_column = pd.DataFrame({"year": t, "hare": x[:, 0], "lynx": x[:, 1]})
    dates = pd.DataFrame(x, columns=["hare", "lynx"])
    dates.index = pd.Timestamp("2026-01-01") + pd.to_timedelta(t, unit="s")
    for model in (
        Discover().fit(by_index),
        Discover().fit(by_column, "year"),
        Discover().fit([by_index]),
    ):
        assert model.feature_names_in_ == ["hare", "lynx"]
        assert model.equations_ == expected.equations_
    assert np.allclose(Discover().fit(dates).coefficients(), expected.coefficients(), rtol=1e-6)
    assert Discover().fit(by_index["hare"]).feature_names_in_ == ["hare"]
    turned = by_index[["lynx", "hare"]]
    assert expected.score(turned) == pytest.approx(expected.score(by_index), abs=1e-12)
    assert np.array_equal(expected.predict(turned), expected.predict(by_index))
    with pytest.raises(ValueError, match="t: there is no column 'time'"):
        Discover().fit(by_column, "time")


def test_equations_are_expressions_of_sympy():
    (x,), t = cycles()
    model = Discover().fit(x, t, feature_names=["I", "S"])
    found = model.to_sympy()
    i, s = sympy.Symbol("I"), sympy.Symbol("S")
    assert list(found) == [i, s]
    slope = sympy.lambdify([i, s], [found[i], found[s]])(*x[3])
    assert np.allclose(slope, model.predict(x[3:4])[0], rtol=1e-12)
    assert sympy.diff(found[i], i, s) != 0


def test_trajectories_are_drawn():
    import matplotlib

    matplotlib.use("Agg")
    (x,), t = cycles()
    figure = Discover().fit(x, t, feature_names=["hare", "lynx"]).plot()
    assert [axis.get_ylabel() for axis in figure.axes] == ["hare", "lynx"]
    assert [len(axis.lines) for axis in figure.axes] == [2, 2]
