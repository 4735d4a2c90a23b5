"""Calls of the native solver with tensors whose inputs have one leading axis, (B or 1, ...), or as many as the
coefficients."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from .. import _native, _options, _status
from . import _second

Maybe = Tensor | None
Inputs = Sequence[Tensor]


def _sizes(inputs: Inputs, systems: int, points: int, extra: int) -> Any:
    c, b, v, s = inputs
    return (systems, points, extra, c.shape, b.shape, v.shape, s.shape)


def _addresses(tensors: Sequence[Maybe]) -> tuple[int, ...]:
    return tuple([0 if x is None else x.data_ptr() for x in tensors])


def _location(x: Tensor, wait: bool = False) -> tuple[int, int, bool] | int:
    """Returns where a tensor lies, as the native solver takes it: the number of the CUDA device, its
    present stream, and whether to wait for the statuses; or on the CPU, how many threads PyTorch
    computes on in this thread."""
    if x.is_cpu:
        return torch.get_num_threads()
    return x.device.index, int(torch.cuda.current_stream(x.device).cuda_stream), wait


def lend(inputs: Inputs) -> tuple[Inputs, tuple[int, ...], tuple[tuple[int, ...], ...] | None]:
    """Returns inputs as the solver reads them, their addresses, and how they lie if not all are in row-major
    order.

    What is returned first may be copies: keep it in a variable for as long as the addresses are in use.
    """
    # Small solves take no longer than a look at every tensor by itself.
    c, b, v, s = inputs
    addresses = (c.data_ptr(), b.data_ptr(), v.data_ptr(), s.data_ptr())
    row_major = c.is_contiguous() and b.is_contiguous() and v.is_contiguous() and s.is_contiguous()
    negative = c.is_neg() or b.is_neg() or v.is_neg() or s.is_neg()
    together = addresses[0] | addresses[1] | addresses[2] | addresses[3]
    if row_major and not negative and together % c.element_size() == 0:
        return inputs, addresses, None
    outer = c.dim() - 3
    inputs = [_lent(x, outer) for x in inputs]
    if all([x.is_contiguous() for x in inputs]):
        return inputs, _addresses(inputs), None
    return inputs, _addresses(inputs), tuple([x.stride() for x in inputs])


def _lent(x: Tensor, outer: int) -> Tensor:
    """Returns an input, with ``outer`` axes of the batch and of the points, as the solver reads it: with any strides
    on the CPU, but those of an expanded tensor, as there every value has a gradient of its own; on a CUDA device
    also but those of a tensor where the values of a point do not lie side by side."""
    if x.is_neg() or x.data_ptr() % x.element_size():
        return dense(x)
    if x.is_contiguous():
        return x
    axes = list(zip(x.shape, x.stride()))
    if not all([size < 2 or stride for size, stride in axes]):
        return x.contiguous()
    return x if x.is_cpu or _is_read_on_device(axes, outer) else x.contiguous()


def _is_read_on_device(axes: Sequence[tuple[int, int]], outer: int) -> bool:
    """Returns whether kernels read a tensor whose axes have these lengths and strides."""
    side_by_side, beyond = True, 1
    for size, stride in reversed(axes[outer:]):
        side_by_side = side_by_side and (size < 2 or stride == beyond)
        beyond *= size
    return side_by_side and sum([(size - 1) * stride for size, stride in axes]) < 2**31 - 1


@overload
def dense(x: Tensor) -> Tensor: ...
@overload
def dense(x: Maybe) -> Maybe: ...
def dense(x: Maybe) -> Maybe:
    """Returns the tensor in row-major order, with its signs in memory, at an address that is a
    multiple of the size of its numbers.

    What is returned may be a copy: keep it in a variable for as long as its address is in use.
    """
    if x is None or _is_dense(x):
        return x
    x = x.contiguous().resolve_neg()
    return x.clone() if x.data_ptr() % x.element_size() else x


def _is_dense(x: Tensor) -> bool:
    return x.is_contiguous() and not x.is_neg() and x.data_ptr() % x.element_size() == 0


#: Tensors of the shapes that were asked for last, each in the memory of one number.
_LIKE: dict[tuple[tuple[int, ...], torch.dtype], Tensor] = {}


def _empty(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns memory in row-major order.

    On the CPU it is made of another tensor, which takes half as long as to make it of a shape; an expanded
    one has no other order to pass on."""
    if device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    like = _LIKE.get((shape, dtype))
    if like is None:
        like = torch.empty(1, dtype=dtype, device=device).expand(shape)
        if len(_LIKE) == 256:
            _LIKE.clear()
        # What a mode of PyTorch makes in place of a tensor is of no use outside of it.
        if type(like) is Tensor:
            _LIKE[shape, dtype] = like
    return torch.empty_like(like)


def empty_solution(
    c: Tensor, systems: int, points: int, extra: int, several: Sequence[int] = ()
) -> tuple[Tensor, Tensor]:
    states, derivatives = c.shape[-2:]
    z = _empty((*several, systems, points, states, derivatives + extra), c.dtype, c.device)
    return z, _empty((*several, systems), c.dtype, c.device)


