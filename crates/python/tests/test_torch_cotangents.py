"""Many cotangents or tangents of one solve in PyTorch: in one call as one after the other."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from problems import SHARING, inputs
from torch._vmap_internals import _vmap
from torch.autograd.functional import hessian, jacobian
from torch.func import jacrev, jvp, vjp, vmap

from mechanistic import _native
from mechanistic.torch import Solution, _calls, solve_ode

#: Relative to the largest gradient. In single precision, sums over systems are rounded once more.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}


def cotangents(count, z):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, *z.shape, generator=generator, dtype=torch.float64).to(z.dtype)


def one_after_the_other(z, x, w):
    each = [torch.autograd.grad(z, x, row, retain_graph=True) for row in w]
    return [torch.stack(gradients) for gradients in zip(*each)]


def assert_close(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert (a - b).abs().max() <= TOLERANCE[b.dtype] * b.abs().max()


@pytest.fixture
def calls(monkeypatch):
    """Counts the calls of the native solver by their names."""
    counted = {"solve": 0, "vjp": 0}

    def counting(name, function):
        def call(*arguments):
            counted[name] += 1
            return function(*arguments)

        return call

    monkeypatch.setattr(_native, "solve", counting("solve", _native.solve))
    monkeypatch.setattr(_calls, "vjp_now", counting("vjp", _calls.vjp_now))
    return counted


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("shared", SHARING)
def test_batched_cotangents_give_the_gradients_of_each(shared, batch, dtype):
    x = [t.detach().to(dtype).requires_grad_() for t in inputs(batch, shared=shared)]
    z = solve_ode(*x)
    w = cotangents(11, z)
    expected = one_after_the_other(z, x, w)
    batched = torch.autograd.grad(z, x, w, is_grads_batched=True, retain_graph=True)
    assert_close(batched, expected)

    def f(*x):
        return (solve_ode(*x) * w).sum((1, 2, 3, 4))

    detached = [t.detach() for t in x]
    assert_close(jacrev(f, argnums=(0, 1, 2, 3))(*detached), expected)
    some = jacrev(f, argnums=(3, 0))(*detached)
    assert_close(some, [expected[3], expected[0]])


def test_cotangents_of_values_and_slack():
    x = inputs(2)
    solution = solve_ode(*x, slack=(0.5, 0.1), full=True)
    assert isinstance(solution, Solution)
    outputs = solution[:2]
    w = cotangents(9, solution.values), cotangents(9, solution.epsilon)
    for used in ([0, 1], [1]):
        z, of_z = [outputs[i] for i in used], [w[i] for i in used]
        found = torch.autograd.grad(z, x, of_z, is_grads_batched=True, retain_graph=True)
        each = [torch.autograd.grad(z, x, rows, retain_graph=True) for rows in zip(*of_z)]
        assert_close(found, [torch.stack(gradients) for gradients in zip(*each)])


@pytest.mark.parametrize(("batch", "points"), [(1, 6), (3, 6), (8, 6), (1, 600)])
def test_all_cotangents_are_those_of_one_call(calls, batch, points):
    x = inputs(batch, points)
    z = solve_ode(*x)
    w = cotangents(20, z)
    calls.update(solve=0)
    torch.autograd.grad(z, x, w, is_grads_batched=True)
    assert calls == {"solve": 0, "vjp": 1}
    calls.update(vjp=0)
    jacrev(lambda c: (solve_ode(c, *x[1:]) * w).sum((1, 2, 3, 4)))(x[0].detach())
    assert calls == {"solve": 1, "vjp": 1}


@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("shared", SHARING)
def test_batched_tangents_give_the_derivatives_of_each(calls, shared, batch):
    x = [t.detach() for t in inputs(batch, shared=shared)]
    d = [cotangents(11, t) for t in x]

    def along(*d):
        return jvp(solve_ode, tuple(x), d)[1]

    assert_close([vmap(along)(*d)], [torch.stack([along(*row) for row in zip(*d)])])
    # Directions that all samples share.
    found = vmap(along, (0, None, None, 0))(d[0], d[1][0], d[2][0], d[3])
    each = [along(dc, d[1][0], d[2][0], ds) for dc, ds in zip(d[0], d[3])]
    assert_close([found], [torch.stack(each)])


def test_samples_of_samples():
    x = [t.detach() for t in inputs(2, 4)]
    z, gradients = vjp(solve_ode, *x)
    w = torch.stack([cotangents(3, z), cotangents(3, 2 * z).flip(0)])
    each = [torch.stack(parts) for parts in zip(*[gradients(row) for row in w.flatten(0, 1)])]
    found = vmap(vmap(gradients))(w)
    assert_close([gradient.flatten(0, 1) for gradient in found], each)
    # The inner samples share the inputs, the outer ones have their own.
    cs = torch.stack([x[0], 1.1 * x[0]])

    def of_rows(c, rows):
        return vmap(vjp(solve_ode, c, *x[1:])[1])(rows)

    found = vmap(of_rows)(cs, w)
    each = [of_rows(c, rows) for c, rows in zip(cs, w)]
    assert_close(found, [torch.stack(parts) for parts in zip(*each)])


def test_no_samples():
    c, *others = inputs(1, requires_grad=False)
    z, gradient = vjp(lambda c: solve_ode(c, *others), c)
    assert vmap(gradient)(z.new_empty(0, *z.shape))[0].shape == (0, *c.shape)
    with pytest.raises(ValueError, match="at least one system"):
        vmap(lambda c: solve_ode(c, *others))(c.new_empty(0, *c.shape))


def test_jacobians_have_derivatives():
    x = inputs(1, 4)

    def f(*x):
        return solve_ode(*x)[..., 0].sin()

    def loss(*x):
        return f(*x).square().sum()

    def of_jacobian(found):
        return torch.autograd.grad(sum(part.sin().sum() for part in found), x)

    expected = jacobian(f, x, create_graph=True)
    once = of_jacobian(expected)
    for found in (
        jacobian(f, x, create_graph=True, vectorize=True),
        jacrev(f, argnums=(0, 1, 2, 3))(*x),
    ):
        assert all(torch.allclose(a, b, rtol=1e-12) for a, b in zip(found, expected))
        for a, b in zip(of_jacobian(found), once):
            assert torch.allclose(a, b, rtol=1e-9, atol=1e-9)
    for rows in zip(hessian(loss, x, vectorize=True), hessian(loss, x)):
        assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-9) for a, b in zip(*rows))


def test_jacobians_in_forward_mode_by_the_vmap_of_autograd():
    x = inputs(2, 4)

    def f(*x):
        return solve_ode(*x)[..., 0].sin()

    def loss(*x):
        return f(*x).square().sum()

    found = jacobian(f, x, vectorize=True, strategy="forward-mode")
    assert all(torch.allclose(a, b, rtol=1e-12) for a, b in zip(found, jacobian(f, x)))
    found = hessian(loss, x, vectorize=True, outer_jacobian_strategy="forward-mode")
    for rows in zip(found, hessian(loss, x)):
        assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-9) for a, b in zip(*rows))


def test_batched_cotangents_in_another_thread():
    # As those of CUDA tensors: their backward pass has a thread of its own, which is in no vmap.
    x = inputs(2)
    z = solve_ode(*x)
    w = cotangents(5, z)

    def gradients(row):
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(
                lambda: torch.autograd.grad(z, x, row, retain_graph=True)
            ).result()

    assert_close(_vmap(gradients)(w), one_after_the_other(z, x, w))


def test_jacobians_of_each_sample():
    c, b, v, s = inputs(1, requires_grad=False)
    cs = torch.stack([c, 1.1 * c, 0.9 * c])
    jacobians = jacrev(lambda c, s: solve_ode(c, b, v, s)[..., 0], argnums=(0, 1))
    mapped = vmap(jacobians, in_dims=(0, None))(cs, s)
    each = [jacobians(c, s) for c in cs]
    assert_close(mapped, [torch.stack(parts) for parts in zip(*each)])


def test_systems_that_were_not_solved_have_zero_gradients_in_copies():
    x = inputs(3, shared=(0, 1, 0, 0))
    with torch.no_grad():
        x[3][1, 2] = 0.0
    z = solve_ode(*x, check="ignore")
    w = cotangents(10, z)
    found = torch.autograd.grad(z, x, w, is_grads_batched=True, retain_graph=True)
    assert_close(found, one_after_the_other(z, x, w))
    assert all((found[i][:, 1] == 0).all() for i in (0, 2, 3))
