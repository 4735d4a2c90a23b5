"""The operators of PyTorch: the solve and its derivatives, on inputs with one leading axis, (B or
1, ...).

Each of them is a Function of autograd, for eager code and ``torch.func``:

* ``_Solve``: z of the inputs x. Backward is ``_Vjp``, forward mode ``_Jvp``.
* ``_Vjp``: Jᵀw, the gradients of the inputs from the cotangent w of z.
* ``_Jvp``: J d, the derivative of z along the directions d of the inputs.
* ``_Second``: ∇ₓ⟨w, J d⟩, which the derivatives of the two before are made of, because second
  derivatives commute.

For ``torch.compile``, which looks into Functions and cannot follow them into native code, solve and vjp
are also operators of their own (``torch.ops.mechanistic``), and so is the Function that is made of these.

The factor of a solve goes from one to the next as the *token*, a tensor of one int64: the number of
the factor, in memory that keeps it. Where a token is a mere copy and its factor is gone, the problem
is solved once more.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _native, _options, _status
from . import _second

Maybe = Tensor | None
Inputs = Sequence[Tensor]


def solve(
    c: Tensor, b: Tensor, v: Tensor, s: Tensor, systems: int, points: int, extra: int, key: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns values (B, N, K, Q), epsilon (B) and status (B). The steps may have no axis of the
    states."""
    if torch.compiler.is_compiling():
        operator = torch.ops.mechanistic.traced_solve.default
    else:
        operator = _Solve.apply if _is_transformed() else _PlainSolve.apply
    z, epsilon, status, _ = operator(c, b, v, s, systems, points, extra, key)
    return z, epsilon, status


# --- calls of the native solver ------------------------------------------------------------------


def _sizes(inputs: Inputs, systems: int, points: int, extra: int) -> Any:
    c, b, v, s = inputs
    steps = tuple(s.shape) if s.dim() == 3 else (*s.shape, 1)
    return (systems, points, extra, tuple(c.shape), tuple(b.shape), tuple(v.shape), steps)


def _addresses(tensors: Sequence[Maybe]) -> tuple[int, ...]:
    return tuple([0 if x is None else x.data_ptr() for x in tensors])


def _location(x: Tensor, wait: bool = False) -> tuple[int, int, bool] | int:
    """Returns where a tensor lies, as the native solver takes it: the number of the CUDA device, its
    present stream, and whether to wait for the statuses; or on the CPU, how many threads PyTorch
    computes on in this thread."""
    if x.is_cpu:
        return torch.get_num_threads()
    return x.device.index, int(torch.cuda.current_stream(x.device).cuda_stream), wait


def _dense(x: Maybe) -> Maybe:
    """Returns the tensor in row-major order, with its signs in memory, at an address that is a
    multiple of the size of its numbers.

    What is returned may be a copy: keep it in a variable for as long as its address is in use.
    """
    if x is None:
        return None
    x = x.contiguous().resolve_neg()
    return x.clone() if x.data_ptr() % x.element_size() else x


def _empty_solution(c: Tensor, systems: int, points: int, extra: int) -> tuple[Tensor, Tensor]:
    z = c.new_empty(systems, points, c.shape[3], c.shape[4] + extra)
    return z, c.new_empty(systems)


