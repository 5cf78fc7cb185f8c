"""Which test files cannot run where torch is not installed: found by what they import, whatever the depth."""

from __future__ import annotations

import ast
from pathlib import Path

NEEDING = ("torch", "transformers", "onnx", "safetensors")
ROOT = Path(__file__).parents[2]


def needs_torch(tests: Path) -> list[Path]:
    """Test files that import torch, or anything of this repository that does; and what exports engines."""
    rooms = [*(tests / "unit").glob("test_*.py"), *(tests / "training").glob("test_*.py")]
    files = [path for path in sorted(rooms) if _reaches_torch(path)]
    return [*files, tests / "engine", tests / "attacks", tests / "gpu"]


def _reaches_torch(path: Path) -> bool:
    waiting, seen = [path], set()
    while waiting:
        seen.add(here := waiting.pop())
        names = _imports(here)
        if any(name.split(".")[0] in NEEDING for name in names):
            return True
        waiting += [place for name in names for place in _places(name) if place not in seen]
    return False


def _imports(path: Path) -> set[str]:
    """Absolute names that a file imports when it is imported itself."""
    package = path.relative_to(ROOT).parts[:-1]
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            base = [*above, *([node.module] if node.module else [])]
            found |= {".".join(base), *(".".join([*base, alias.name]) for alias in node.names)}
    return found


def _places(name: str) -> list[Path]:
    """The files of this repository that a module's name means."""
    parts = name.split(".")
    places = [ROOT.joinpath(*parts[:-1], f"{parts[-1]}.py"), ROOT.joinpath(*parts, "__init__.py")]
    return [place for place in places if place.is_file()]
