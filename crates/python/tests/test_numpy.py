"""The solver among NumPy arrays, which needs nothing else: these tests run in a clean environment."""

import math
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

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
    of_steps = (gradients.steps * directions[3]).sum()
    assert abs((only_steps * cotangent).sum() - of_steps) < 1e-9 * abs(of_steps)


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


def misaligned(array):
    """Returns a copy that begins one byte after an address that its type allows."""
    memory = np.empty(array.nbytes + 1, np.uint8)
    moved = np.frombuffer(memory.data, array.dtype, array.size, offset=1).reshape(array.shape)
    moved[...] = array
    assert not moved.flags.aligned
    return moved


def test_misaligned_arrays_are_taken():
    inputs = random_inputs()
    solution, other = solve(*inputs), solve(*map(misaligned, inputs))
    assert np.array_equal(solution.values, other.values)
    cotangent = np.cos(solution.values)
    for a, b in zip(solution.vjp(cotangent), other.vjp(misaligned(cotangent))):
        assert np.array_equal(a, b)
    for a, b in zip(solution.jvp(*inputs), other.jvp(*map(misaligned, inputs))):
        assert np.array_equal(a, b)


def test_derivatives_are_those_of_the_inputs_that_were_solved():
    inputs = random_inputs()
    solution = solve(*inputs)
    cotangent, direction = np.cos(solution.values), np.ones_like(inputs[1])
    gradients, (tangent, _) = solution.vjp(cotangent), solution.jvp(rhs=direction)
    for x in inputs:
        x *= 2
    for before, after in zip(gradients, solution.vjp(cotangent)):
        assert np.array_equal(before, after)
    assert np.array_equal(tangent, solution.jvp(rhs=direction)[0])


def test_numbers_of_numpy_are_options():
    inputs = random_inputs()
    usual = solve(*inputs, refinement_steps=2, weights=(1, 2, 3), points=6, extra_derivatives=1)
    other = solve(
        *inputs,
        refinement_steps=np.int64(2),
        weights=np.array([1, 2, 3]),
        points=np.int32(6),
        extra_derivatives=np.int8(1),
        periodic=np.bool_(False),
        smoothness=np.str_("hermite"),
    )
    assert np.array_equal(usual.values, other.values)


@pytest.mark.parametrize("name", ["points", "extra_derivatives", "refinement_steps"])
def test_negative_and_broken_sizes_are_named(name):
    with pytest.raises(ValueError, match=f"{name}: must not be negative, got -1"):
        solve(*random_inputs(), **{name: -1})
    with pytest.raises(TypeError, match=f"{name}: expected an integer, got 1.5"):
        solve(*random_inputs(), **{name: 1.5})


def large_inputs():
    """Returns a problem whose solve is spread over threads."""
    generator = np.random.default_rng(1)
    coefficients = 0.5 * generator.standard_normal((300, 60, 2, 2, 3))
    coefficients[..., 2] += 2 * np.eye(2)
    rhs = generator.standard_normal((300, 60, 2))
    return coefficients, rhs, np.ones((300, 1, 2, 2)), np.full((1, 59), 0.1)


def test_threads_differentiate_one_solution_at_once():
    solution = solve(*large_inputs())
    cotangents = [np.full_like(solution.values, 1.0 + i) for i in range(4)]
    expected = [solution.vjp(cotangent).coefficients for cotangent in cotangents]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            found = pool.map(lambda cotangent: solution.vjp(cotangent).coefficients, cotangents)
            for a, b in zip(found, expected):
                assert np.array_equal(a, b)


def test_processes_fork_while_threads_solve():
    inputs = large_inputs()
    solution = solve(*inputs)
    cotangent = np.ones_like(solution.values)
    expected = solution.vjp(cotangent).coefficients
    stop = threading.Event()

    def work():
        while not stop.is_set():
            solve(*inputs)
            solve(*random_inputs())
            solution.vjp(cotangent)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                signal.alarm(30)
                same = np.array_equal(solve(*inputs).values, solution.values)
                # The factor of the parent may have been in use.
                same &= np.array_equal(solution.vjp(cotangent).coefficients, expected)
                os._exit(0 if same else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize(
    "environment,threads",
    [
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "2,4"}, 2),
        ({"OMP_NUM_THREADS": "3", "RAYON_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "many", "RAYON_NUM_THREADS": "1"}, 1),
    ],
)
def test_the_environment_says_how_many_threads_there_are(environment, threads):
    code = "import mechanistic; print(mechanistic.num_threads())"
    command = [sys.executable, "-c", code]
    run = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    assert int(run.stdout) == threads
    with pytest.raises(ValueError, match="threads: must not be negative, got -1"):
        mechanistic.set_num_threads(-1)
