"""The operation of PyTorch: values, shapes, types, failures, and the ways in which it is used."""

import copy
import math
import pickle

import pytest
import torch
from problems import inputs
from torch.utils.checkpoint import checkpoint

import mechanistic
from mechanistic import Status
from mechanistic.torch import OdeLayer, Solution, SolveError, SolveWarning, _calls, solve_ode

DOUBLE = torch.float64


def test_an_oscillation_is_solved_to_fourth_order():
    def error(points):
        coefficients = torch.tensor([4.0, 0.0, 1.0], dtype=DOUBLE).reshape(1, 1, 1, 3)
        rhs = torch.zeros(1, 1, dtype=DOUBLE)
        initial = torch.tensor([[[1.0, 0.0]]], dtype=DOUBLE)
        step = torch.tensor([2.0 / (points - 1)], dtype=DOUBLE)
        u = solve_ode(coefficients, rhs, initial, step, points=points)
        exact = torch.cos(2 * torch.linspace(0, 2, points, dtype=DOUBLE))
        return (u[:, 0, 0] - exact).abs().max().item()

    assert error(41) < 1e-5
    assert 12 < error(21) / error(41) < 20


def test_leading_axes_broadcast():
    c, b, v, s = inputs(batch=1, requires_grad=False)
    factors = torch.tensor([1.0, 1.1, 0.9], dtype=DOUBLE)
    shifts = torch.tensor([[0.0], [0.5]], dtype=DOUBLE)
    many_c = c[0] * factors[:, None, None, None, None]
    many_b = b[0] + shifts[..., None, None]
    found = solve_ode(many_c, many_b, v[0], s[0])
    assert found.shape == (2, 3, 6, 2, 4)
    for i in range(2):
        for j in range(3):
            alone = solve_ode(many_c[j], many_b[i, 0], v[0], s[0])
            assert alone.shape == (6, 2, 4)
            assert torch.allclose(found[i, j], alone, atol=1e-12)


def test_gradients_have_the_shapes_of_broadcast_inputs():
    c, b, v, s = inputs(batch=1, requires_grad=False)
    c = torch.stack([c[0], 1.1 * c[0]]).requires_grad_()
    b = torch.stack([b, 2 * b, 3 * b]).requires_grad_()
    v, s = v[0].clone().requires_grad_(), s[0].clone().requires_grad_()
    solve_ode(c, b, v, s).sin().sum().backward()
    summed = [torch.zeros_like(x) for x in (c, b, v, s)]
    for i in range(3):
        for j in range(2):
            x = [c[j], b[i, 0], v, s]
            gradients = torch.autograd.grad(solve_ode(*x).sin().sum(), x)
            summed[0][j] += gradients[0]
            summed[1][i, 0] += gradients[1]
            summed[2] += gradients[2]
            summed[3] += gradients[3]
    for x, expected in zip((c, b, v, s), summed):
        assert torch.allclose(x.grad, expected, atol=1e-9)


def test_initial_values_may_be_missing():
    c, b, v, s = inputs(requires_grad=False)
    without = solve_ode(c, b, None, s, smoothness="taylor_hold", check="ignore")
    empty = solve_ode(c, b, v[:, :0], s, smoothness="taylor_hold", check="ignore")
    assert torch.equal(without.isnan(), empty.isnan())
    assert torch.equal(without.nan_to_num(), empty.nan_to_num())


def test_strided_and_negated_inputs_are_taken():
    c, b, v, s = inputs(requires_grad=False)
    strided = c.transpose(-1, -2).contiguous().transpose(-1, -2)
    assert not strided.is_contiguous()
    negative = torch._neg_view(-b)
    assert torch.equal(solve_ode(strided, negative, v, s), solve_ode(c, b, v, s))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_other_precisions(dtype):
    stored = [x.detach().to(dtype).requires_grad_() for x in inputs()]
    exact = [x.detach().double().requires_grad_() for x in stored]
    found, expected = solve_ode(*stored), solve_ode(*exact)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), expected, rtol=1e-4, atol=1e-4)
    found.square().sum().backward()
    expected.square().sum().backward()
    digits = torch.finfo(dtype).eps
    for x, y in zip(stored, exact):
        assert x.grad.dtype == dtype
        scale = y.grad.abs().max()
        assert (x.grad.double() - y.grad).abs().max() < max(1e-4, digits) * scale


