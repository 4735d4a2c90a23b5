"""The golden files of tests/golden in the checkout: problems, solutions and gradients that were
computed from the documented mathematics of the published solvers, in double precision."""

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

FOLDER = Path(__file__).resolve().parents[3] / "tests" / "golden"
INPUTS = ("coefficients", "rhs", "initial_values", "steps")


def names(kind: str) -> list[str]:
    """Returns the names of the files of a kind: ``ls`` or ``eps``."""
    return sorted(path.stem for path in FOLDER.glob(f"{kind}_*.safetensors"))


def load(name: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Returns the tensors and the metadata of a file."""
    with safe_open(str(FOLDER / f"{name}.safetensors"), "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()
