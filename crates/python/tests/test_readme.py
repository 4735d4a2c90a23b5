"""The Python code in the READMEs runs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SNIPPETS = [
    pytest.param(code, id=f"{path}-{i}")
    for path in ("README.md", "crates/python/README.md")
    for i, code in enumerate(re.findall(r"```python\n(.*?)```", (ROOT / path).read_text(), re.S))
]


@pytest.mark.parametrize("code", SNIPPETS)
def test_snippets_run(code, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    exec(compile(code, "README", "exec"), {})
    if ".print()" in code:
        lines = capsys.readouterr().out.splitlines()
        assert [line.split(" = ")[0] for line in lines] == ["x'", "y'", "z'"]


def test_there_are_snippets():
    assert len(SNIPPETS) >= 5
