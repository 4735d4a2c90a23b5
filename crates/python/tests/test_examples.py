"""The examples in examples/python of the checkout."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "python"


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_processes_train_as_one_does(tmp_path):
    program, steps = str(EXAMPLES / "ddp.py"), ["--steps", "20", "--save"]
    alone, together = tmp_path / "alone.pt", tmp_path / "together.pt"
    printed = run(sys.executable, program, *steps, str(alone))
    losses = [float(line.split()[-1]) for line in printed.splitlines()]
    assert losses[-1] < 0.9 * losses[0]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    run(*launch, program, *steps, str(together))
    one, two = torch.load(alone), torch.load(together)
    for name, parameter in one.items():
        assert (parameter - two[name]).abs().max() < 1e-12, name


NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(notebook, monkeypatch):
    monkeypatch.chdir(EXAMPLES.parents[1])
    monkeypatch.setenv("MPLBACKEND", "Agg")
    cells = json.loads(notebook.read_text())["cells"]
    variables: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "notebooks are kept without results"
            exec(compile("".join(cell["source"]), notebook.name, "exec"), variables)


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == ["discovery", "solver"]


def test_batches_that_processes_cannot_share_are_refused():
    environment = {**os.environ, "RANK": "0", "WORLD_SIZE": "3"}
    command = [sys.executable, str(EXAMPLES / "ddp.py"), "--batch", "64"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 2
    assert "--batch 64 cannot be shared equally by 3 processes" in done.stderr
