"""Problems that the tests share."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

ROWS = ("taylor", "taylor_hold", "taylor_central", "hermite")
#: Which of coefficients, rhs, initial values and steps are shared by the systems.
SHARING = ((0, 0, 0, 0), (1, 0, 0, 1), (0, 1, 1, 0), (1, 1, 1, 0))


def inputs(
    batch: int = 3,
    points: int = 6,
    states: int = 2,
    derivatives: int = 3,
    given: tuple[int, int] = (1, 2),
    shared: tuple[int, int, int, int] = (0, 0, 0, 0),
    seed: int = 7,
    requires_grad: bool = True,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns random inputs whose highest derivatives are well determined, in double precision."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    c, b, v, s = (1 if alone else batch for alone in shared)
    coefficients = 0.5 * random(c, points, states, states, derivatives)
    coefficients[..., -1] += 2.0 * torch.eye(states, dtype=torch.float64)
    rhs = random(b, points, states)
    initial = random(v, given[0], states, given[1])
    steps = 0.3 + 0.4 * torch.rand(s, points - 1, generator=generator, dtype=torch.float64)
    found = (coefficients, rhs, initial, steps)
    return tuple(x.requires_grad_(requires_grad) for x in found)  # type: ignore[return-value]


def bits(tensors: Iterable[Tensor]) -> str:
    """Returns a digest of the bits of tensors."""
    return hashlib.sha256(b"".join(x.numpy().tobytes() for x in tensors)).hexdigest()
