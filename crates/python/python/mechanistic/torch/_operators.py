"""The operators of PyTorch: the solve and its derivatives, on inputs with one leading axis, (B or
1, ...). In eager code the solve and its gradient take inputs with several leading axes, too; whatever
differentiates or transforms these makes one axis of them first.

Each of them is a Function of autograd, for eager code and ``torch.func``:

* ``_Solve``: z of the inputs x. Backward is ``_Vjp``, forward mode ``_Jvp``.
* ``_Vjp``: Jᵀw, the gradients of the inputs from the cotangent w of z; or from several, along an axis in
  front, with one factor.
* ``_Jvp``: J d, the derivative of z along the directions d of the inputs, of which there may be several, too.
* ``_Second``: ∇ₓ⟨w, J d⟩, which the derivatives of the two before are made of, because second
  derivatives commute.

For ``torch.compile``, which looks into Functions and cannot follow them into native code, solve and vjp
are also operators of their own (``torch.ops.mechanistic``), and so is the Function that is made of these.

The factor of a solve goes from one to the next as the *token*, a tensor of one int64: the number of
the factor, in memory that keeps it. Where a token is a mere copy and its factor is gone, the problem
is solved once more.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _shapes
from . import _calls

Maybe = Tensor | None


def solve(
    c: Tensor, b: Tensor, v: Tensor, s: Tensor, systems: int, points: int, extra: int, key: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns values (B, N, K, Q), epsilon (B) and status (B). The steps may have no axis of the
    states."""
    if torch.compiler.is_compiling():
        operator = torch.ops.mechanistic.traced_solve.default
    else:
        operator = _Solve.apply if is_transformed() else _PlainSolve.apply
    z, epsilon, status, _ = operator(c, b, v, s, systems, points, extra, key)
    return z, epsilon, status


# --- the leading axes ----------------------------------------------------------------------------


def one_axis(x: Tensor, own: Sequence[int], axes: Sequence[int]) -> Tensor:
    """Makes one axis of the leading axes ``own`` of an input, which broadcast to ``axes``: 1 if the systems share
    it, else their number."""
    own, axes = tuple(own), tuple(axes)
    rest = x.shape[len(own) :]
    if _shapes.count(own) == 1:
        return x.reshape(1, *rest)
    if own != axes:
        x = x.expand(*axes, *rest)
    return x.reshape(_shapes.count(axes), *rest)


class _Leading(NamedTuple):
    """The leading axes of inputs that may have several."""

    own: list[tuple[int, ...]]
    axes: tuple[int, ...]

    @classmethod
    def of(cls, inputs: Sequence[Tensor]) -> _Leading:
        count = inputs[0].dim() - 4
        own = [tuple(x.shape[:count]) for x in inputs]
        return cls(own, tuple([max(sizes) for sizes in zip(*own)]))

    def flatten(self, inputs: Sequence[Maybe]) -> Sequence[Maybe]:
        """Returns inputs, or directions of them, with one leading axis."""
        if len(self.axes) == 1:
            return inputs
        return [None if x is None else one_axis(x, own, self.axes) for x, own in zip(inputs, self.own)]

    def unflatten(self, gradients: Sequence[Tensor], needs: int) -> Sequence[Tensor]:
        """Returns the gradients of inputs from those of the flattened ones."""
        if len(self.axes) == 1:
            return gradients
        results = list(gradients)
        for i, own in enumerate(self.own):
            if needs >> i & 1:
                axes = own if _shapes.count(own) == 1 else self.axes
                x = results[i].reshape(*axes, *results[i].shape[1:])
                shared = [axis for axis, size in enumerate(own) if size != axes[axis]]
                results[i] = x.sum(shared, keepdim=True) if shared else x
        return results


# --- vmap ----------------------------------------------------------------------------------------

# The kinds of results: the number of the input that a gradient belongs to, or one of these.
_PART, _TOKEN = -1, -2


def _vmap(
    operator: Callable[..., Any],
    kinds: Sequence[int],
    place: int,
    width: int,
    in_dims: Sequence[int | None],
    *arguments: Any,
    token: int | None = None,
    several: bool = False,
) -> tuple[Any, Any]:
    """Applies an operator to ``width`` samples along another axis, all at once as one larger batch. The first
    four arguments are the inputs, and the one at ``place`` is B; the token at its place stays as it is. If
    there are ``several`` derivatives, all other tensors, and the results, have an axis of these in front."""
    systems, before = arguments[place], int(several)
    moved = list(arguments)
    own = []
    for i, x in enumerate(arguments):
        if isinstance(x, Tensor) and i != token:
            dim = in_dims[i]
            x = x[None] if dim is None else x.movedim(dim, 0)
            if i < 4:
                own.append(x.shape[1])
            moved[i] = _fold(x, width, systems, 0 if i < 4 else before)
    moved[place] = width * systems
    outputs = []
    for kind, x in zip(kinds, operator(*moved)):
        if kind >= 0 and _is_missing(x):
            x = x.new_empty(width, 0)
        elif kind != _TOKEN:
            rows = x.shape[before] // width
            x = x.unflatten(before, (width, rows)).movedim(before, 0)
            if kind >= 0 and own[kind] < rows:
                x = x.sum(1 + before, keepdim=True)
        outputs.append(x)
    return tuple(outputs), tuple(None if kind == _TOKEN else 0 for kind in kinds)


