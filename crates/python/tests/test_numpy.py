"""The solver among NumPy arrays, which needs nothing else: these tests run in a clean environment."""

import math
import subprocess
import sys

import numpy as np
import pytest

import mechanistic
from mechanistic.numpy import solve


def oscillators(points=101):
    coefficients = np.array([[1.0, 0, 1], [4, 0, 1]]).reshape(2, 1, 1, 1, 3)
    step = 2.0 / (points - 1)
    return coefficients, np.zeros((1, 1)), np.array([[[1.0, 0.0]]]), np.array([step])


def random_inputs():
    generator = np.random.default_rng(3)
    coefficients = generator.standard_normal((3, 2, 6, 2, 2, 3)) + 2 * np.eye(2)[:, :, None]
    rhs = generator.standard_normal((2, 6, 2))
    initial = generator.standard_normal((3, 1, 1, 2, 2))
    return coefficients, rhs, initial, 0.3 + 0.4 * generator.random(5)


def test_oscillators_are_solved():
    solution = solve(*oscillators(), points=101)
    assert solution.values.shape == (2, 101, 1, 4)
    exact = [math.cos(2), math.cos(4)]
    assert np.allclose(solution.values[:, -1, 0, 0], exact, atol=2e-6)
    assert solution.status.tolist() == [0, 0] and solution.epsilon.tolist() == [0, 0]
    assert "cpu" in solution.plan
    cotangent = np.zeros_like(solution.values)
    cotangent[:, -1, 0, 0] = 1
    slopes = [-math.sin(2), -math.sin(4) / 2]  # d cos(2 sqrt(w)) / dw
    gradients = solution.vjp(cotangent)
    assert np.allclose(gradients.coefficients[:, 0, 0, 0, 0], slopes, atol=1e-5)


def test_gradients_and_directional_derivatives_agree_with_differences():
    inputs = random_inputs()
    generator = np.random.default_rng(5)
    directions = [generator.standard_normal(x.shape) for x in inputs]
    solution = solve(*inputs)
    assert solution.values.shape == (3, 2, 6, 2, 4)
    cotangent = generator.standard_normal(solution.values.shape)

    def loss(h):
        moved = [x + h * d for x, d in zip(inputs, directions)]
        return (cotangent * solve(*moved).values).sum()

    h = 1e-6
    expected = (loss(h) - loss(-h)) / (2 * h)
    gradients = solution.vjp(cotangent)
    assert [g.shape for g in gradients] == [x.shape for x in inputs]
    paired = sum((g * d).sum() for g, d in zip(gradients, directions))
    assert abs(paired - expected) < 1e-5 * abs(expected)
    tangent, _ = solution.jvp(*directions)
    assert abs((tangent * cotangent).sum() - paired) < 1e-9 * abs(paired)
    only_steps, _ = solution.jvp(steps=directions[3])
    assert abs((only_steps * cotangent).sum() - (gradients.steps * directions[3]).sum()) < 1e-9


def test_slack_has_a_gradient():
    inputs = random_inputs()
    options = {"smoothness": "taylor_central", "slack": (0.5, 0.1)}
    solution = solve(*inputs, **options)
    assert solution.epsilon.shape == (3, 2) and (solution.epsilon != 0).all()
    gradient = solution.vjp(epsilon=np.ones((3, 2))).steps
    h = 1e-6
    for i in range(5):
        moved = [inputs[3] + side * h * np.eye(5)[i] for side in (1, -1)]
        ahead, behind = (solve(*inputs[:3], s, **options).epsilon.sum() for s in moved)
        assert abs(gradient[i] - (ahead - behind) / (2 * h)) < 1e-6 * max(1, abs(gradient[i]))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_other_precisions(dtype):
    exact = solve(*oscillators(21), points=21).values
    inputs = [x.astype(dtype) for x in oscillators(21)]
    solution = solve(*inputs, points=21)
    assert solution.values.dtype == np.float32
    assert np.allclose(solution.values, exact, atol=1e-5 if dtype == np.float32 else 2e-2)
    assert solution.vjp(np.ones_like(exact)).steps.dtype == dtype


def test_lists_and_integers_take_the_type_of_the_others():
    coefficients = np.array([1, 0, 1]).reshape(1, 1, 1, 3)
    assert solve(coefficients, [[0]], [[[1, 0]]], [0.1], points=5).values.dtype == np.float64
    single = solve(coefficients.astype(np.float32), [[0]], [[[1, 0]]], [0.1], points=5)
    assert single.values.dtype == np.float32


def test_strided_arrays_are_taken():
    c, b, v, s = random_inputs()
    turned = np.ascontiguousarray(c.swapaxes(-1, -2)).swapaxes(-1, -2)
    assert not turned.flags.c_contiguous
    assert np.array_equal(solve(turned, b, v, s).values, solve(c, b, v, s).values)


def test_what_does_not_fit_is_named():
    c, b, v, s = random_inputs()
    with pytest.raises(TypeError, match="rhs: expected float64 as coefficients, got float32"):
        solve(c, b.astype(np.float32), v, s)
    with pytest.raises(TypeError, match="steps: expected real numbers, got complex128"):
        solve(c, b, v, s.astype(complex))
    with pytest.raises(ValueError, match="rhs: expected shape"):
        solve(c, b[..., :1], v, s)
    with pytest.raises(ValueError, match=r"initial_values: expected shape \(\.\.\., I, K, J\)"):
        solve(c, b, v[0, 0, 0], s)
    with pytest.raises(ValueError, match="rhs: the leading axes .5,. do not broadcast with"):
        solve(c, np.zeros((5, 6, 2)), v, s)
    solution = solve(c, b, v, s)
    with pytest.raises(ValueError, match="the cotangent of values: expected shape"):
        solution.vjp(np.zeros(3))
    with pytest.raises(ValueError, match="the direction of steps: expected shape"):
        solution.jvp(steps=np.zeros(3))


def test_broken_systems_raise_warn_or_are_ignored():
    c, b, v, s = oscillators()
    c[1] = np.inf
    with pytest.raises(mechanistic.SolveError, match="1 of 2 systems .*system 1: .*coefficients"):
        solve(c, b, v, s, points=101)
    with pytest.warns(mechanistic.SolveWarning):
        solve(c, b, v, s, points=101, check="warn")
    solution = solve(c, b, v, s, points=101, check="ignore")
    assert solution.status.tolist() == [mechanistic.Status.OK, mechanistic.Status.NON_FINITE_INPUT]
    assert np.isnan(solution.values[1]).all() and np.isfinite(solution.values[0]).all()
    undetermined = solve(c[:1] * 0, b, None, s, points=5, check="ignore", smoothness="taylor")
    assert undetermined.status.tolist() == [mechanistic.Status.BREAKDOWN]


def test_the_import_brings_no_framework():
    code = (
        "import sys, mechanistic, mechanistic.numpy;"
        "print([m for m in ('torch', 'jax', 'pandas', 'scipy', 'sklearn') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
