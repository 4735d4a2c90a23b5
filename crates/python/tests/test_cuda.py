"""CUDA tensors on the simulated driver: memory and stream of PyTorch by a test double of its tensors."""

import ctypes
import os
import types

import pytest
import torch
from cuda_double import Computing, CudaTensor, load
from problems import ROWS, inputs

import mechanistic
from mechanistic.torch import SolveError, SolveWarning, _calls, solve_ode

pytestmark = pytest.mark.skipif(
    "CUDA_SIM_LIBRARY" not in os.environ, reason="CUDA_SIM_LIBRARY names no simulated driver"
)

#: B, N, and the derivatives beyond those of the equation, of `inputs()`.
SIZES = (3, 6, 1)


@pytest.fixture(scope="module")
def loaded():
    driver = load()
    yield driver
    driver.free_all()


@pytest.fixture
def driver(loaded, monkeypatch):
    """The driver, whose stream is PyTorch's current one; the sanitizers must find nothing."""
    loaded.enter()

    def current_stream(device):
        assert device == torch.device("cuda:0")
        return types.SimpleNamespace(cuda_stream=loaded.stream)

    monkeypatch.setattr(torch.cuda, "current_stream", current_stream)
    # It looks for a GPU of PyTorch's own before anything goes to one.
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    with Computing(loaded):
        yield loaded
    assert loaded.reports() == []


def on_device(driver, tensors):
    return [CudaTensor.of(driver, x.detach()) for x in tensors]