def _fold(x: Tensor, width: int, systems: int, before: int) -> Tensor:
    """Makes one axis of the first, that of the samples, which may share the tensor, and that of the systems,
    ``before`` which there is that of several derivatives, or none."""
    x = x.movedim(0, before)
    if width == 1:
        return x.squeeze(before)
    first, rest = x.shape[:before], x.shape[before + 2 :]
    return x.expand(*first, width, systems, *rest).reshape(*first, width * systems, *rest)


def _is_missing(gradient: Tensor) -> bool:
    """Returns whether this stands for a gradient that is not needed: all others have several axes."""
    return gradient.dim() == 1


def _several(
    operator: Callable[..., Any],
    places: range,
    width: int,
    in_dims: Sequence[int | None],
    *arguments: Any,
    several: bool,
) -> tuple[Any, Any]:
    """Applies an operator to ``width`` samples that share the inputs, all at once: what they have of their own,
    the cotangents or directions at ``places``, becomes that of several derivatives with one factor, or of
    more if there were ``several`` of each."""
    moved, of_each = list(arguments), 1
    for i in places:
        x, dim = arguments[i], in_dims[i]
        if x is not None:
            x = x.expand(width, *x.shape) if dim is None else x.movedim(dim, 0)
            of_each = x.shape[1]
            moved[i] = x.reshape(width * of_each, *x.shape[2:]) if several else x
    outputs = []
    for x in operator(*moved):
        if _is_missing(x):
            x = x.new_empty(width, 0)
        elif several:
            x = x.reshape(width, of_each, *x.shape[1:])
        outputs.append(x)
    return tuple(outputs), (0,) * len(outputs)


def _rank(x: Tensor, dim: int | None) -> int:
    """Returns how many axes each sample has of a tensor."""
    return x.dim() - (dim is not None)


# --- Functions of autograd -----------------------------------------------------------------------

# Functions for `torch.func` have a `setup_context`, and PyTorch looks at the signature of their `forward`
# in every call, which takes longer than a small solve: hence `*arguments`, and a plain Function where
# nothing is transformed. Where PyTorch no longer tells, all goes the longer way.
is_transformed: Callable[[], bool] = getattr(
    torch._C, "_are_functorch_transforms_active", lambda: True
)


# `torch.autograd.grad(..., is_grads_batched=True)`, and so `torch.autograd.functional` with `vectorize`,
# batch cotangents by an older vmap, which does not know Functions: they get its tensors as they are.
_is_batched: Callable[[Any], bool] = getattr(
    getattr(torch._C, "_functorch", None), "is_legacy_batchedtensor", lambda x: False
)


def _apply(function: Callable[..., Any], *arguments: Any) -> Any:
    """Applies a Function to arguments of which some may be batched by the older vmap."""
    batched = [isinstance(x, Tensor) and _is_batched(x) for x in arguments]
    if not any(batched):
        return function(*arguments)
    level = _level(arguments[batched.index(True)])
    # The 0 in place of the number of samples, which the tensors know.
    whole = [torch._remove_batch_dim(x, level, 0, 0) if y else x for x, y in zip(arguments, batched)]
    in_dims = tuple([0 if y else None for y in batched])
    results = torch.func.vmap(function, in_dims)(*whole)
    return tuple([torch._add_batch_dim(x, 0, level) for x in results])


def _level(x: Tensor) -> int:
    """Returns which one of the older vmaps has batched a tensor. How many of them the thread is in does not
    tell: backward passes of CUDA tensors have a thread of their own, which is in none."""

    def samples(level: int, of_others: int) -> int:
        return torch._remove_batch_dim(x, level, of_others, 0).shape[0]

    # A tensor that another one has batched takes the number of samples that it is told.
    return next(level for level in itertools.count(1) if samples(level, 0) == samples(level, 1))


def _needed(ctx: Any) -> int:
    return sum(1 << i for i in range(4) if ctx.needs_input_grad[i])


