"""Discovery from Python, which needs NumPy only: these tests run in a clean environment."""

import copy
import os
import pickle
import signal
import threading
import time

import numpy as np
import pytest

from mechanistic import Discover


def integrate(slope, start, times, steps=20):
    """Returns the trajectory by classical Runge-Kutta steps, (N, K)."""
    state, states = np.array(start, dtype=float), [np.array(start, dtype=float)]
    for begin, end in zip(times, times[1:]):
        h = (end - begin) / steps
        for _ in range(steps):
            a = slope(state)
            b = slope(state + h / 2 * a)
            c = slope(state + h / 2 * b)
            d = slope(state + h * c)
            state = state + h / 6 * (a + 2 * b + 2 * c + d)
        states.append(state)
    return np.array(states)


def lorenz(x):
    return np.array([10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])


def predators(x):
    return np.array([0.5 * x[0] - 0.03 * x[0] * x[1], -0.9 * x[1] + 0.03 * x[0] * x[1]])


def cycles(count=1, points=120, end=30.0):
    times = np.linspace(0, end, points)
    starts = [(20.0 + 2 * i, 10.0 + (3 * i) % 7) for i in range(count)]
    return [integrate(predators, start, times) for start in starts], times


@pytest.fixture(scope="module")
def model():
    (x,), t = cycles()
    return Discover(degree=2).fit(x, t, feature_names=["hare", "lynx"])


def test_lorenz_from_noisy_data():
    t = np.arange(4000) * 0.01
    x = integrate(lorenz, (-8.0, 7.0, 27.0), t, steps=4)
    x += 0.1 * np.random.default_rng(0).standard_normal(x.shape)
    model = Discover(degree=2).fit(x, 0.01, feature_names=["x", "y", "z"])
    names = model.get_feature_names()
    expected = np.zeros((3, len(names)))
    expected[0, [names.index("x"), names.index("y")]] = -10, 10
    expected[1, [names.index("x"), names.index("y"), names.index("x z")]] = 28, -1, -1
    expected[2, [names.index("z"), names.index("x y")]] = -8 / 3, 1
    found, errors = model.coefficients(), model.standard_errors()
    assert ((found != 0) == (expected != 0)).all(), model.equations()
    support = expected != 0
    assert np.abs(found / np.where(support, expected, 1) - 1)[support].max() < 5e-3
    assert (np.abs(found - expected)[support] < 5 * errors[support]).all()
    assert np.isnan(errors[~support]).all()
    assert np.allclose(model.noise_, 0.1, rtol=0.1)


def test_predators_and_prey(model, capsys):
    assert model.get_feature_names() == ["1", "hare", "lynx", "hare^2", "hare lynx", "lynx^2"]
    expected = [[0, 0.5, 0, 0, -0.03, 0], [0, 0, -0.9, 0, 0.03, 0]]
    assert np.allclose(model.coefficients(), expected, atol=2e-3)
    assert [line.split(" = ")[0] for line in model.equations_] == ["hare'", "lynx'"]
    assert model.equations(precision=2) == ["0.50 hare + -0.03 hare lynx", "-0.90 lynx + 0.03 hare lynx"]
    assert model.equations()[0].endswith("hare lynx")
    model.print()
    assert capsys.readouterr().out.splitlines() == model.equations_
    assert r"\mathrm{hare}" in model.to_latex()
    shown = model._repr_latex_()
    assert shown.startswith("$$\\begin{aligned}") and shown.endswith("\\end{aligned}$$")
    assert (model.explained_ > 0.999).all()
    assert len(model.fits_) == 1 and model.fits_[0].smoothed.shape[1] == 2


def test_what_was_found_predicts(model):
    (x,), t = cycles()
    slopes = np.array([predators(row) for row in x])
    assert np.allclose(model.predict(x), slopes, rtol=0.02, atol=0.02)
    both = model.predict([x, x[:5]])
    assert np.array_equal(both[0], model.predict(x)) and both[1].shape == (5, 2)
    simulated = model.simulate(x[0], t)
    assert simulated.shape == x.shape and np.abs(simulated - x).max() < 0.05 * np.abs(x).max()
    assert model.score(x, t) > 0.999
    (other,), _ = cycles()
    others, _ = cycles(count=3)
    assert model.score(others, [t] * 3) > 0.999
    with pytest.raises(ValueError, match="x0: expected 2 numbers, got 3"):
        model.simulate([1.0, 2.0, 3.0], t)
    with pytest.raises(ValueError, match=r"x: expected 2 columns \(hare, lynx\), got 3"):
        model.predict(np.zeros((4, 3)))