def test_what_does_not_fit_is_named():
    c, b, v, s = inputs(requires_grad=False)
    with pytest.raises(ValueError, match=r"rhs: expected shape \(B or 1, N or 1, E\)"):
        solve_ode(c, b[..., :1], v, s)
    with pytest.raises(ValueError, match=r"coefficients: expected shape \(\.\.\., N or 1, E, K, Qc\)"):
        solve_ode(c[0, 0], b, v, s)
    with pytest.raises(ValueError, match="initial_values: the leading axes"):
        solve_ode(c, b, v[:2], s)
    with pytest.raises(TypeError, match="steps: expected torch.float64 as coefficients"):
        solve_ode(c, b, v, s.float())
    with pytest.raises(TypeError, match="rhs: on meta, but coefficients on cpu"):
        solve_ode(c, b.to("meta"), v, s)
    with pytest.raises(NotImplementedError, match="coefficients: on meta"):
        solve_ode(*(x.to("meta") for x in (c, b, v, s)))
    with pytest.raises(TypeError, match="coefficients: expected real numbers, got torch.complex"):
        solve_ode(*(x.to(torch.complex128) for x in (c, b, v, s)))
    with pytest.raises(TypeError, match="initial_values: expected a tensor, got list"):
        solve_ode(c, b, [[1.0]], s)
    with pytest.raises(ValueError, match="smoothness: expected one of taylor,"):
        solve_ode(c, b, v, s, smoothness="cubic")
    with pytest.raises(ValueError, match="check: expected one of raise, warn, ignore"):
        solve_ode(c, b, v, s, check="shout")
    with pytest.raises(ValueError, match="weights: must be finite, got nan"):
        solve_ode(c, b, v, s, weights=(math.nan, 1, 1))
    with pytest.raises(ValueError, match="weights.equation: must be finite and not negative"):
        solve_ode(c, b, v, s, weights=(-1, 1, 1))
    with pytest.raises(ValueError, match="weights: expected three or four"):
        solve_ode(c, b, v, s, weights=(1, 1))
    with pytest.raises(TypeError, match="weights: options have no gradients"):
        solve_ode(c, b, v, s, weights=torch.ones(3, requires_grad=True))
    with pytest.raises(TypeError, match="slack: options have no gradients"):
        solve_ode(c, b, v, s, slack=(torch.ones((), requires_grad=True), 0.1))
    with pytest.raises(ValueError, match="points: must not be negative, got -1"):
        solve_ode(c, b, v, s, points=-1)
    with pytest.raises(ValueError, match="extra_derivatives: must not be negative, got -1"):
        solve_ode(c, b, v, s, extra_derivatives=-1)
    with pytest.raises(ValueError, match="points: all inputs are shared"):
        solve_ode(c[:, :1], b[:, :1], v, s[:, :1])


def test_broken_systems_raise_warn_or_are_ignored():
    c, b, v, s = inputs(requires_grad=False)
    broken = b.clone()
    broken[1, 2, 0] = math.nan
    with pytest.raises(SolveError, match="1 of 3 systems were not solved .system 1: not all values of rhs"):
        solve_ode(c, broken, v, s)
    with pytest.warns(SolveWarning, match="1 of 3 systems"):
        solve_ode(c, broken, v, s, check="warn")
    broken.requires_grad_()
    found = solve_ode(c, broken, v, s, check="ignore", full=True)
    assert isinstance(found, Solution)
    assert found.status.tolist() == [Status.OK, Status.NON_FINITE_INPUT, Status.OK]
    assert found.values[1].isnan().all()
    whole = solve_ode(c, b, v, s)
    assert torch.equal(found.values[[0, 2]], whole[[0, 2]])
    found.values[[0, 2]].sum().backward()
    assert broken.grad.isfinite().all() and (broken.grad[1] == 0).all()
    negative = s.clone()
    negative[0, 3] = -0.1
    status = solve_ode(c, b, v, negative, check="ignore", full=True).status
    assert status.tolist() == [Status.INVALID_STEP, Status.OK, Status.OK]


def test_many_failures_are_counted():
    c, b, v, s = inputs(batch=9, requires_grad=False)
    with pytest.raises(SolveError, match="9 of 9 systems .*system 4.*; …"):
        solve_ode(c * math.inf, b, v, s)


def test_several_solves_wait_for_their_backward():
    x = inputs()
    one = solve_ode(*x)
    other = tuple((1.1 * t.detach()).requires_grad_() for t in x)
    solve_ode(*other).sum().backward()
    late = torch.autograd.grad(one.sum(), x, retain_graph=True)
    again = torch.autograd.grad(one.sum(), x)
    fresh = torch.autograd.grad(solve_ode(*x).sum(), x)
    for a, b, c in zip(late, again, fresh):
        assert torch.equal(a, b) and torch.equal(a, c)


def test_solvers_are_used_again():
    x = inputs()
    mechanistic.clear_cache()
    for _ in range(4):
        solve_ode(*x).sum().backward()
    with torch.no_grad():
        solve_ode(*x)
    idle, size = mechanistic.cache_info()
    assert idle == 1 and size > 0
    mechanistic.clear_cache()
    assert mechanistic.cache_info() == (0, 0)


