"""The operation of JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mechanistic import numpy as host
from mechanistic.jax import solve

jax.config.update("jax_enable_x64", True)


def random_inputs():
    generator = np.random.default_rng(3)
    coefficients = generator.standard_normal((3, 6, 2, 2, 3)) + 2 * np.eye(2)[:, :, None]
    rhs = generator.standard_normal((6, 2))
    initial = generator.standard_normal((3, 1, 2, 2))
    return coefficients, rhs, initial, 0.3 + 0.4 * generator.random(5)


def loss(*x):
    return jnp.sin(solve(*x)).sum()


def test_values_and_gradients_are_those_of_the_host():
    inputs = random_inputs()
    expected = host.solve(*inputs)
    for call in (solve, jax.jit(solve)):
        assert np.allclose(call(*inputs), expected.values, atol=1e-13)
    gradients = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3)))(*inputs)
    for found, gradient in zip(gradients, expected.vjp(np.cos(expected.values))):
        assert np.allclose(found, gradient, atol=1e-11)


def test_vmap_solves_and_differentiates_each_sample():
    c, b, v, s = random_inputs()
    cs, vs = np.stack([c, 1.1 * c]), np.stack([v, -v], 1)

    def of_sample(c, v):
        return solve(c, b, v, s)

    mapped = jax.vmap(of_sample, in_axes=(0, 1))(cs, vs)
    expected = np.stack([of_sample(cs[i], vs[:, i]) for i in range(2)])
    assert np.allclose(mapped, expected, atol=1e-12)
    nested = jax.vmap(jax.vmap(of_sample, in_axes=(0, None)), in_axes=(None, 1))(cs, vs)
    assert np.allclose(nested[1, 0], of_sample(cs[0], vs[:, 1]), atol=1e-12)
    gradient = jax.grad(loss, argnums=(0, 1, 2, 3))
    mapped = jax.jit(jax.vmap(gradient, in_axes=(0, None, None, None)))(cs, b, v, s)
    for i in range(2):
        for found, expected in zip(mapped, gradient(cs[i], b, v, s)):
            assert np.allclose(found[i], expected, atol=1e-10)


def test_options_types_and_failures():
    c, b, v, s = random_inputs()
    single = solve(*(jnp.asarray(x, dtype=jnp.float32) for x in (c, b, v, s)))
    assert single.dtype == jnp.float32
    assert np.allclose(single, solve(c, b, v, s), atol=1e-3)
    published = solve(c, b, None, s, smoothness="taylor_hold", weights=(1, 1, 10))
    expected = host.solve(c, b, None, s, smoothness="taylor_hold", weights=(1, 1, 10))
    assert np.allclose(published, expected.values, equal_nan=True)
    c = c.copy()
    c[1] = np.nan
    assert np.isnan(solve(c, b, v, s)[1]).all()
    with pytest.raises(TypeError, match="rhs: expected float64 as coefficients, got float32"):
        solve(c, jnp.asarray(b, dtype=jnp.float32), v, s)
    with pytest.raises(ValueError, match="smoothness: expected one of"):
        solve(c, b, v, s, smoothness="cubic")
    with pytest.raises(ValueError, match=r"rhs: expected shape \(\.\.\., N or 1, E\)"):
        solve(c, b[0], v, s)
