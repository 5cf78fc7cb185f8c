"""Answers as the library supervision takes them, with the library itself, which `make test` does without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ..support.project import pyproject

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_the_library_itself_takes_and_draws_an_answer(tmp_path: Path) -> None:
    """In an environment beside this one, whose packages it sees, with the library installed."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path)], check=True)
    python = tmp_path / "bin" / "python"
    (site,) = tmp_path.glob("lib/python*/site-packages")
    (here,) = (path for path in sys.path if path.endswith("site-packages"))
    (site / "beside.pth").write_text(f"{here}\n{ROOT}\n", encoding="utf-8")
    extra: list[str] = pyproject()["project"]["optional-dependencies"]["supervision"]
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *extra], check=True)
    tests = ["tests/unit/test_answer_supervision.py", "tests/engine/test_examples.py"]
    command = [str(python), "-m", "pytest", "-q", "-rs", *tests, "-k", "supervision"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "4 passed" in done.stdout
    assert "skipped" not in done.stdout
