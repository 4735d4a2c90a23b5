"""The published solvers' signatures agree with the golden files: values and all gradients."""

import golden
import pytest
import torch

from mechanistic.torch.mechnn import ODEINDLayer, ODESYSLayer
from mechanistic.torch.smnn import ode_forward

PRECISIONS = [(torch.float64, 1e-9), (torch.float32, 1e-5)]


def close(found, expected, tolerance, what):
    assert found.shape == expected.shape, what
    if expected.numel():
        error = (found.double() - expected).abs().max() / max(1.0, expected.abs().max())
        assert error < tolerance, f"{what}: {error:.1e}"


def compare_gradients(inputs, tensors, tolerance):
    for name, x in zip(golden.INPUTS, inputs):
        close(x.grad, tensors[f"grad_{name}"].reshape(x.shape), tolerance, name)


@pytest.mark.parametrize("step_first", [False, True])
@pytest.mark.parametrize("dtype,tolerance", PRECISIONS)
@pytest.mark.parametrize("name", golden.names("ls"))
def test_ode_forward(name, dtype, tolerance, step_first):
    tensors, metadata = golden.load(name)
    inputs = [tensors[key].to(dtype).requires_grad_() for key in golden.INPUTS]
    given = [x.movedim(1, 0) for x in inputs] if step_first else inputs
    u = ode_forward(
        *given,
        n_steps=int(metadata["points"]),
        n_init_var_steps=int(metadata["iv_steps"]),
        is_step_dim_first=step_first,
        weight_equation=float(metadata["weight_equation"]),
        weight_init_var=float(metadata["weight_initial"]),
        weight_smooth=float(metadata["weight_smoothness"]),
        enable_central_smoothness=metadata["smoothness"] == "taylor_central",
    )
    u = u.movedim(0, 1) if step_first else u
    close(u, tensors["solution"], tolerance, "values")
    (u * tensors["cotangent"].to(dtype)).sum().backward()
    compare_gradients(inputs, tensors, tolerance)


def test_frozen_coefficients_have_no_gradients():
    tensors, _ = golden.load("ls_scalar_order2")
    inputs = [tensors[key].requires_grad_() for key in golden.INPUTS]
    u = ode_forward(*inputs, frozen_lhs_cache_version=1)
    (u * tensors["cotangent"]).sum().backward()
    assert inputs[0].grad is None and inputs[3].grad is None
    close(inputs[1].grad, tensors["grad_rhs"], 1e-9, "rhs")


def test_initial_values_of_one_point_are_taken_at_several():
    tensors, _ = golden.load("ls_two_iv_steps")
    c, b, v, s = (tensors[key] for key in golden.INPUTS)
    first = v[:, :1]
    expected = ode_forward(c, b, first.expand(-1, 2, -1, -1), s)
    assert torch.equal(ode_forward(c, b, first, s, n_init_var_steps=2), expected)


@pytest.mark.parametrize("dtype,tolerance", PRECISIONS)
@pytest.mark.parametrize("name", golden.names("eps"))
def test_layer_of_systems(name, dtype, tolerance):
    tensors, metadata = golden.load(name)
    inputs = [tensors[key].to(dtype).requires_grad_() for key in golden.INPUTS]
    c, b, v, s = inputs
    batch, points, states = (int(metadata[key]) for key in ("batch", "points", "states"))
    layer = ODESYSLayer(
        bs=batch,
        order=int(metadata["order"]),
        n_ind_dim=1,
        n_dim=states,
        n_equations=int(metadata["equations"]),
        n_iv=int(metadata["iv_orders"]),
        n_iv_steps=int(metadata["iv_steps"]),
        n_step=points,
        periodic_boundary=metadata["periodic"] == "true",
        solver_dbl=dtype == torch.float64,
        gamma=float(metadata["gamma"]),
        alpha=float(metadata["alpha"]),
    )
    # (B, D, E, N, K, Q) and (B, D, E, N), as the published layer takes them.
    u0, u1, u2, epsilon, u = layer(
        c.transpose(1, 2)[:, None], b.transpose(1, 2)[:, None], v[:, None], s[:, None]
    )
    close(u[:, 0], tensors["solution"], tolerance, "values")
    close(epsilon, tensors["epsilon"], tolerance, "epsilon")
    for j, values in enumerate((u0, u1, u2)):
        assert torch.equal(values, u[..., j])
    (u[:, 0] * tensors["cotangent"]).sum().backward()
    compare_gradients(inputs, tensors, tolerance)


def test_layer_of_independent_equations():
    tensors, metadata = golden.load("eps_scalar_order2")
    c, b, v, s = (tensors[key] for key in golden.INPUTS)
    batch = c.shape[0]
    layer = ODEINDLayer(
        bs=1, order=2, n_ind_dim=batch, n_iv=2, n_step=10, n_iv_steps=1, double_ret=True
    )
    u0, u1, u2, epsilon, steps = layer(
        c.reshape(1, batch, 10, 3), b.reshape(1, batch, 10), v.reshape(1, batch, 1, 2), s[None]
    )
    found = torch.stack([u0, u1, u2], -1)[0]
    close(found, tensors["solution"][:, :, 0], 1e-9, "values")
    close(epsilon, tensors["epsilon"], 1e-9, "epsilon")
    assert torch.equal(steps, s)
    single = ODEINDLayer(bs=1, order=2, n_ind_dim=batch, n_iv=2, n_step=10, n_iv_steps=1)
    assert single(c, b, v, s)[0].dtype == torch.float32


def test_what_the_layers_do_not_have_is_said():
    with pytest.raises(NotImplementedError, match="central_diff"):
        ODEINDLayer(1, 2, 1, 1, 10, 1, central_diff=False)
    with pytest.raises(NotImplementedError, match="device: .* got mps"):
        ODESYSLayer(1, 2, 1, 1, 1, 1, 1, 10, device="mps")
    ODESYSLayer(1, 2, 1, 1, 1, 1, 1, 10, device="cuda:0")
    with pytest.raises(ValueError, match="order: must be at least 2"):
        ODEINDLayer(1, 1, 1, 1, 10, 1)


def test_of_more_initial_values_the_first_are_taken():
    tensors, _ = golden.load("ls_two_iv_steps")
    c, b, v, s = (tensors[key] for key in golden.INPUTS)
    first = ode_forward(c, b, v[:, :1], s)
    assert torch.equal(ode_forward(c, b, v, s, n_init_var_steps=1), first)
    assert not torch.equal(ode_forward(c, b, v, s), first)
    with pytest.raises(ValueError, match="n_init_var_steps: 3, but init_vars has 2 points"):
        ode_forward(c, b, v, s, n_init_var_steps=3)