class _Solve(torch.autograd.Function):
    """(c, b, v, s, B, N, extra, key) → (z, ε, status, token)."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return _calls.solve_now(*arguments)

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
        plain = not (torch.is_grad_enabled() or is_transformed())
        return _solve_backward(ctx, _calls.vjp_now if plain else None, w, w_epsilon)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        *inputs, token = ctx.saved_tensors
        leading = _Leading.of(inputs)
        flat, moved = leading.flatten(inputs), leading.flatten(tangents[:4])
        dz, depsilon = _apply(_Jvp.apply, *flat, token, *moved, *ctx.constants)
        return dz, depsilon, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        kinds = (_PART, _PART, _PART, _TOKEN)
        return _vmap(_Solve.apply, kinds, 4, info.batch_size, in_dims, *arguments)


class _PlainSolve(torch.autograd.Function):
    """``_Solve`` where nothing is transformed by ``torch.func``."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Any:
        output = _calls.solve_now(*arguments)
        _Solve.setup_context(ctx, arguments, output)
        return output

    backward = staticmethod(_Solve.backward)
    jvp = staticmethod(_Solve.jvp)


def _solve_backward(ctx: Any, plain: Callable[..., Any] | None, w: Maybe, w_epsilon: Maybe) -> Any:
    """Returns the gradients, by an operator without derivatives if that is enough."""
    if w is None and w_epsilon is None:
        return (None,) * 8
    *inputs, token = ctx.saved_tensors
    systems, points, extra, _ = ctx.constants
    if w is None:
        w = _zeros_like_solution(inputs[0], systems, points, extra)
    needs = _needed(ctx)
    if plain and not (_is_batched(w) or (w_epsilon is not None and _is_batched(w_epsilon))):
        gradients = plain(*inputs, token, w, w_epsilon, needs, *ctx.constants)
    else:
        leading = _Leading.of(inputs)
        flat = leading.flatten(inputs)
        gradients = _apply(_Vjp.apply, *flat, token, w, w_epsilon, needs, *ctx.constants)
        gradients = leading.unflatten(gradients, needs)
    wanted = (x if ctx.needs_input_grad[i] else None for i, x in enumerate(gradients))
    return (*wanted, None, None, None, None)


def _zeros_like_solution(
    c: Tensor, systems: int, points: int, extra: int, *, several: Sequence[int] = ()
) -> Tensor:
    return c.new_zeros(*several, systems, points, c.shape[-2], c.shape[-1] + extra)


def _second(
    inputs: Sequence[Tensor], directions: Sequence[Maybe], w: Maybe, w_epsilon: Maybe, constants: Any
) -> Sequence[Tensor]:
    """Applies ``_Second``; to each of several, if directions or cotangents have an axis for these in front."""
    ranks = [*(x.dim() for x in inputs), 4, 1]
    parts = (*directions, w, w_epsilon)
    dims = [0 if x is not None and x.dim() > rank else None for x, rank in zip(parts, ranks)]
    second = _Second.apply
    if any(dim is not None for dim in dims):
        second = torch.func.vmap(second, (*(None,) * 4, *dims, *(None,) * 4))
    results: Sequence[Tensor] = _apply(second, *inputs, *parts, *constants)
    return results


class _Vjp(torch.autograd.Function):
    """(c, b, v, s, token, w, w_ε, needs, B, N, extra, key) → gradients of c, b, v, s."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return _calls.vjp_now(*arguments)

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
        second = _second(inputs, tangents[:4], w, w_epsilon, constants)
        dw, dw_epsilon = tangents[5], tangents[6]
        if dw is not None or dw_epsilon is not None:
            if dw is None:
                dw = _zeros_like_solution(inputs[0], *constants[:3], several=w.shape[:-4])
            first = _apply(_Vjp.apply, *inputs, token, dw, dw_epsilon, needs, *constants)
            second = [a + b if needs >> i & 1 else a for i, (a, b) in enumerate(zip(second, first))]
        empty = [x.new_empty(0) for x in inputs]
        return tuple([x if needs >> i & 1 else empty[i] for i, x in enumerate(second)])

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        several = _rank(arguments[5], in_dims[5]) > 4
        if all(dim is None for dim in in_dims[:4]):
            places = range(5, 7)
            return _several(
                _Vjp.apply, places, info.batch_size, in_dims, *arguments, several=several
            )
        kinds = (0, 1, 2, 3)
        width = info.batch_size
        return _vmap(_Vjp.apply, kinds, 8, width, in_dims, *arguments, token=4, several=several)


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
        second = _second(inputs, wanted, w, w_epsilon, constants)
        if w.dim() > 4:
            second = [x.sum(0) for x in second]
    dz: Sequence[Maybe] = (None, None)
    if any(ctx.needs_input_grad[5:7]):
        dz = _apply(_Jvp.apply, *inputs, token, *wanted, *constants)
    gradients = (*second, None, *dz, *nothing[7:])
    return tuple([x if need else None for x, need in zip(gradients, ctx.needs_input_grad)])


class _Jvp(torch.autograd.Function):
    """(c, b, v, s, token, dc, db, dv, ds, B, N, extra, key) → (dz, dε)."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return _calls.jvp_now(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs[:9])
        ctx.constants = inputs[9:]
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, w: Maybe, w_epsilon: Maybe) -> Any:
        saved = ctx.saved_tensors
        inputs, token, directions = saved[:4], saved[4], saved[5:9]
        several = _calls.several_of(inputs, directions)
        if w is None and w_epsilon is None:
            return (None,) * 13
        second: Sequence[Maybe] = (None,) * 4
        if any(ctx.needs_input_grad[:4]):
            second = _second(inputs, directions, w, w_epsilon, ctx.constants)
            if several:
                second = [x.sum(0) for x in second]
        needs = sum(1 << i for i in range(4) if ctx.needs_input_grad[5 + i])
        first: Sequence[Maybe] = (None,) * 4
        if needs:
            if w is None:
                w = _zeros_like_solution(inputs[0], *ctx.constants[:3], several=several)
            first = _apply(_Vjp.apply, *inputs, token, w, w_epsilon, needs, *ctx.constants)
        gradients = (*second, None, *first, None, None, None, None)
        return tuple([x if need else None for x, need in zip(gradients, ctx.needs_input_grad)])

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        ranks = [_rank(x, dim) for x, dim in zip(arguments[:4], in_dims)]
        directions = zip(arguments[5:9], in_dims[5:9], ranks)
        several = any(d is not None and _rank(d, dim) > rank for d, dim, rank in directions)
        if all(dim is None for dim in in_dims[:4]):
            places = range(5, 9)
            return _several(
                _Jvp.apply, places, info.batch_size, in_dims, *arguments, several=several
            )
        kinds, width = (_PART, _PART), info.batch_size
        return _vmap(_Jvp.apply, kinds, 9, width, in_dims, *arguments, token=4, several=several)