def test_the_data_choose_the_model():
    # x' = -2 x / (0.5 + x) is no polynomial.
    t = np.linspace(0, 4, 160)
    x = np.concatenate([integrate(lambda x: -2 * x / (0.5 + x), (3.0,), t)], axis=1)
    model = Discover().fit(x, t, feature_names=["x"])
    assert model.score(x, t) > 0.9999
    slopes = model.predict(x)
    assert np.allclose(slopes, -2 * x / (0.5 + x), atol=0.02)
    assert "(1 + " in model.equations(precision=2)[0]
    assert model.coefficients().shape == (1, len(model.get_feature_names()))
    # What is polynomial is found as such.
    (x,), t = cycles()
    model = Discover().fit(x, t, feature_names=["hare", "lynx"])
    assert model.get_feature_names() == ["hare", "lynx", "hare lynx"]
    expected = [[0.5, 0, -0.03], [0, -0.9, 0.03]]
    assert np.allclose(model.coefficients(), expected, atol=2e-3)
    assert (model.standard_errors()[model.coefficients() != 0] > 0).all()
    # Whoever gives a part of a model gives the model.
    names = Discover(sine_cosine=True).fit(x, t, feature_names=["a", "b"]).get_feature_names()
    assert names[:6] == ["1", "a", "b", "a^2", "a b", "b^2"] and len(names) == 10


def test_a_hundred_short_trajectories():
    x, t = cycles(count=100, points=12, end=3.0)
    noise = np.random.default_rng(1)
    x = [trajectory + 0.02 * noise.standard_normal(trajectory.shape) for trajectory in x]
    model = Discover(degree=2).fit(x, t)
    expected = [[0, 0.5, 0, 0, -0.03, 0], [0, 0, -0.9, 0, 0.03, 0]]
    assert np.allclose(model.coefficients(), expected, atol=5e-3), model.equations()
    assert len(model.fits_) == 100


def test_a_driven_oscillator_of_second_order():
    t = np.linspace(0, 20, 400)
    u = np.sin(0.7 * t)[:, None]

    def slope(x):
        drive = np.sin(0.7 * x[2])
        return np.array([x[1], -4 * x[0] - 0.2 * x[1] + 3 * drive, 1.0])

    x = integrate(slope, (1.0, 0.0, 0.0), t)[:, :1]
    model = Discover(degree=1, order=2).fit(x, t, u=u, feature_names=["x"], input_names=["u"])
    names = model.get_feature_names()
    found = dict(zip(names, model.coefficients()[0]))
    assert abs(found["x"] + 4) < 0.02 and abs(found["u"] - 3) < 0.02
    assert abs(found["x'"] + 0.2) < 0.01
    simulated = model.simulate([1.0, 0.0], t, u=u)
    assert np.abs(simulated - x).max() < 0.05
    accelerations = model.predict(np.array([[1.0, 0.0]]), u=[[0.5]])
    assert np.allclose(accelerations, -4 + 1.5, atol=0.05)


def test_missing_values_own_terms_and_known_coefficients():
    t = np.linspace(0, 6, 200)
    x = integrate(lambda x: np.exp(-x) - 0.5 * x, (3.0,), t)
    x[20:25] = np.nan
    model = Discover(degree=1, terms=["exp(-x)"], known={("x", ("x",)): -0.5})
    model.fit(x[:, 0], t, feature_names=["x"])
    assert model.get_feature_names() == ["1", "x", "exp(-x)"]
    assert np.allclose(model.coefficients(), [[0, -0.5, 1]], atol=5e-3)
    assert np.isnan(model.standard_errors()[0, 1])


def test_estimators_are_copied_and_pickled(model):
    (x,), t = cycles()
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert other.equations_ == model.equations_
        assert np.array_equal(other.simulate(x[0], t), model.simulate(x[0], t))