def noise(*shape, dtype=torch.float64, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize("shared", [(0, 0, 0, 0), (1, 0, 0, 1)])
def test_solution_and_derivatives_are_those_of_the_cpu(driver, dtype, tolerance, shared):
    here = [x.detach().to(dtype) for x in inputs(shared=shared)]
    key = mechanistic._options.key(slack=(1.0, 0.5))
    constants = (*SIZES, key)
    z, epsilon, status, token = _calls.solve_now(*here, *constants)
    w, w_epsilon = noise(*z.shape, dtype=dtype), noise(3, dtype=dtype, seed=4)
    directions = [noise(*x.shape, dtype=dtype, seed=5 + i) for i, x in enumerate(here)]
    expected = [
        z,
        epsilon,
        *_calls.vjp_now(*here, token, w, w_epsilon, 15, *constants),
        *_calls.jvp_now(*here, token, *directions, *constants),
        *_calls.second_now(*here, *directions, w, w_epsilon, *constants),
    ]

    there, moved = on_device(driver, here), on_device(driver, directions)
    z, epsilon, status, token = _calls.solve_now(*there, *constants)
    w, w_epsilon = on_device(driver, (w, w_epsilon))
    found = [
        z,
        epsilon,
        *_calls.vjp_now(*there, token, w, w_epsilon, 15, *constants),
        *_calls.jvp_now(*there, token, *moved, *constants),
        *_calls.second_now(*there, *moved, w, w_epsilon, *constants),
    ]
    assert len(found) == len(expected) == 12
    for one, other in zip(found, expected):
        assert isinstance(one, CudaTensor)
        scale = float(other.abs().max()) + 1e-30
        assert float((one.host() - other).abs().max()) <= tolerance * scale
    assert status.host().tolist() == [0, 0, 0]


@pytest.mark.parametrize("shared", [(0, 0, 0, 0), (1, 0, 0, 1)])
def test_several_derivatives_of_one_factor_are_those_of_the_cpu(driver, shared):
    here = [x.detach() for x in inputs(shared=shared)]
    constants = (*SIZES, mechanistic._options.key(slack=(1.0, 0.5)))
    w, w_epsilon = noise(4, 3, 6, 2, 4), noise(4, 3, seed=4)
    directions = [noise(4, *x.shape, seed=5 + i) for i, x in enumerate(here)]

    def derivatives(tensors, w, w_epsilon, c, _, v, s):
        *_, token = _calls.solve_now(*tensors, *constants)
        return [
            *_calls.vjp_now(*tensors, token, w, w_epsilon, 0b1011, *constants),
            *_calls.jvp_now(*tensors, token, c, None, v, s, *constants),
        ]

    found = derivatives(on_device(driver, here), *on_device(driver, (w, w_epsilon, *directions)))
    for one, other in zip(found, derivatives(here, w, w_epsilon, *directions), strict=True):
        assert isinstance(one, CudaTensor) and one.shape == other.shape
        if other.numel():
            assert float((one.host() - other).abs().max()) <= 1e-10 * float(other.abs().max())


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("options", [{}, {"slack": (1.0, 0.5)}, {"periodic": True}])
def test_second_derivatives_of_autograd_are_those_of_the_cpu(driver, rows, options):
    here = inputs(shared=(0, 1, 0, 1))

    def derivatives(tensors):
        z = solve_ode(*tensors, smoothness=rows, **options)
        first = torch.autograd.grad((z * z).sum(), tensors, create_graph=True)
        return torch.autograd.grad(sum((x * x).sum() for x in first), tensors)

    there = [x.requires_grad_() for x in on_device(driver, here)]
    for one, other in zip(derivatives(there), derivatives(here)):
        assert isinstance(one, CudaTensor)
        assert float((one.host() - other).abs().max()) <= 1e-8 * float(other.abs().max())


def test_a_system_that_cannot_be_solved_has_no_second_derivatives(driver):
    here = [x.detach() for x in inputs()]
    here[3][1, 2] = -1.0
    constants = (*SIZES, mechanistic._options.key(check="ignore"))
    w = noise(3, 6, 2, 4)
    directions = [noise(*x.shape, seed=5 + i) for i, x in enumerate(here)]

    def second(tensors, moved, w):
        return _calls.second_now(*tensors, *moved, w, None, *constants)

    found = second(on_device(driver, here), on_device(driver, directions), CudaTensor.of(driver, w))
    for one, other in zip(found, second(here, directions, w)):
        assert torch.equal(one.host()[1], torch.zeros_like(other[1]))
        assert torch.allclose(one.host(), other, rtol=1e-9, atol=1e-9 * float(other.abs().max()))


def test_gradients_that_nobody_needs_are_not_computed(driver):
    there = on_device(driver, inputs())
    constants = (*SIZES, mechanistic._options.key())
    z, _, _, token = _calls.solve_now(*there, *constants)
    w = CudaTensor.of(driver, noise(*z.shape))
    all_four = _calls.vjp_now(*there, token, w, None, 0b1111, *constants)
    two = _calls.vjp_now(*there, token, w, None, 0b1001, *constants)
    assert [x.numel() for x in two] == [all_four[0].numel(), 0, 0, all_four[3].numel()]
    assert torch.equal(two[0].host(), all_four[0].host())
    assert torch.equal(two[3].host(), all_four[3].host())


def test_solve_ode_takes_cuda_tensors(driver):
    here = [x.detach() for x in inputs(shared=(1, 1, 1, 0))]
    solution = solve_ode(*on_device(driver, here), full=True)
    expected = solve_ode(*here, full=True)
    for one, other in zip(solution, expected):
        assert one.device == torch.device("cuda:0") and one.dtype == other.dtype
        assert torch.allclose(one.host(), other, atol=1e-11)


def test_strides_and_axes_of_the_batch_are_read_where_they_lie(driver):
    c, b, v, s = [x.detach() for x in inputs(batch=6)]
    step_first = [x.transpose(0, 1).contiguous().transpose(0, 1) for x in (c, b, s)]
    found = solve_ode(*[CudaTensor.lying(driver, x) for x in (*step_first[:2], v, step_first[2])])
    assert torch.equal(found.host(), solve_ode(*on_device(driver, [c, b, v, s])).host())

    # Leading axes (2, 1), (1, 3), (1, 1) and (2, 3), the last of which lies the other way round.
    c, b, v = c[:2, None], b[None, :3], v[:1, None]
    s = s.reshape(2, 3, -1)
    other_way = s.transpose(0, 1).contiguous().transpose(0, 1)
    there = [CudaTensor.lying(driver, x) for x in (c, b, v, other_way)]
    sizes = zip((c, b, v, s), (4, 2, 3, 1))
    whole = [x.expand(2, 3, *x.shape[-n:]).reshape(6, *x.shape[-n:]) for x, n in sizes]
    expected = solve_ode(*on_device(driver, whole)).host()
    assert torch.equal(solve_ode(*there).host(), expected.reshape(2, 3, *expected.shape[1:]))


def test_streams_may_change_between_calls(driver):
    here = [x.detach() for x in inputs()]
    expected = solve_ode(*here)
    for stream in (driver.stream, driver.new_stream(), 0):
        driver.stream = stream
        assert torch.allclose(solve_ode(*on_device(driver, here)).host(), expected, atol=1e-11)
    driver.stream = driver.new_stream()


def test_a_missing_order_of_streams_shows(driver, monkeypatch):
    here = [x.detach() for x in inputs()]
    other = types.SimpleNamespace(cuda_stream=driver.new_stream())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: other)
    # The tensors are made and read on a stream that the solve does not hear of.
    found = solve_ode(*on_device(driver, here), check="ignore").host()
    assert not torch.allclose(found, solve_ode(*here), atol=1e-2)


