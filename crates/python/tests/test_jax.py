"""The operation of JAX."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mechanistic
from mechanistic import _options
from mechanistic import numpy as host
from mechanistic.jax import solve

jax.config.update("jax_enable_x64", True)

#: Which of coefficients, rhs, initial values and steps are shared by the systems.
SHARING = ((0, 0, 0, 0), (0, 1, 0, 1), (1, 0, 0, 1), (0, 1, 1, 0), (1, 1, 1, 0), (1, 1, 1, 1))
OPTIONS = (
    {},
    {"smoothness": "taylor_hold", "weights": (1, 1, 10)},
    {"smoothness": "taylor_central", "slack": (0.5, 0.1), "steps_per_state": True},
    {"periodic": True, "scaling": "unit", "weights": (2, 3, 0.5, 1.5), "extra_derivatives": 2},
    {"factorization": "square_root", "refinement_steps": 3, "roughness": 0.1},
    {"follow_growth": True},
)


def random_inputs(shared=(0, 1, 0, 1), batch=3, points=6, seed=3, per_state=False):
    generator = np.random.default_rng(seed)
    c, b, v, s = (() if alone else (batch,) for alone in shared)
    coefficients = 0.5 * generator.standard_normal((*c, points, 2, 2, 3))
    coefficients[..., 2] += 2 * np.eye(2)
    rhs = generator.standard_normal((*b, points, 2))
    initial = generator.standard_normal((*v, 1, 2, 2))
    steps = 0.3 + 0.4 * generator.random((*s, points - 1, *((2,) if per_state else ())))
    return coefficients, rhs, initial, steps


def loss(*x, **options):
    return jnp.sin(solve(*x, **options)).sum()


#: What the error of a custom call becomes where JAX waits for it, and where the call runs at once.
REFUSED = (jax.errors.JaxRuntimeError, ValueError)
GRADIENT = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3)))


def calls(function, *arguments):
    """Returns how often the compiled program of a function, in which there is no loop, solves, and how
    often it takes a vjp."""
    text = jax.jit(function).lower(*arguments).compile().as_text()
    assert " while(" not in text
    return text.count("mechanistic_solve"), text.count("mechanistic_vjp")


@pytest.mark.parametrize("options", OPTIONS)
def test_values_and_gradients_are_those_of_numpy(options):
    inputs = random_inputs(per_state=options.get("steps_per_state", False))
    expected = host.solve(*inputs, **options)
    for call in (partial(solve, **options), jax.jit(partial(solve, **options))):
        assert np.array_equal(call(*inputs), expected.values)
    gradients = jax.jit(jax.grad(partial(loss, **options), argnums=(0, 1, 2, 3)))(*inputs)
    for found, gradient in zip(gradients, expected.vjp(np.cos(expected.values))):
        assert np.allclose(found, gradient, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("shared", SHARING)
def test_gradients_are_those_of_differences(shared):
    inputs = random_inputs(shared)
    # A weak row that is not so weak, so that differences have enough digits.
    of_inputs, generator, h = partial(loss, roughness=0.1), np.random.default_rng(5), 1e-5
    compiled, gradients = jax.jit(of_inputs), jax.jit(jax.grad(of_inputs, argnums=(0, 1, 2, 3)))
    for i, gradient in enumerate(gradients(*inputs)):
        assert gradient.shape == inputs[i].shape
        direction = generator.standard_normal(inputs[i].shape)

        def moved(side):
            changed = list(inputs)
            changed[i] = inputs[i] + side * direction
            return compiled(*changed)

        difference = (moved(h) - moved(-h)) / (2 * h)
        assert np.isclose((gradient * direction).sum(), difference, rtol=1e-6, atol=1e-6)


def test_leading_axes_broadcast():
    c, b, v, s = random_inputs()
    c = np.stack([c, 1.1 * c])  # (2, 3, ...)
    v = np.stack([v[:1], -v[:1]])  # (2, 1, ...)
    expected = host.solve(c, b, v, s)
    assert np.array_equal(solve(c, b, v, s), expected.values)
    for found, gradient in zip(GRADIENT(c, b, v, s), expected.vjp(np.cos(expected.values))):
        assert found.shape == gradient.shape
        assert np.allclose(found, gradient, atol=1e-11)


def test_vmap_solves_and_differentiates_each_sample():
    c, b, v, s = random_inputs()
    cs, vs = np.stack([c, 1.1 * c]), np.stack([v, -v], 1)

    def of_sample(c, v):
        return solve(c, b, v, s)

    mapped = jax.vmap(of_sample, in_axes=(0, 1))
    expected = np.stack([of_sample(cs[i], vs[:, i]) for i in range(2)])
    assert np.array_equal(mapped(cs, vs), expected)
    assert calls(mapped, cs, vs) == (1, 0)
    nested = jax.vmap(jax.vmap(of_sample, in_axes=(0, None)), in_axes=(None, 1))(cs, vs)
    assert np.array_equal(nested[1, 0], of_sample(cs[0], vs[:, 1]))


@pytest.mark.parametrize(
    ("shared", "axes"),
    [
        ((0, 0, 0, 0), (0, 0, 0, 0)),
        ((0, 1, 0, 1), (0, None, None, None)),
        ((0, 1, 0, 1), (None, 1, 0, 0)),
        ((1, 0, 0, 1), (0, None, 0, None)),
        ((1, 1, 1, 0), (0, 0, None, None)),
        ((1, 1, 1, 1), (None, None, 0, 1)),
    ],
)
def test_vmap_of_gradients_are_the_gradients_of_each_sample(shared, axes):
    single = random_inputs(shared)
    samples = [[x, 1.1 * x] for x in single]
    inputs = [x[0] if axis is None else np.stack(x, axis) for x, axis in zip(samples, axes)]
    mapped = jax.vmap(GRADIENT, in_axes=axes)
    assert calls(mapped, *inputs)[1] == 1
    together = mapped(*inputs)
    for i in range(2):
        alone = [x[0] if axis is None else x[i] for x, axis in zip(samples, axes)]
        for found, expected in zip(together, GRADIENT(*alone)):
            assert np.allclose(found[i], expected, rtol=1e-10, atol=1e-10)
    # And the gradient of the samples' sum.
    total = jax.grad(lambda *x: jax.vmap(loss, in_axes=axes)(*x).sum(), argnums=(0, 1, 2, 3))
    for found, each, axis in zip(total(*inputs), together, axes):
        expected = each.sum(0) if axis is None else np.moveaxis(each, 0, axis)
        assert np.allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shared", [(0, 1, 0, 0), (1, 0, 0, 1), (1, 1, 1, 1)])
def test_jacobians_are_the_gradients_of_each_value(shared):
    inputs = random_inputs(shared, batch=2, points=4)

    def f(*x):
        return solve(*x)[..., 1:, 0, 0]

    jacobian = jax.jacrev(f, argnums=(0, 1, 2, 3))
    assert calls(jacobian, *inputs)[1] == 1
    found = jax.jit(jacobian)(*inputs)
    of_cotangent = jax.jit(lambda w, *x: jax.vjp(f, *x)[1](w))
    for place in itertools.product(*map(range, f(*inputs).shape)):
        expected = of_cotangent(jnp.zeros(f(*inputs).shape).at[place].set(1.0), *inputs)
        for jacobian_of, gradient in zip(found, expected):
            assert np.allclose(jacobian_of[place], gradient, rtol=1e-10, atol=1e-10)


def test_jacobians_without_initial_values():
    c, b, _, s = random_inputs(batch=2, points=4)
    weights = jnp.asarray(np.random.default_rng(2).standard_normal((5, 2, 4, 2, 4)))

    def f(c):
        return jnp.einsum("wbnkq,bnkq->w", weights, solve(c, b, None, s, periodic=True))

    solution = host.solve(c, b, None, s, periodic=True)
    for found, weight in zip(jax.jit(jax.jacrev(f))(c), weights):
        assert np.allclose(found, solution.vjp(weight).coefficients, rtol=1e-9, atol=1e-9)


def test_vmap_of_jacobians_and_jacobians_of_vmap():
    c, b, v, s = random_inputs(batch=2, points=4)
    cs = np.stack([c, 1.1 * c, 0.9 * c])

    def f(c, s):
        return solve(c, b, v, s)[..., 0]

    jacobian = jax.jit(jax.jacrev(f, argnums=(0, 1)))
    each = [jacobian(cs[i], s) for i in range(3)]
    mapped = jax.vmap(jacobian, in_axes=(0, None))
    assert calls(mapped, cs, s)[1] == 1
    for i, found in enumerate(mapped(cs, s)):
        assert np.allclose(found, np.stack([of_sample[i] for of_sample in each]), atol=1e-10)
    whole = jax.jit(jax.jacrev(jax.vmap(f, in_axes=(0, None)), argnums=(0, 1)))(cs, s)
    for i in range(3):
        assert np.allclose(whole[0][i, ..., i, :, :, :, :, :], each[i][0], atol=1e-10)
        assert np.allclose(whole[1][i], each[i][1], atol=1e-10)


def test_programs_run_on_several_threads_at_once():
    problems = [random_inputs(batch=200, points=50, seed=seed) for seed in range(4)]
    problems += [random_inputs(seed=seed) for seed in range(4)]
    compiled = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2, 3)))
    expected = [jax.device_get(compiled(*x)) for x in problems]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            for found, of_problem in zip(pool.map(lambda x: compiled(*x), problems), expected):
                jax.tree.map(np.testing.assert_array_equal, jax.device_get(found), of_problem)


def test_results_do_not_depend_on_the_number_of_threads():
    inputs = random_inputs(batch=200, points=50)
    compiled = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2, 3)))
    expected = jax.device_get(compiled(*inputs))
    try:
        for threads in (1, 2, 3):
            mechanistic.set_num_threads(threads)
            found = jax.device_get(compiled(*inputs))
            jax.tree.map(np.testing.assert_array_equal, found, expected)
    finally:
        mechanistic.set_num_threads(0)


@pytest.mark.parametrize("double", [True, False])
def test_single_precision(double):
    inputs = random_inputs()
    singles = [x.astype(np.float32) for x in inputs]
    with jax.enable_x64(double):
        values, gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2, 3)))(*singles)
        solution = solve(*singles)
        assert solution.dtype == values.dtype == jnp.float32
        assert np.array_equal(solution, host.solve(*singles).values)
        assert all(x.dtype == jnp.float32 for x in gradients)
    for found, expected in zip(gradients, GRADIENT(*inputs)):
        assert np.allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("call", [solve, GRADIENT])
def test_types_and_shapes_are_refused_by_name(call):
    c, b, v, s = random_inputs()
    with pytest.raises(TypeError, match="steps: expected float32 or float64, got int64"):
        solve(c, b, v, np.ones(5, np.int64))
    call = jax.jit(call)
    with pytest.raises(TypeError, match="rhs: expected float64 as coefficients, got float32"):
        call(c, b.astype(np.float32), v, s)
    with pytest.raises(ValueError, match=r"rhs: expected shape \(\.\.\., N or 1, E\)"):
        call(c, b[0], v, s)
    with pytest.raises(ValueError, match="initial_values: the leading axes"):
        call(c, b, v[:2], s)
    with pytest.raises(ValueError, match="rhs: expected shape"):
        call(c, b[:5], v, s)
    with pytest.raises(ValueError, match="steps: expected shape"):
        call(c, b, v, s[:4])
    with pytest.raises(ValueError, match="batch: there must be at least one system"):
        call(c[:0], b, v[:0], s)


def test_options_are_refused_by_name():
    inputs = random_inputs()
    for options, message in (
        ({"smoothness": "cubic"}, "smoothness: expected one of"),
        ({"extra_derivatives": -1}, "extra_derivatives: must not be negative"),
        ({"check": "warn"}, "check: expected raise or ignore"),
        ({"check": "never"}, "check: expected one of raise, warn, ignore"),
        ({"weights": (1, -1, 1)}, "weights.initial: must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            solve(*inputs, **options)


def test_a_broken_system_is_an_error():
    c, b, v, s = random_inputs()
    c = c.copy()
    c[1, 2] = np.nan
    message = r"1 of 3 systems were not solved \(system 1: .*coefficients"
    with pytest.raises(mechanistic.SolveError, match=message):
        host.solve(c, b, v, s)
    for call in (solve, jax.jit(solve), GRADIENT):
        with pytest.raises(REFUSED, match=message):
            jax.block_until_ready(call(c, b, v, s))
    # Where only the gradient is computed.
    with pytest.raises(REFUSED, match=message):
        jax.block_until_ready(jax.jit(jax.grad(lambda *x: solve(*x).sum()))(c, b, v, s))
    c[1] = c[0]
    assert np.array_equal(jax.jit(solve)(c, b, v, s), host.solve(c, b, v, s).values)


def test_a_broken_system_that_is_ignored_is_nan_and_leaves_the_others():
    c, b, v, s = random_inputs()
    broken = c.copy()
    broken[1, 2] = np.nan
    call = jax.jit(lambda *x: solve(*x, check="ignore"))
    values, expected = np.asarray(call(broken, b, v, s)), np.asarray(call(c, b, v, s))
    assert np.isnan(values[1]).all()
    assert np.array_equal(values[[0, 2]], expected[[0, 2]])
    gradient = jax.jit(jax.grad(lambda *x: solve(*x, check="ignore")[jnp.array([0, 2])].sum()))
    found, expected = np.asarray(gradient(broken, b, v, s)), np.asarray(gradient(c, b, v, s))
    assert not found[1].any()
    assert np.array_equal(found[[0, 2]], expected[[0, 2]])


def test_what_cannot_be_differentiated_is_refused():
    inputs = random_inputs()
    with pytest.raises(NotImplementedError, match="no second derivatives"):
        jax.grad(lambda *x: jnp.sin(GRADIENT(*x)[0]).sum())(*inputs)
    with pytest.raises(NotImplementedError, match="no second derivatives"):
        jax.hessian(loss)(*inputs)


def test_a_call_of_the_wrong_shape_is_refused_by_the_handler():
    c, b, v, s = [jnp.asarray(x) for x in random_inputs((0, 0, 0, 0))]
    options = _options.parse(_options.key())[1]._asdict()
    attributes = {"check": options.pop("check"), "options": json.dumps(options)}

    def call(values, *inputs, **changed):
        result = jax.ShapeDtypeStruct(values, jnp.float64)
        custom = jax.ffi.ffi_call("mechanistic_solve", result)
        return jax.block_until_ready(custom(*inputs, **{**attributes, **changed}))

    shape, s = (3, 6, 2, 4), s[:, :, None]
    assert np.array_equal(call(shape, c, b, v, s), solve(c, b, v, s[:, :, 0]))
    for arguments, message in (
        ((shape, c, b[0], v, s), "rhs: expected 3 axes, got 2"),
        ((shape, c, b[:, :3], v, s), "rhs: expected shape"),
        (((3, 6, 2, 2), c, b, v, s), "solution: expected shape"),
        (((3, 6, 1, 4), c, b, v, s), "solution: expected shape"),
        ((shape, c, b, v), "steps: expected an array at place 3"),
        ((shape, c, b, v, s.astype(jnp.float32)), "steps: expected the precision"),
        ((shape, c, b.astype(jnp.int32), v, s), "rhs: expected float32 or float64"),
    ):
        with pytest.raises(REFUSED, match=message):
            call(*arguments)
    with pytest.raises(REFUSED, match="options: EOF while parsing"):
        call(shape, c, b, v, s, options="{")
    with pytest.raises(REFUSED, match="options: expected an attribute"):
        call(shape, c, b, v, s, options=np.float64(1.0))
