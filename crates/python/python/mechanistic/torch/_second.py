"""Second derivatives of the solve.

With the rows a of A, their weights W and right-hand sides β, the solution z has M z = AᵀW²β, M =
AᵀW²A. Let g = M⁻¹w and Φ(x; z, g) = Σ W² (a·g)(β − a·z), a function of the inputs x through a, β and
W. The gradient of ⟨w, z⟩ is Jᵀw = ∂Φ/∂x at z = z(x), g = g(x). In a direction d, with Ψ = ⟨d,
∂Φ/∂x⟩ and ż = J d,

    ∇ₓ⟨w, J d⟩ = ∂Ψ/∂x − ∂⟨W A ż, W A g⟩/∂x + Jᵀ (∂Ψ/∂z),

where z, g and ż stand still in the partial derivatives: g depends on x as M⁻¹w does, and M⁻¹ ∂Ψ/∂g
is ż. The rows are those of the Rust library, which hands over their tables; PyTorch differentiates
their entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _native, _options

Solution = tuple[Tensor, Tensor]
Tensors = Sequence[Tensor]


def own_part(
    inputs: Tensors,
    directions: Tensors,
    solution: Solution,
    tangent: Solution,
    adjoint: Solution,
    native: _native.SolveOptions,
    options: _options.Options,
    extra: int,
) -> tuple[list[Tensor], Solution]:
    """Returns ∂Ψ/∂x − ∂⟨W A ż, W A g⟩/∂x, and the cotangent ∂Ψ/∂z of the part that is left.

    ``solution`` is (z, ε), ``tangent`` (ż, ε̇), ``adjoint`` (g, its entry of the slack).
    """
    if options.follow_growth:
        raise NotImplementedError("follow_growth: rows that follow growth have no second derivative")
    z, epsilon = solution
    solved = z.isfinite().flatten(1).all(1) & epsilon.isfinite()
    if not solved.all():
        everything = (inputs, directions, solution, tangent, adjoint)
        return _of_the_solved(solved, everything, native, options, extra)
    rows = _Rows(native, options, extra)
    dtype = inputs[0].dtype
    with torch.enable_grad():
        x = [_double(t).requires_grad_() for t in inputs]
        d = [_double(t) for t in directions]
        of_rows = [_double(t).requires_grad_() for t in solution]
        g = [_double(t) for t in adjoint]
        dz = [_double(t) for t in tangent]
        parts = rows.defects(x, of_rows), rows.products(x, g)
        phi = _sum(defect * product for defect, product in zip(*parts))
        slopes = torch.autograd.grad(phi, x, create_graph=True, allow_unused=True)
        psi = _sum(slope * direction for slope, direction in zip(slopes, d) if slope is not None)
        moved = _sum(a * b for a, b in zip(rows.products(x, dz), rows.products(x, g)))
        results = torch.autograd.grad(psi - moved, [*x, *of_rows], allow_unused=True)
    filled = [
        torch.zeros_like(t) if result is None else result for t, result in zip([*x, *of_rows], results)
    ]
    found = [t.detach().to(dtype) for t in filled]
    return found[:4], (found[4], found[5])


def _of_the_solved(
    solved: Tensor,
    parts: Sequence[Tensors],
    native: _native.SolveOptions,
    options: _options.Options,
    extra: int,
) -> tuple[list[Tensor], Solution]:
    """Returns :func:`own_part` of the systems that were solved, and zeros for the others, whose
    numbers may be anything: no power of them is taken."""
    systems = len(solved)
    inputs, _, (z, epsilon), *_ = parts
    own = [torch.zeros_like(x) for x in inputs]
    left = torch.zeros_like(z), torch.zeros_like(epsilon)
    if not solved.any():
        return own, left
    kept: list[Any] = [
        [x[solved] if x.shape[0] == systems else x for x in tensors] for tensors in parts
    ]
    x, d, of_rows, tangent, adjoint = kept
    own_kept, left_kept = own_part(
        x, d, of_rows, tangent, adjoint, native, options, extra
    )
    for whole, part in zip([*own, *left], [*own_kept, *left_kept]):
        if whole.shape[0] == systems:
            whole[solved] = part
        else:
            whole.copy_(part)
    return own, left


def _double(x: Tensor) -> Tensor:
    return x.detach().double()


def _sum(terms: Any) -> Tensor:
    total = torch.zeros((), dtype=torch.float64, device="cpu")
    for term in terms:
        total = total + term.sum()
    return total


class _Family(NamedTuple):
    """Smoothness rows Σ table[r, p, j] length^(j + shift) z[t + p, j]."""

    points: int
    shift: int
    table: Tensor


class _Rows:
    """The weighted rows W A of a problem, family by family."""

    def __init__(self, native: _native.SolveOptions, options: _options.Options, extra: int) -> None:
        self.native, self.options, self.extra = native, options, extra

    def products(self, x: Tensors, z: Sequence[Tensor]) -> list[Tensor]:
        """Returns W A (z, ε) for each family."""
        return self._rows(x, z, None)

    def defects(self, x: Tensors, z: Sequence[Tensor]) -> list[Tensor]:
        """Returns W (β − A (z, ε)) for each family."""
        return self._rows(x, z, -1.0)

    def _rows(self, x: Tensors, solution: Sequence[Tensor], sign: float | None) -> list[Tensor]:
        (c, b, v, s), (z, epsilon) = x, solution
        of_equation, of_initial, of_smoothness, of_ends = self.options.weights
        points, order = z.shape[1], z.shape[3] - 1
        steps = (s if s.dim() == 3 else s[:, :, None]).expand(-1, points - 1, -1)
        factor = 1.0 if sign is None else sign
        # The mean step at each point, of which scales are powers.
        length = torch.cat([steps, steps[:, -1:]], 1).mean(-1)

        def scale(power: int) -> Tensor:
            return length**power if self.native.balanced else torch.ones_like(length)

        equations = factor * (c * z[:, :, None, :, : c.shape[4]]).sum((-1, -2))
        if sign is not None:
            equations = equations + b
        families = [of_equation * scale(c.shape[4] - 1)[:, :, None] * equations]

        given, derivatives = v.shape[1], v.shape[3]
        if given * derivatives > 0:
            initial = factor * z[:, :given, :, :derivatives]
            if sign is not None:
                initial = initial + v
            scales = torch.stack([scale(j)[:, :given] for j in range(derivatives)], -1)
            families.append(of_initial * scales[:, :, None] * initial)

        slack = 0.0 if self.options.slack is None else epsilon[:, None, None, None]
        for family in self._smoothness(order, z.device):
            spanned = points - family.points + 1
            if spanned < 1:
                continue
            lengths = sum(steps[:, p : p + spanned] for p in range(family.points - 1))
            assert isinstance(lengths, Tensor)
            powers = torch.stack([lengths ** (j + family.shift) for j in range(order + 1)], -1)
            windows = torch.stack([z[:, p : p + spanned] for p in range(family.points)], -2)
            scaled = windows * powers[:, :, :, None]
            rows = torch.einsum("rpj,btkpj->btkr", family.table, scaled)
            families.append(factor * of_smoothness * (rows + slack))

        if self.options.periodic:
            families.append(factor * of_ends * (z[:, 0, :, :-1] - z[:, -1, :, :-1]))
        return families

    def _smoothness(self, order: int, device: torch.device) -> list[_Family]:
        pairs, triples = _native.smoothness_rows(self.native, order)
        families = []
        for rows, points, shift, table in (pairs, triples) if triples else (pairs,):
            shape = (rows, points, order + 1)
            values = torch.tensor(table, dtype=torch.float64, device="cpu").reshape(shape)
            families.append(_Family(points, shift, values.to(device)))
        return families
