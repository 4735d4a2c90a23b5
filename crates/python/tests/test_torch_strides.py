"""Tensors that do not lie row-major, and batches of which an input shares some axes and not others: they are
read where they lie, with the results of row-major copies. CUDA tensors are tested in test_cuda.py."""

import itertools

import pytest
import torch
from problems import inputs

from mechanistic.torch import _calls, solve_ode

DOUBLE = torch.float64


def other_orders(tensors, order):
    """The same values with the axes in another order in memory, and with gaps."""
    found = []
    for x in tensors:
        axes = list(range(x.dim()))
        axes = axes[order % x.dim() :] + axes[: order % x.dim()]
        inverse = [axes.index(i) for i in range(x.dim())]
        wide = torch.full((*[x.shape[i] for i in axes], 3), torch.nan, dtype=x.dtype)
        wide[..., 1] = x.detach().permute(axes)
        found.append(wide[..., 1].permute(inverse).requires_grad_(x.requires_grad))
    return found


def partly_shared(requires_grad=True):
    """Inputs with the leading axes (2, 1), (1, 3), (1, 1) and (3)."""
    c, b, v, s = inputs(batch=6, requires_grad=False)
    found = c[:2, None], b[None, :3], v[:1, None], s[3:]
    return [x.clone().requires_grad_(requires_grad) for x in found]


def whole(x):
    """The same inputs with values for each of the six systems."""
    sizes = zip(x, (4, 2, 3, 1))
    return [y.expand(2, 3, *y.shape[-n:]).reshape(6, *y.shape[-n:]) for y, n in sizes]


@pytest.mark.parametrize("order", range(1, 5))
def test_strides_change_nothing(order):
    dense = inputs()
    strided = other_orders(dense, order)
    assert not any(x.is_contiguous() for x in strided)
    assert all(x is y for x, y in zip(_calls.lend(strided)[0], strided))
    found, expected = solve_ode(*strided), solve_ode(*dense)
    assert torch.equal(found, expected)
    gradients = torch.autograd.grad(found.sin().sum(), strided)
    for x, same in zip(gradients, torch.autograd.grad(expected.sin().sum(), dense)):
        assert torch.equal(x, same)


def test_axes_of_the_batch_may_lie_in_any_order():
    c, b, v, s = inputs(batch=6, requires_grad=False)
    dense = [x.reshape(2, 3, *x.shape[1:]) for x in (c, b, v, s)]
    strided = other_orders(dense, 1)
    assert torch.equal(solve_ode(*strided), solve_ode(*dense))


def test_partly_shared_inputs_are_not_expanded(monkeypatch):
    lend, lent = _calls.lend, []

    def record(inputs):
        found = lend(inputs)
        lent.extend(found[0])
        return found

    monkeypatch.setattr(_calls, "lend", record)
    x = partly_shared()
    found = solve_ode(*x)
    gradients = torch.autograd.grad(found.sin().sum(), x)
    assert [y.numel() for y in lent] == 2 * [y.numel() for y in x]
    assert all(y.data_ptr() == z.data_ptr() for y, z in zip(lent, 2 * x))
    monkeypatch.undo()
    expected = solve_ode(*whole(x))
    assert torch.equal(found, expected.reshape(found.shape))
    same = torch.autograd.grad(expected.sin().sum(), x)
    for a, b in zip(gradients, same):
        assert a.shape == b.shape
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-13)
    again = torch.autograd.grad(solve_ode(*x).sin().sum(), x)
    assert all(torch.equal(a, b) for a, b in zip(gradients, again))


@pytest.mark.parametrize("reorder", [False, True])
def test_derivatives_of_partly_shared_inputs(reorder):
    x = partly_shared()
    x = other_orders(x, 2) if reorder else x
    # Forward mode, and second derivatives, make one axis of the batch.
    assert torch.autograd.gradcheck(solve_ode, x, check_forward_ad=True, check_batched_grad=True)

    def second(solve):
        torch.manual_seed(1)
        z = solve(*x)
        first = torch.autograd.grad(z, x, torch.randn_like(z), create_graph=True)
        return torch.autograd.grad(sum((y * torch.randn_like(y)).sum() for y in first), x)

    # Those of whole inputs are tested against differences elsewhere.
    expected = second(lambda *x: solve_ode(*whole(x)).unflatten(0, (2, 3)))
    for a, b in zip(second(solve_ode), expected):
        assert (a - b).abs().max() <= 1e-12 * b.abs().max()


def test_transformations_and_compilation_take_them():
    x = partly_shared(requires_grad=False)
    expected = solve_ode(*x)
    stacked = [torch.stack([y, 1.1 * y]) for y in x]
    found = torch.func.vmap(solve_ode)(*stacked)
    assert torch.allclose(found[0], expected, rtol=1e-12, atol=1e-12)
    strided = other_orders(x, 2)
    compiled = torch.compile(solve_ode, fullgraph=True)
    assert torch.allclose(compiled(*strided), expected, rtol=1e-12, atol=1e-12)


def test_every_value_of_an_expanded_tensor_has_a_gradient():
    c, b, v, s = inputs(batch=3, shared=(1, 0, 0, 0), requires_grad=False)
    expanded = c.expand(3, *c.shape[1:]).requires_grad_()
    dense = expanded.detach().clone().requires_grad_()
    results = [torch.autograd.grad(solve_ode(x, b, v, s).sin().sum(), x) for x in (expanded, dense)]
    assert torch.equal(*[x for (x,) in results])


def test_the_axis_of_states_of_steps_may_be_anywhere():
    c, b, v, s = inputs(batch=6, requires_grad=False)
    steps = torch.stack([s, 1.2 * s])
    x = c.reshape(2, 3, *c.shape[1:]), b[:3], v[:1, None], steps.movedim(0, -1)[None, :3]
    y = [z.contiguous() for z in x]
    found, expected = [solve_ode(*z, steps_per_state=True) for z in (x, y)]
    assert torch.equal(found, expected)
    assert found.shape == (2, 3, 6, 2, 4)
    for i, j in itertools.product(range(2), range(3)):
        alone = solve_ode(c[3 * i + j], b[j], v[0], steps[:, j].T, steps_per_state=True)
        assert torch.allclose(found[i, j], alone, rtol=1e-12, atol=1e-12)