def test_parameters():
    model = Discover(degree=3, threshold=4.0)
    assert model.get_params()["degree"] == 3
    assert model.set_params(degree=2) is model and model.degree == 2
    assert repr(model) == "Discover(degree=2, threshold=4.0)"
    with pytest.raises(ValueError, match="depth: no parameter"):
        model.set_params(depth=1)
    for ask in (model.coefficients, model.equations, model.print, model.to_latex):
        with pytest.raises(ValueError, match="call `fit` first"):
            ask()


def test_what_does_not_fit_is_named():
    (x,), t = cycles()
    with pytest.raises(ValueError, match=r"t: expected shape \(120,\)"):
        Discover().fit(x, t[1:])
    with pytest.raises(ValueError, match="t: 1 trajectories, but x has 2"):
        Discover().fit([x, x], [t])
    with pytest.raises(ValueError, match=r"x: expected 3 columns \(a, b, c\), got 2"):
        Discover().fit(x, t, feature_names=["a", "b", "c"])
    with pytest.raises(ValueError, match="u: 3 rows, but x has 120"):
        Discover().fit(x, t, u=np.zeros((3, 1)))
    with pytest.raises(ValueError, match="order: must be 1 or 2"):
        Discover(order=3).fit(x, t)
    with pytest.raises(ValueError, match="link: unknown variant `cosine`, expected one of"):
        Discover(link="cosine").fit(x, t)
    with pytest.raises(ValueError, match="method: expected joint or network"):
        Discover(method="magic").fit(x, t)
    with pytest.raises(ValueError, match="must increase"):
        Discover().fit(x, t[::-1])
    for name in ("degree", "order", "max_points", "grid_refinement", "seed"):
        with pytest.raises(ValueError, match=f"{name}: must not be negative, got -1"):
            Discover(**{name: -1}).fit(x, t)
    with pytest.raises(TypeError, match="degree: expected an integer, got 1.5"):
        Discover(degree=1.5).fit(x, t)
    with pytest.raises(ValueError, match="t: the name of a column needs a DataFrame"):
        Discover().fit(x, "t")


def test_progress_is_told_and_may_break_off():
    (x,), t = cycles()
    told = []
    Discover(progress=lambda fraction, stage: told.append((fraction, stage))).fit(x, t)
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions) and told[-1] == (1.0, "done")

    stopped = []

    def stop(fraction, stage):
        stopped.append(fraction)
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        Discover(progress=stop).fit(x, t)
    assert len(stopped) == 1


def long_search():
    """Returns data for which the search takes many seconds."""
    (x,), t = cycles()
    noise = np.random.default_rng(4)
    return [x + 0.1 * noise.standard_normal(x.shape) for _ in range(2000)], t


@pytest.fixture
def interrupts():
    """Lets Ctrl-C raise, also where these tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_interrupts_break_the_search_off():
    x, t = long_search()
    told = []

    def interrupt(fraction, stage):
        told.append(fraction)
        if len(told) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        Discover(progress=interrupt).fit(x, t)
    assert told[-1] < 0.5


@pytest.mark.usefixtures("interrupts")
def test_interrupts_are_noticed_without_progress():
    x, t = long_search()
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    begin = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        Discover().fit(x, t)
    # The whole search takes more than twice as long.
    assert time.perf_counter() - begin < 5


def growing():
    """Returns the trajectory of x' = 1 + 0.5 t, one number a day, and its times in days."""
    t = np.arange(60) * 0.25
    return 2 + t + 0.25 * t**2, t


def test_equations_that_depend_on_the_time_need_it():
    x, t = growing()
    model = Discover(degree=1, explicit_time=True).fit(x, t)
    assert np.allclose(model.predict(x, t=t), 1 + 0.5 * t, atol=1e-3)
    assert np.allclose(model.predict(x[8:12], t=t[8:12]), 1 + 0.5 * t[8:12], atol=1e-3)
    for missing in (None, 0.25):
        with pytest.raises(ValueError, match="t: the equations depend on the time"):
            model.predict(x, t=missing)


