"""torch.compile without graph breaks."""

import pytest
import torch
from problems import inputs

from mechanistic.torch import OdeLayer, solve_ode


def loss(c, b, v, s):
    u = solve_ode(c * 2, torch.tanh(b), v, torch.sigmoid(s), smoothness="taylor_hold")
    return u[..., 0].square().sum() + u[..., 1].sin().sum()


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_a_loss_is_compiled_whole(backend):
    x = inputs()
    expected = torch.autograd.grad(loss(*x), x)
    compiled = torch.compile(loss, backend=backend, fullgraph=True)
    for _ in range(3):
        found = torch.autograd.grad(compiled(*x), x)
        for a, b in zip(found, expected):
            assert torch.allclose(a, b, atol=1e-10)


def test_other_sizes_and_a_layer_are_compiled():
    layer = OdeLayer(full=True)

    @torch.compile(backend="aot_eager", fullgraph=True)
    def step(c, b, v, s):
        solution = layer(c, b, v, s)
        return solution.values.sum() + solution.status.sum()

    for points in (6, 7, 8):
        x = inputs(points=points)
        expected = torch.autograd.grad(solve_ode(*x).sum(), x)
        for a, b in zip(torch.autograd.grad(step(*x), x), expected):
            assert torch.allclose(a, b, atol=1e-10)


def test_vmap_is_compiled():
    c, b, v, s = inputs(batch=2, requires_grad=False)
    cs = torch.stack([c, 1.1 * c])
    mapped = torch.func.vmap(lambda c: solve_ode(c, b, v, s))
    compiled = torch.compile(mapped, backend="aot_eager", fullgraph=True)
    assert torch.allclose(compiled(cs), mapped(cs), atol=1e-12)


def test_gradients_through_vmap_are_compiled():
    x = inputs(batch=2)
    cs = torch.stack([x[0].detach(), 1.1 * x[0].detach()]).requires_grad_()

    def loss(cs, b, v, s):
        return torch.func.vmap(lambda c: solve_ode(c, b, v, s))(cs).sin().sum()

    given = (cs, *x[1:])
    expected = torch.autograd.grad(loss(*given), given)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    for a, b in zip(torch.autograd.grad(compiled(*given), given), expected):
        assert torch.allclose(a, b, atol=1e-10)


@pytest.mark.parametrize("inner", [torch.tanh, torch.clone])
def test_second_derivatives_of_a_graph_that_is_not_compiled_further(inner):
    x = inputs()

    def second(f):
        first = torch.autograd.grad(f(*x), x, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), x)

    def f(c, b, v, s):
        return solve_ode(inner(c), b, v, s).sin().sum()

    for a, b in zip(second(torch.compile(f, backend="eager", fullgraph=True)), second(f)):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10)
