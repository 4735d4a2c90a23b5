"""Derivatives through PyTorch: first and second ones, and the transforms of torch.func."""

import pytest
import torch
from problems import ROWS, SHARING, inputs
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

from mechanistic.torch import Solution, solve_ode

SLACK = (0.5, 0.1)
#: A weak row that is not so weak, so that differences of gradients have enough digits.
STIFFER = {"roughness": 0.1}


def solved(*x, **options):
    found = solve_ode(*x, **options, full=True)
    assert isinstance(found, Solution)
    return found


@pytest.mark.parametrize("shared", SHARING)
@pytest.mark.parametrize("rows", ROWS)
def test_gradients_are_those_of_differences(rows, shared):
    assert gradcheck(lambda *x: solve_ode(*x, smoothness=rows), inputs(shared=shared), atol=1e-6)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("options", [{"slack": SLACK}, {"periodic": True}, {"scaling": "balanced"}])
def test_gradients_with_options_are_those_of_differences(rows, options):
    x = inputs(shared=(0, 0, 0, 1))
    assert gradcheck(lambda *x: solved(*x, smoothness=rows, **options)[:2], x, atol=1e-6)


@pytest.mark.parametrize("shared", SHARING)
@pytest.mark.parametrize("rows", ROWS)
def test_second_derivatives_are_those_of_differences(rows, shared):
    x = inputs(batch=2, points=4, shared=shared)
    assert gradgradcheck(lambda *x: solve_ode(*x, smoothness=rows, **STIFFER), x, atol=1e-5)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(
    "options",
    [
        {"slack": SLACK},
        {"periodic": True},
        {"scaling": "balanced"},
        {"weights": (2.0, 3.0, 0.5, 1.5), "periodic": True},
    ],
)
def test_second_derivatives_with_options_are_those_of_differences(rows, options):
    x = inputs(batch=2, points=4, shared=(0, 0, 0, 1))
    options = {"smoothness": rows, **options, **STIFFER}
    assert gradgradcheck(lambda *x: solved(*x, **options)[:2], x, atol=1e-5)


def test_steps_of_each_state_have_gradients():
    c, b, v, s = inputs()
    s = torch.stack([s.detach(), 1.1 * s.detach()], -1).requires_grad_()
    options = {"steps_per_state": True, "smoothness": "taylor_central", "slack": SLACK}
    assert gradcheck(lambda *x: solve_ode(*x, **options), (c, b, v, s), atol=1e-6)
    with torch.no_grad():
        alike = torch.stack([s[..., 0], s[..., 0]], -1)
        one, both = solve_ode(c, b, v, s[..., 0]), solve_ode(c, b, v, alike, steps_per_state=True)
    assert torch.allclose(one, both, atol=1e-12)


def test_third_derivatives_are_refused():
    c, *others = inputs(batch=1, points=4)
    first = torch.autograd.grad(solve_ode(c, *others).sin().sum(), c, create_graph=True)[0]
    second = torch.autograd.grad(first.sin().sum(), c, create_graph=True)[0]
    with pytest.raises(NotImplementedError, match="third derivatives"):
        second.sum().backward()


def test_derivatives_of_growth_are_those_with_fixed_divisors():
    x = inputs(batch=1, points=4)
    first = torch.autograd.grad(
        solve_ode(*x, follow_growth=True).sum(), x[0], create_graph=True
    )[0]
    with pytest.raises(NotImplementedError, match="follow_growth"):
        first.sum().backward()


def test_jvp_is_the_directional_derivative():
    x = inputs(requires_grad=False)
    d = tuple(torch.randn(t.shape, generator=torch.Generator().manual_seed(1)) for t in x)
    d = tuple(t.double() for t in d)

    def f(*x):
        return solve_ode(*x, smoothness="taylor_hold")

    _, tangent = jvp(f, x, d)
    h = 1e-5
    ahead, behind = (f(*(a + side * b for a, b in zip(x, d))) for side in (h, -h))
    assert torch.allclose(tangent, (ahead - behind) / (2 * h), atol=1e-6, rtol=1e-6)
    w = torch.randn_like(tangent)
    gradients = vjp(f, *x)[1](w)
    pairing = sum((a * b).sum() for a, b in zip(gradients, d))
    assert torch.allclose((tangent * w).sum(), pairing, rtol=1e-10)