class _Second(torch.autograd.Function):
    """(c, b, v, s, dc, db, dv, ds, w, w_ε, B, N, extra, key) → ∇ₓ⟨(w, w_ε), J d⟩."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return _calls.second_now(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise NotImplementedError("the solve has no third derivatives")

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        operator, kinds, width = _Second.apply, (0, 1, 2, 3), info.batch_size
        if any(dim is not None for dim in in_dims[:4]):
            return _vmap(operator, kinds, 10, width, in_dims, *arguments)
        # Samples that share the inputs may be many: as many at a time as fill the lanes of the CPU.
        c, systems = arguments[0], arguments[10]
        together = max(1, _LANES // systems) if c.is_cpu else 1
        front = [None if dim is None else 0 for dim in in_dims]
        own = [x if dim is None else x.movedim(dim, 0) for x, dim in zip(arguments, in_dims)]
        rounds = []
        for first in range(0, width, together):
            part = [x if dim is None else x[first:][:together] for x, dim in zip(own, front)]
            count = min(together, width - first)
            rounds.append(_vmap(operator, kinds, 10, count, front, *part)[0])
        if not rounds:
            return tuple([x.new_empty(0, *x.shape) for x in arguments[:4]]), (0,) * 4
        return tuple([torch.cat(parts) for parts in zip(*rounds)]), (0,) * 4


#: So many systems the CPU computes at a time, and fewer take as long.
_LANES = 8


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
        plain = None if torch.is_grad_enabled() else torch.ops.mechanistic.vjp.default
        return _solve_backward(ctx, plain, w, w_epsilon)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        kinds = (_PART, _PART, _PART, _TOKEN)
        operator = torch.ops.mechanistic.traced_solve.default
        return _vmap(operator, kinds, 4, info.batch_size, in_dims, *arguments)


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


_define("mechanistic::solve", ("cpu", "cuda"), _calls.solve_now)
_define("mechanistic::vjp", ("cpu", "cuda"), _calls.vjp_now)
_define("mechanistic::traced_solve", "CompositeImplicitAutograd", _traced_solve)


def _fake_solve(
    c: Any, b: Any, v: Any, s: Any, systems: int, points: int, extra: int, key: str
) -> Any:
    z = c.new_empty(systems, points, c.shape[-2], c.shape[-1] + extra)
    epsilon, status = c.new_empty(systems), c.new_empty(systems, dtype=torch.int32)
    return z, epsilon, status, torch.empty(1, dtype=torch.int64, device="cpu")


def _fake_vjp(
    c: Any, b: Any, v: Any, s: Any, token: Any, w: Any, w_epsilon: Any, needs: int, *_: Any
) -> Any:
    inputs = (c, b, v, s)
    return tuple([x.new_empty(x.shape if needs >> i & 1 else 0) for i, x in enumerate(inputs)])


torch.library.register_fake("mechanistic::solve", _fake_solve)
torch.library.register_fake("mechanistic::vjp", _fake_vjp)
torch.library.register_vmap("mechanistic::traced_solve", _TracedSolve.vmap)