def _gradient_of(x: Tensor, wanted: int, several: Sequence[int]) -> Tensor:
    """Returns memory for an input's gradient in row-major order, or for several; an empty tensor for one that
    is not wanted."""
    if not wanted:
        return x.new_empty(0)
    if several or not x.is_contiguous():
        return x.new_empty(*several, *x.shape)
    return torch.empty_like(x)


def several_of(inputs: Inputs, directions: Sequence[Maybe]) -> tuple[int, ...]:
    """Returns the axis of several directions in front of those of the inputs, if they have one."""
    for x, d in zip(inputs, directions):
        if d is not None and d.dim() > x.dim():
            return (d.shape[0],)
    return ()


def _solve(
    inputs: Inputs,
    systems: int,
    points: int,
    extra: int,
    native: _native.SolveOptions,
    wait: bool = False,
) -> tuple[_native.Factor, int, tuple[Tensor, Tensor, Tensor]]:
    """Returns the factor, how many systems have failed as far as the statuses were waited for, and values,
    epsilon and status."""
    inputs, addresses, strides = lend(inputs)
    c = inputs[0]
    z, epsilon = empty_solution(c, systems, points, extra)
    status = _empty((systems,), torch.int32, c.device)
    factor, failed = _native.solve(
        c.dtype == torch.float64,
        _sizes(inputs, systems, points, extra),
        native,
        addresses,
        (z.data_ptr(), epsilon.data_ptr(), status.data_ptr()),
        _location(c, wait),
        strides,
    )
    return factor, failed, (z, epsilon, status)


def solve_now(
    c: Tensor, b: Tensor, v: Tensor, s: Tensor, systems: int, points: int, extra: int, key: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    native, options = _options.parse(key)
    # A caller whom the statuses do not concern does not wait for the device.
    wait = options.check != "ignore"
    factor, failed, solution = _solve((c, b, v, s), systems, points, extra, native, wait)
    if failed:
        _status.report(factor, options.check)
    return *solution, torch.from_numpy(np.asarray(factor))


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
        factor, _, _ = _solve(inputs, systems, points, extra, native)
    return factor


def vjp_now(
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
    inputs, addresses, strides = lend((c, b, v, s))
    several = tuple(w.shape[:-4]) if w.dim() > 4 else ()
    of_c = _gradient_of(inputs[0], needs & 1, several)
    of_b = _gradient_of(inputs[1], needs & 2, several)
    of_v = _gradient_of(inputs[2], needs & 4, several)
    of_s = _gradient_of(inputs[3], needs & 8, several)
    w, w_epsilon = dense(w), dense(w_epsilon)
    count = several[0] if several else 1
    if count > 0:
        native, _ = _options.parse(key)
        call = (
            addresses,
            (w.data_ptr(), 0 if w_epsilon is None else w_epsilon.data_ptr()),
            (
                of_c.data_ptr() if needs & 1 else 0,
                of_b.data_ptr() if needs & 2 else 0,
                of_v.data_ptr() if needs & 4 else 0,
                of_s.data_ptr() if needs & 8 else 0,
            ),
            _location(c),
            strides,
            count,
        )
        double, sizes = c.dtype == torch.float64, _sizes(inputs, systems, points, extra)
        if not _native.vjp(int(token.item()), double, sizes, native, *call):
            factor, _, _ = _solve(inputs, systems, points, extra, native)
            factor.vjp(*call)
    return of_c, of_b, of_v, of_s


def jvp_now(
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
    inputs, addresses, strides = lend((c, b, v, s))
    directions = [dense(x) for x in (dc, db, dv, ds)]
    several = several_of(inputs, directions)
    z, epsilon = empty_solution(c, systems, points, extra, several)
    count = several[0] if several else 1
    if count == 0:
        return z, epsilon
    _factor(inputs, token, systems, points, extra, key).jvp(
        addresses,
        _addresses(directions),
        _addresses((z, epsilon)),
        _location(c),
        strides,
        count,
    )
    return z, epsilon


def second_now(
    c: Tensor,
    b: Tensor,
    v: Tensor,
    s: Tensor,
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
    inputs, addresses, strides = lend((c, b, v, s))
    directions: list[Any] = [
        x.new_zeros(x.shape) if d is None else dense(d) for x, d in zip(inputs, (dc, db, dv, ds))
    ]
    native, options = _options.parse(key)
    # The values are needed too, which no factor keeps.
    factor, _, (z, epsilon, _) = _solve(inputs, systems, points, extra, native)
    cotangent: Any = (
        torch.zeros_like(z) if w is None else dense(w),
        torch.zeros_like(epsilon) if w_epsilon is None else dense(w_epsilon),
    )
    location = _location(c)
    g = torch.empty_like(z), torch.empty_like(epsilon)
    factor.inverse(addresses, _addresses(cotangent), _addresses(g), location, strides)
    dz = torch.empty_like(z), torch.empty_like(epsilon)
    factor.jvp(addresses, _addresses(directions), _addresses(dz), location, strides)
    own, left = _second.own_part(
        inputs, directions, (z, epsilon), dz, g, native, options, extra
    )
    gradients = [x.new_empty(x.shape) for x in inputs]
    left_over = [dense(x) for x in left]
    factor.vjp(addresses, _addresses(left_over), _addresses(gradients), location, strides)
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