def test_jacobians_of_both_modes_agree():
    c, b, v, s = inputs(batch=2, requires_grad=False)
    for i, x in enumerate((c, b, v, s)):

        def f(x):
            changed = [c, b, v, s]
            changed[i] = x
            return solve_ode(*changed)[..., 0]

        reverse, forward = jacrev(f)(x), jacfwd(f)(x)
        assert reverse.shape == (*f(x).shape, *x.shape)
        assert torch.allclose(reverse, forward, atol=1e-9)


def test_hessian_is_that_of_differences():
    c, b, v, s = inputs(batch=1, points=4, requires_grad=False)

    def loss(s):
        return solve_ode(c, b, v, s)[..., 0].sin().sum()

    second = hessian(loss)(s)
    assert torch.allclose(jacrev(jacrev(loss))(s), second, atol=1e-9)
    h, rows = 1e-5, []
    for direction in torch.eye(s.shape[1], dtype=torch.float64):
        ahead, behind = (grad(loss)(s + side * direction) for side in (h, -h))
        rows.append((ahead - behind)[0] / (2 * h))
    assert torch.allclose(second[0, :, 0], torch.stack(rows), atol=1e-6)


def test_vmap_solves_all_samples_as_one_batch():
    c, b, v, s = inputs(batch=2, requires_grad=False)
    cs = torch.stack([c, 1.1 * c, 0.9 * c])
    vs = torch.stack([v, -v, 2 * v], 2)

    def f(c, v):
        return solve_ode(c, b, v, s)

    mapped = vmap(f, in_dims=(0, 2))(cs, vs)
    expected = torch.stack([f(c, v) for c, v in zip(cs, vs.unbind(2))])
    assert torch.allclose(mapped, expected, atol=1e-12)
    nested = vmap(vmap(f, in_dims=(0, None)), in_dims=(None, 2))(cs, vs)
    expected = torch.stack([torch.stack([f(c, v) for c in cs]) for v in vs.unbind(2)])
    assert torch.allclose(nested, expected, atol=1e-12)


@pytest.mark.parametrize("shared", SHARING)
def test_gradients_of_each_sample_under_vmap(shared):
    c, b, v, s = inputs(shared=shared, requires_grad=False)
    cs = torch.stack([c, 1.1 * c])

    def loss(c, b, v, s):
        return solve_ode(c, b, v, s).square().sum()

    gradient = grad(loss, argnums=(0, 1, 2, 3))
    mapped = vmap(gradient, in_dims=(0, None, None, None))(cs, b, v, s)
    for sample in range(2):
        for found, expected in zip(mapped, gradient(cs[sample], b, v, s)):
            assert torch.allclose(found[sample], expected, atol=1e-9)
    summed = grad(lambda b: vmap(loss, in_dims=(0, None, None, None))(cs, b, v, s).sum())(b)
    assert torch.allclose(summed, mapped[1].sum(0), atol=1e-9)


def test_second_derivatives_under_vmap():
    c, b, v, s = inputs(batch=1, points=4, requires_grad=False)
    ss = torch.stack([s, 1.1 * s])

    def loss(s):
        return solve_ode(c, b, v, s)[..., 0].sin().sum()

    mapped = vmap(hessian(loss))(ss)
    assert torch.allclose(mapped, torch.stack([hessian(loss)(s) for s in ss]), atol=1e-9)


@pytest.mark.parametrize("fault", ["negative step", "breakdown", "not finite"])
@pytest.mark.parametrize("shared", [(0, 0, 0, 0), (0, 1, 1, 0)])
def test_systems_that_were_not_solved_add_nothing_to_second_derivatives(fault, shared):
    x = inputs(batch=3, points=4, shared=shared)
    with torch.no_grad():
        if fault == "negative step":
            x[3][1, 1] = 0.0
        elif fault == "breakdown":
            x[0][1] = 0.0
        else:
            x[0][1, 0, 0, 0, 0] = torch.inf

    def second(kept, x):
        options = {"smoothness": "taylor", "check": "ignore", "scaling": "balanced"}
        values = solve_ode(*x, **options)[kept]
        assert values.isfinite().all()
        first = torch.autograd.grad(values.sin().sum(), x, create_graph=True)
        return torch.autograd.grad(sum(g.sin().sum() for g in first), x)

    found = second([0, 2], x)
    alone = [(t if t.shape[0] == 1 else t[[0, 2]]).detach().requires_grad_() for t in x]
    expected = second([0, 1], alone)
    for a, b in zip(found, expected):
        assert a.isfinite().all()
        if a.shape[0] == 3:
            assert (a[1] == 0).all()
            a = a[[0, 2]]
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-9)