def test_dates_count_from_the_same_origin_everywhere():
    x, t = growing()
    dates = np.datetime64("2026-01-01") + (t * 1e3).astype("timedelta64[ms]")
    model = Discover(degree=1, explicit_time=True).fit(x, dates)
    by_number = Discover(degree=1, explicit_time=True).fit(x, t)
    assert model.equations_ == by_number.equations_
    late = slice(20, 40)
    assert np.array_equal(model.predict(x[late], t=dates[late]), model.predict(x[late], t=t[late]))
    simulated = model.simulate(x[20:21], dates[late])
    assert np.allclose(simulated[:, 0], x[late], rtol=1e-3)
    assert model.score(x[late], dates[late]) > 0.999
    plain = [day.astype(object) for day in dates[late].astype("datetime64[us]")]
    assert np.array_equal(model.predict(x[late], t=[np.array(plain)][0]), model.predict(x[late], t=t[late]))
    with pytest.raises(ValueError, match="t: dates, but the times before were numbers"):
        by_number.score(x, dates)
    with pytest.raises(ValueError, match="t: expected numbers or dates"):
        by_number.score(x, np.full(len(x), "noon"))


def test_predictions_read_data_as_the_fit_does():
    x, t = growing()
    model = Discover(degree=1, explicit_time=True).fit(list(x), t)
    alone = model.predict(list(x), t=t)
    assert isinstance(alone, np.ndarray) and np.array_equal(alone, model.predict(x, t=t))
    both = model.predict([x, x[:5]], t=[t, t[:5]])
    assert np.array_equal(both[0], alone) and np.array_equal(both[1], alone[:5])


def test_what_was_fitted_counts_and_not_what_is_set_later(model):
    (x,), t = cycles()
    changed = copy.deepcopy(model).set_params(order=2, link="tanh")
    assert changed.order_ == 1
    assert np.array_equal(changed.predict(x), model.predict(x))
    assert np.array_equal(changed.simulate(x[0], t), model.simulate(x[0], t))
    assert changed.equations(precision=2) == model.equations(precision=2)


def test_links_and_denominators_are_written_with_decimals():
    t = np.linspace(0, 6, 120)
    x = integrate(lambda x: np.tanh(1 - x), (-1.0,), t)
    model = Discover(degree=1, link="tanh").fit(x, t, feature_names=["x"])
    assert model.equations(precision=1) == ["tanh(1.0 1 + -1.0 x)"]
    x = integrate(lambda x: -x / (1 + 0.5 * x), (5.0,), t)
    model = Discover(degree=1, link="ratio").fit(x, t, feature_names=["x"])
    (side,) = model.equations(precision=1)
    assert side == "(-1.0 x) / (1 + 0.5 x)"


def test_a_state_without_data():
    t = np.arange(600) * 0.025
    x = integrate(lambda u: np.array([u[1], -2 * u[0] - 0.3 * u[1]]), (1.0, 0.5), t)
    noise = 0.002 * np.random.default_rng(5).standard_normal(len(t))
    model = Discover(hidden=1, degree=1).fit(x[:, 0] + noise, t, feature_names=["x"])
    assert model.feature_names_in_ == ["x"] and model.hidden_names_ == ["hidden1"]
    assert model.get_feature_names() == ["1", "x", "hidden1"]
    expected = [[0, 0, 1], [0, -2, -0.3]]
    np.testing.assert_allclose(model.coefficients(), expected, rtol=0.02, atol=1e-12)
    assert model.equations_[0] == "x'       = 1 hidden1"
    assert model.warnings_ == []
    assert model.noise_.shape == model.explained_.shape == (1,)
    assert model.fits_[0].smoothed.shape == (len(model.fits_[0].time), 2)
    np.testing.assert_allclose(model.predict(np.array([[1.0, 0.5]])), [[0.5, -2.15]], rtol=0.02)
    np.testing.assert_allclose(model.simulate([1.0, 0.5], t), x, atol=0.03)
    assert model.score(x[:, 0], t) > 0.99
    assert copy.deepcopy(model).get_params()["hidden"] == 1
    with pytest.raises(ValueError, match="hidden: at most 2 for each of the 1 states"):
        Discover(hidden=3).fit(x[:, 0], t)
    with pytest.raises(ValueError, match="hidden: order 2 already has"):
        Discover(hidden=1, order=2).fit(x[:, 0], t)
    with pytest.raises(ValueError, match="x0: expected 2 numbers, got 1"):
        model.simulate([1.0], t)


def test_a_state_that_is_not_hidden_is_said():
    t = np.arange(200) * 0.02
    model = Discover(hidden=1, degree=1).fit(3 * np.exp(-t), t)
    assert any(w.startswith("`hidden1` cannot be identified: ") for w in model.warnings_)