def _solve_now(
    c: Tensor, b: Tensor, v: Tensor, s: Tensor, systems: int, points: int, extra: int, key: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs = [_dense(x) for x in (c, b, v, s)]
    native, options = _options.parse(key)
    z, epsilon = _empty_solution(c, systems, points, extra)
    status = c.new_empty(systems, dtype=torch.int32)
    factor, failed = _native.solve(
        c.dtype == torch.float64,
        _sizes((c, b, v, s), systems, points, extra),
        native,
        _addresses(inputs),
        (z.data_ptr(), epsilon.data_ptr(), status.data_ptr()),
        # A caller whom the statuses do not concern does not wait for the device.
        _location(c, wait=options.check != "ignore"),
    )
    if failed:
        _status.report(factor, options.check)
    return z, epsilon, status, torch.from_numpy(np.asarray(factor))


def _factor(
    inputs: Sequence[Tensor], token: Tensor, systems: int, points: int, extra: int, key: str
) -> _native.Factor:
    """Returns the factor of a token, or that of a new solve where it is gone."""
    native, _ = _options.parse(key)
    sizes = _sizes(inputs, systems, points, extra)
    double = inputs[0].dtype == torch.float64
    c = inputs[0]
    device = None if c.is_cpu else c.device.index
    factor = _native.find(int(token.item()), double, sizes, native, device)
    if factor is None:
        factor, _ = _solve_again(inputs, systems, points, extra, key)
    return factor


def _solve_again(
    inputs: Sequence[Tensor], systems: int, points: int, extra: int, key: str
) -> tuple[_native.Factor, tuple[Tensor, Tensor]]:
    """Returns the factor of a new solve, and its values and epsilon."""
    native, _ = _options.parse(key)
    c = inputs[0]
    z, epsilon = _empty_solution(c, systems, points, extra)
    status = c.new_empty(systems, dtype=torch.int32)
    factor, _ = _native.solve(
        c.dtype == torch.float64,
        _sizes(inputs, systems, points, extra),
        native,
        _addresses(inputs),
        (z.data_ptr(), epsilon.data_ptr(), status.data_ptr()),
        _location(c),
    )
    return factor, (z, epsilon)


def _vjp_now(
    c: Tensor,
    b: Tensor,
    v: Tensor,
    s: Tensor,
    token: Tensor,
    w: Tensor,
    w_epsilon: Tensor | None,
    needs: int,
    systems: int,
    points: int,
    extra: int,
    key: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs: list[Any] = [_dense(x) for x in (c, b, v, s)]
    gradients = [
        torch.empty_like(x) if needs >> i & 1 else x.new_empty(0) for i, x in enumerate(inputs)
    ]
    cotangent = [_dense(w), _dense(w_epsilon)]
    _factor(inputs, token, systems, points, extra, key).vjp(
        _addresses(inputs),
        _addresses(cotangent),
        tuple([x.data_ptr() if needs >> i & 1 else 0 for i, x in enumerate(gradients)]),
        _location(c),
    )
    return gradients[0], gradients[1], gradients[2], gradients[3]


def _jvp_now(
    c: Tensor,
    b: Tensor,
    v: Tensor,
    s: Tensor,
    token: Tensor,
    dc: Maybe,
    db: Maybe,
    dv: Maybe,
    ds: Maybe,
    systems: int,
    points: int,
    extra: int,
    key: str,
) -> tuple[Tensor, Tensor]:
    inputs: list[Any] = [_dense(x) for x in (c, b, v, s)]
    directions = [_dense(x) for x in (dc, db, dv, ds)]
    z, epsilon = _empty_solution(c, systems, points, extra)
    _factor(inputs, token, systems, points, extra, key).jvp(
        _addresses(inputs), _addresses(directions), _addresses((z, epsilon)), _location(c)
    )
    return z, epsilon


def _second_now(
    c: Tensor,
    b: Tensor,
    v: Tensor,
    s: Tensor,
    token: Tensor,
    dc: Maybe,
    db: Maybe,
    dv: Maybe,
    ds: Maybe,
    w: Maybe,
    w_epsilon: Maybe,
    systems: int,
    points: int,
    extra: int,
    key: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs: list[Any] = [_dense(x) for x in (c, b, v, s)]
    directions: list[Any] = [
        torch.zeros_like(x) if d is None else _dense(d) for x, d in zip(inputs, (dc, db, dv, ds))
    ]
    # The values are needed too, which no factor keeps.
    factor, (z, epsilon) = _solve_again(inputs, systems, points, extra, key)
    cotangent: Any = (
        torch.zeros_like(z) if w is None else _dense(w),
        torch.zeros_like(epsilon) if w_epsilon is None else _dense(w_epsilon),
    )
    addresses, location = _addresses(inputs), _location(c)
    g = torch.empty_like(z), torch.empty_like(epsilon)
    factor.inverse(addresses, _addresses(cotangent), _addresses(g), location)
    dz = torch.empty_like(z), torch.empty_like(epsilon)
    factor.jvp(addresses, _addresses(directions), _addresses(dz), location)
    native, options = _options.parse(key)
    own, left = _second.own_part(
        inputs, directions, (z, epsilon), dz, g, native, options, extra
    )
    gradients = [torch.empty_like(x) for x in inputs]
    left_over = [_dense(x) for x in left]
    factor.vjp(addresses, _addresses(left_over), _addresses(gradients), location)
    total = [gradient + part for gradient, part in zip(gradients, own)]
    return total[0], total[1], total[2], total[3]


def _share_threads() -> None:
    """Lets large solves run on the threads of OpenMP that PyTorch's own operations run on: while these
    wait for the next one, they leave no room for others.

    Which OpenMP that is, the dynamic linker has chosen: what the whole process sees goes before what
    PyTorch brings along."""
    if sys.platform != "linux" or not torch.backends.openmp.is_available():  # type: ignore[no-untyped-call]
        return
    for library in (None, torch._C.__file__):
        try:
            parallel = ctypes.CDLL(library).GOMP_parallel
        except (OSError, AttributeError):
            continue
        _native.use_openmp(ctypes.cast(parallel, ctypes.c_void_p).value or 0)
        return


_share_threads()


# --- vmap ----------------------------------------------------------------------------------------

# The kinds of results: the number of the input that a gradient belongs to, or one of these.
_PART, _TOKEN = -1, -2


def _vmap(
    operator: Callable[..., Any],
    kinds: Sequence[int],
    place: int,
    info: Any,
    in_dims: Sequence[int | None],
    *arguments: Any,
) -> tuple[Any, Any]:
    """Applies an operator to samples along another axis: all at once, as one larger batch; or one
    after the other, with the same factor, if only cotangents or directions differ. The first four
    arguments are the inputs, and the one at ``place`` is B."""
    width, systems = info.batch_size, arguments[place]
    token = 4 if place > 4 else None
    tensors = [i for i, x in enumerate(arguments) if isinstance(x, Tensor) and i != token]
    moved = list(arguments)
    for i in tensors:
        dim = in_dims[i]
        moved[i] = arguments[i][None] if dim is None else arguments[i].movedim(dim, 0)
    if all(dim is None for dim in in_dims[:4]):
        samples = []
        for sample in range(width):
            of_sample = list(arguments)
            for i in tensors:
                of_sample[i] = moved[i][0 if in_dims[i] is None else sample]
            samples.append(operator(*of_sample))
        return tuple(torch.stack(parts) for parts in zip(*samples)), (0,) * len(kinds)
    own = [moved[i].shape[1] for i in range(4)]
    for i in tensors:
        rest = moved[i].shape[2:]
        moved[i] = moved[i].expand(width, systems, *rest).reshape(width * systems, *rest)
    moved[place] = width * systems
    results = []
    for kind, x in zip(kinds, operator(*moved)):
        if kind == _TOKEN:
            results.append(x)
        elif x.shape[0] == 0:  # A gradient that is not needed.
            results.append(x.new_empty(width, 0))
        else:
            x = x.reshape(width, systems, *x.shape[1:])
            results.append(x.sum(1, keepdim=True) if kind >= 0 and own[kind] < systems else x)
    return tuple(results), tuple(None if kind == _TOKEN else 0 for kind in kinds)


# --- Functions of autograd -----------------------------------------------------------------------

# Functions for `torch.func` have a `setup_context`, and PyTorch looks at the signature of their `forward`
# in every call, which takes longer than a small solve: hence `*arguments`, and a plain Function where
# nothing is transformed. Where PyTorch no longer tells, all goes the longer way.
_is_transformed: Callable[[], bool] = getattr(
    torch._C, "_are_functorch_transforms_active", lambda: True
)


def _needed(ctx: Any) -> int:
    return sum(1 << i for i in range(4) if ctx.needs_input_grad[i])


class _Solve(torch.autograd.Function):
    """(c, b, v, s, B, N, extra, key) → (z, ε, status, token)."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return _solve_now(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output[2], output[3])
        ctx.save_for_backward(*inputs[:4], output[3])
        ctx.save_for_forward(*inputs[:4], output[3])
        ctx.constants = inputs[4:]
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, w: Maybe, w_epsilon: Maybe, *_: Any) -> Any:
        # Without a graph of the backward pass there is nothing to differentiate or to transform.
        plain = not (torch.is_grad_enabled() or _is_transformed())
        return _solve_backward(ctx, _vjp_now if plain else _Vjp.apply, w, w_epsilon)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        dz, depsilon = _Jvp.apply(*ctx.saved_tensors, *tangents[:4], *ctx.constants)
        return dz, depsilon, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return _vmap(_Solve.apply, (_PART, _PART, _PART, _TOKEN), 4, info, in_dims, *arguments)


class _PlainSolve(torch.autograd.Function):
    """``_Solve`` where nothing is transformed by ``torch.func``."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Any:
        output = _solve_now(*arguments)
        _Solve.setup_context(ctx, arguments, output)
        return output

    backward = staticmethod(_Solve.backward)
    jvp = staticmethod(_Solve.jvp)


def _solve_backward(ctx: Any, vjp: Callable[..., Any], w: Maybe, w_epsilon: Maybe) -> Any:
    if w is None and w_epsilon is None:
        return (None,) * 8
    *inputs, token = ctx.saved_tensors
    systems, points, extra, _ = ctx.constants
    if w is None:
        w = _zeros_like_solution(inputs[0], systems, points, extra)
    gradients = vjp(*inputs, token, w, w_epsilon, _needed(ctx), *ctx.constants)
    wanted = (x if ctx.needs_input_grad[i] else None for i, x in enumerate(gradients))
    return (*wanted, None, None, None, None)


def _zeros_like_solution(c: Tensor, systems: int, points: int, extra: int) -> Tensor:
    return c.new_zeros(systems, points, c.shape[3], c.shape[4] + extra)


class _Vjp(torch.autograd.Function):
    """(c, b, v, s, token, w, w_ε, needs, B, N, extra, key) → gradients of c, b, v, s."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return _vjp_now(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _vjp_context(ctx, inputs, output)
        ctx.save_for_forward(*inputs[:7])

    @staticmethod
    def backward(ctx: Any, *directions: Any) -> Any:
        return _vjp_backward(ctx, *directions)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        inputs, token, w, w_epsilon = _saved_of_vjp(ctx)
        needs, constants = ctx.constants[0], ctx.constants[1:]
        second = _Second.apply(*inputs, token, *tangents[:4], w, w_epsilon, *constants)
        dw, dw_epsilon = tangents[5], tangents[6]
        if dw is not None or dw_epsilon is not None:
            dw = _zeros_like_solution(inputs[0], *constants[:3]) if dw is None else dw
            first = _Vjp.apply(*inputs, token, dw, dw_epsilon, needs, *constants)
            second = [a + b if needs >> i & 1 else a for i, (a, b) in enumerate(zip(second, first))]
        empty = [x.new_empty(0) for x in inputs]
        return tuple([x if needs >> i & 1 else empty[i] for i, x in enumerate(second)])

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return _vmap(_Vjp.apply, (0, 1, 2, 3), 8, info, in_dims, *arguments)


def _vjp_context(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*inputs[:7])
    ctx.constants = inputs[7:]
    ctx.set_materialize_grads(False)


def _saved_of_vjp(ctx: Any) -> tuple[Any, Tensor, Tensor, Maybe]:
    *inputs, token, w, w_epsilon = ctx.saved_tensors
    return inputs, token, w, w_epsilon


def _vjp_backward(ctx: Any, *directions: Any) -> Any:
    inputs, token, w, w_epsilon = _saved_of_vjp(ctx)
    needs, constants = ctx.constants[0], ctx.constants[1:]
    wanted = [d if needs >> i & 1 else None for i, d in enumerate(directions)]
    nothing = (None,) * 12
    if all(d is None for d in wanted):
        return nothing
    second: Sequence[Maybe] = (None,) * 4
    if any(ctx.needs_input_grad[:4]):
        second = _Second.apply(*inputs, token, *wanted, w, w_epsilon, *constants)
    dz: Sequence[Maybe] = (None, None)
    if any(ctx.needs_input_grad[5:7]):
        dz = _Jvp.apply(*inputs, token, *wanted, *constants)
    gradients = (*second, None, *dz, *nothing[7:])
    return tuple([x if need else None for x, need in zip(gradients, ctx.needs_input_grad)])


class _Jvp(torch.autograd.Function):
    """(c, b, v, s, token, dc, db, dv, ds, B, N, extra, key) → (dz, dε)."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return _jvp_now(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs[:9])
        ctx.constants = inputs[9:]
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, w: Maybe, w_epsilon: Maybe) -> Any:
        saved = ctx.saved_tensors
        inputs, token, directions = saved[:4], saved[4], saved[5:9]
        if w is None and w_epsilon is None:
            return (None,) * 13
        second: Sequence[Maybe] = (None,) * 4
        if any(ctx.needs_input_grad[:4]):
            second = _Second.apply(*inputs, token, *directions, w, w_epsilon, *ctx.constants)
        needs = sum(1 << i for i in range(4) if ctx.needs_input_grad[5 + i])
        first: Sequence[Maybe] = (None,) * 4
        if needs:
            w = _zeros_like_solution(inputs[0], *ctx.constants[:3]) if w is None else w
            first = _Vjp.apply(*inputs, token, w, w_epsilon, needs, *ctx.constants)
        gradients = (*second, None, *first, None, None, None, None)
        return tuple([x if need else None for x, need in zip(gradients, ctx.needs_input_grad)])

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return _vmap(_Jvp.apply, (_PART, _PART), 9, info, in_dims, *arguments)


class _Second(torch.autograd.Function):
    """(c, b, v, s, token, dc, db, dv, ds, w, w_ε, B, N, extra, key) → ∇ₓ⟨(w, w_ε), J d⟩."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return _second_now(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise NotImplementedError("the solve has no third derivatives")

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return _vmap(_Second.apply, (0, 1, 2, 3), 11, info, in_dims, *arguments)


# --- operators for torch.compile -----------------------------------------------------------------

# They are defined without `torch.library.custom_op`, whose checks take longer than a small solve, and
# without `torch.library.register_autograd`, whose kernels run in every compiled call although nothing is
# left to differentiate there. What the compiler differentiates is the operator `traced_solve`, of which
# the others are left.


class _TracedSolve(_Solve):
    """``_Solve`` of operators that a compiler records instead of looking into them."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return torch.ops.mechanistic.solve.default(*arguments)

    @staticmethod
    def backward(ctx: Any, w: Maybe, w_epsilon: Maybe, *_: Any) -> Any:
        # With a graph of the backward pass, which is not compiled, it must have derivatives.
        differentiated = torch.is_grad_enabled()
        vjp = _Vjp.apply if differentiated else torch.ops.mechanistic.vjp.default
        return _solve_backward(ctx, vjp, w, w_epsilon)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        kinds = (_PART, _PART, _PART, _TOKEN)
        operator = torch.ops.mechanistic.traced_solve.default
        return _vmap(operator, kinds, 4, info, in_dims, *arguments)


def _traced_solve(
    c: Tensor, b: Tensor, v: Tensor, s: Tensor, systems: int, points: int, extra: int, key: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    solved: tuple[Tensor, Tensor, Tensor, Tensor] = _TracedSolve.apply(
        c, b, v, s, systems, points, extra, key
    )
    return solved


def _define(name: str, keys: Any, work: Callable[..., Any]) -> None:
    schema = torch.library.infer_schema(work, mutates_args=())
    torch.library.define(name, schema, tags=torch.Tag.pt2_compliant_tag)
    torch.library.impl(name, keys, work)


_define("mechanistic::solve", ("cpu", "cuda"), _solve_now)
_define("mechanistic::vjp", ("cpu", "cuda"), _vjp_now)
_define("mechanistic::traced_solve", "CompositeImplicitAutograd", _traced_solve)


def _fake_solve(
    c: Any, b: Any, v: Any, s: Any, systems: int, points: int, extra: int, key: str
) -> Any:
    z, epsilon = _empty_solution(c, systems, points, extra)
    status = c.new_empty(systems, dtype=torch.int32)
    return z, epsilon, status, torch.empty(1, dtype=torch.int64, device="cpu")


def _fake_vjp(
    c: Any, b: Any, v: Any, s: Any, token: Any, w: Any, w_epsilon: Any, needs: int, *_: Any
) -> Any:
    inputs = (c, b, v, s)
    return tuple([x.new_empty(x.shape if needs >> i & 1 else 0) for i, x in enumerate(inputs)])


torch.library.register_fake("mechanistic::solve", _fake_solve)
torch.library.register_fake("mechanistic::vjp", _fake_vjp)
torch.library.register_vmap("mechanistic::traced_solve", _TracedSolve.vmap)