def test_a_factor_that_is_gone_is_computed_again():
    c, b, v, s = (x.detach() for x in inputs())
    key = mechanistic._options.key()
    z, _, _, token = _calls.solve_now(c, b, v, s, 3, 6, 1, key)
    rest = (torch.ones_like(z), None, 15, 3, 6, 1, key)
    expected = _calls.vjp_now(c, b, v, s, token, *rest)
    copied = token.clone()
    del token
    for found, gradient in zip(_calls.vjp_now(c, b, v, s, copied, *rest), expected):
        assert torch.equal(found, gradient)


def test_operators_obey_the_rules_of_pytorch():
    c, b, v, s = inputs()
    key = mechanistic._options.key(smoothness="taylor_hold")
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    # Inputs without gradients, because these two have no derivatives: opcheck does not see that they are
    # used only where nothing is left to differentiate (test_torch_compile.py does). Nor does it compare
    # compiled results: the token is another one in each solve.
    plain = [x.detach() for x in (c, b, v, s)]
    operators = torch.ops.mechanistic
    solve, vjp = operators.solve.default, operators.vjp.default
    torch.library.opcheck(solve, (*plain, 3, 6, 0, key), test_utils=tests)
    z, epsilon, _, token = solve(*plain, 3, 6, 0, key)
    for needs in (15, 5):
        given = (*plain, token, z, epsilon, needs, 3, 6, 0, key)
        torch.library.opcheck(vjp, given, test_utils=tests)
    traced = operators.traced_solve.default
    torch.library.opcheck(traced, (c, b, v, s, 3, 6, 0, key), test_utils=tests)


def test_fork_pickle_and_copies_of_the_layer():
    layer = OdeLayer(smoothness="taylor_hold", weights=(1.0, 10.0, 1.0))
    x = [t.detach() for t in inputs()]
    for other in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
        assert torch.equal(other(*x), layer(*x))
    assert layer.state_dict() == {} and list(layer.parameters()) == []
    assert repr(layer) == "OdeLayer(smoothness='taylor_hold', weights=(1.0, 10.0, 1.0))"
    with pytest.raises(ValueError, match="smoothness"):
        OdeLayer(smoothness="cubic")
    with pytest.raises(ValueError, match="weights.equation: must be finite and not negative"):
        OdeLayer(weights=(-1, 1, 1))
    with pytest.raises(ValueError, match="follow_growth: is not for periodic problems"):
        OdeLayer(follow_growth=True, periodic=True)
    with pytest.raises(TypeError, match="degree"):
        OdeLayer(degree=2)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing(reentrant):
    x = inputs()
    expected = torch.autograd.grad(solve_ode(*x).sum(), x)
    checkpoint(solve_ode, *x, use_reentrant=reentrant).sum().backward()
    for t, gradient in zip(x, expected):
        assert torch.equal(t.grad, gradient)


def test_the_cotangent_of_a_sum_lives_as_long_as_it_is_read():
    x = inputs(batch=200, points=50)
    values = solve_ode(*x)
    expected = torch.autograd.grad(values, x, torch.ones_like(values), retain_graph=True)
    for _ in range(20):
        # The cotangent of a sum has no strides, and a dense copy is made of it.
        found = torch.autograd.grad(values.sum(), x, retain_graph=True)
        for a, b in zip(found, expected):
            assert torch.equal(a, b)


@pytest.mark.parametrize("device", ["meta", "cuda"])
def test_the_default_device_does_not_matter(device):
    c, b, v, s = inputs(batch=2, points=4)

    def derivatives():
        loss = solve_ode(c, b, v, s).sin().sum()
        first = torch.autograd.grad(loss, c, create_graph=True)[0]
        return loss, first, torch.autograd.grad(first.sin().sum(), s)[0]

    expected = derivatives()
    with torch.device(device):
        found = derivatives()
    for a, b in zip(found, expected):
        assert a.device.type == "cpu" and torch.equal(a, b)


def misaligned(x):
    """Returns a copy that begins four bytes after an address that its type allows."""
    memory = bytearray(x.numel() * x.element_size() + 4)
    moved = torch.frombuffer(memory, dtype=x.dtype, offset=4, count=x.numel()).reshape(x.shape)
    moved.copy_(x.detach())
    # Where the memory lies is up to Python.
    return moved, moved.data_ptr() % x.element_size() != 0


def test_misaligned_tensors_are_taken():
    x = inputs(requires_grad=False)
    moved, skewed = zip(*map(misaligned, x))
    assert any(skewed)
    assert torch.equal(solve_ode(*moved), solve_ode(*x))