def test_systems_that_cannot_be_solved(driver):
    here = [x.detach() for x in inputs()]
    here[3][1, 2] = -1.0
    here[0][2, 0, 0, 0, 0] = torch.nan
    there = on_device(driver, here)
    message = r"2 of 3 systems were not solved \(system 1: step 2 is not positive; system 2: "
    with pytest.raises(SolveError, match=message):
        solve_ode(*there)
    with pytest.warns(SolveWarning, match=message):
        solve_ode(*there, check="warn")
    solution = solve_ode(*there, check="ignore", full=True)
    assert solution.status.host().tolist() == [0, 2, 1]
    assert solution.values.host().isnan().any((1, 2, 3)).tolist() == [False, True, True]


def test_mixed_devices_and_options_that_a_device_lacks_are_named(driver):
    here = [x.detach() for x in inputs()]
    there = on_device(driver, here)
    with pytest.raises(TypeError, match="rhs: on cpu, but coefficients on cuda:0"):
        solve_ode(there[0], here[1], *there[2:])
    with pytest.raises(TypeError, match="steps: on cuda:0, but coefficients on cpu"):
        solve_ode(*here[:3], there[3])
    with pytest.raises(ValueError, match="follow_growth"):
        solve_ode(*there, follow_growth=True)
    with pytest.raises(NotImplementedError, match="coefficients: on meta"):
        solve_ode(*(torch.empty(x.shape, dtype=x.dtype, device="meta") for x in here))


def test_solvers_are_kept_and_go(driver):
    mechanistic.clear_cache()
    there = on_device(driver, inputs())
    solve_ode(*there)
    assert mechanistic.cache_info()[0] == 1
    solve_ode(*there)
    assert mechanistic.cache_info()[0] == 1
    context = driver.current_context()
    mechanistic.clear_cache()
    assert mechanistic.cache_info() == (0, 0)
    assert driver.current_context() == context


def test_a_graph_captures_a_solve_and_its_gradients(driver):
    here = [x.detach() for x in inputs()]
    there = on_device(driver, here)
    key = mechanistic._options.key(check="ignore")
    w = CudaTensor.of(driver, torch.ones(3, 6, 2, 4, dtype=torch.float64))

    def work():
        z, _, _, token = _calls.solve_now(*there, *SIZES, key)
        return z, token, _calls.vjp_now(*there, token, w, None, 15, *SIZES, key)

    work()  # As PyTorch asks for before a capture: the solver is there then.
    stream, relaxed = ctypes.c_void_p(driver.stream), ctypes.c_int(2)
    graph, instance = ctypes.c_void_p(), ctypes.c_void_p()
    driver.call("cuStreamBeginCapture_v2", stream, relaxed)
    z, token, gradients = work()
    driver.call("cuStreamEndCapture", stream, ctypes.byref(graph))
    flags = ctypes.c_uint64(0)
    driver.call("cuGraphInstantiateWithFlags", ctypes.byref(instance), graph, flags)
    for factor in (1.0, 2.0):
        there[1].driver.upload(there[1].memory, (factor * here[1]).numpy())
        driver.call("cuGraphLaunch", instance, stream)
        changed = [x.requires_grad_() for x in (here[0], factor * here[1], here[2], here[3])]
        expected = solve_ode(*changed)
        assert torch.allclose(z.host(), expected, atol=1e-11)
        wanted = torch.autograd.grad(expected.sum(), changed)
        for one, other in zip(gradients, wanted):
            assert torch.allclose(one.host(), other, atol=1e-9)
