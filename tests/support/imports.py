"""Who imports whom, read from the sources: at the top, in a function, for a type checker, by `importlib`."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("geopixel_edge", "export", "synthetic", "evaluate", "annotate", "training", "benchmarks", "examples")
_LOADERS = ("import_module", "__import__")


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file, of every module of the rooms; the native extension is its stub."""
    found = {}
    for path in sorted(
        path for room in ROOMS for path in (ROOT / room).rglob("*.py*") if path.suffix in (".py", ".pyi")
    ):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(source: str, module: str, is_package: bool) -> set[str]:
    """Absolute dotted names that a module's source imports; `from a import b` gives a.b, whatever b is."""
    home = module.split(".") if is_package else module.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = home[: len(home) - node.level + 1] if node.level else []
            base = [*base, *([node.module] if node.module else [])]
            found |= {".".join([*base, alias.name]) for alias in node.names}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in _LOADERS and isinstance(node.args[0].value, str):
                found.add(node.args[0].value)
    return found


@cache
def imports() -> dict[str, set[str]]:
    """Module -> every name it imports."""
    return {
        name: imported(path.read_text(encoding="utf-8"), name, path.stem == "__init__")
        for name, path in modules().items()
    }


@cache
def graph() -> dict[str, set[str]]:
    """Module -> the modules of the rooms that it imports."""
    return {
        name: {home for one in names if (home := _module_of(one)) and home != name} for name, names in imports().items()
    }


def _module_of(name: str) -> str:
    """The longest part of a dotted name that is a module of the rooms; "" for a library's."""
    while name and name not in modules():
        name = name.rpartition(".")[0]
    return name


def in_circles(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is left of a graph once every module that leads nowhere, or that nobody leads to, is taken away in turn."""
    left = {name: set(targets) for name, targets in edges.items()}
    while True:
        reached = {target for targets in left.values() for target in targets}
        kept = {name for name, targets in left.items() if targets and name in reached}
        if len(kept) == len(left):
            return left
        left = {name: left[name] & kept for name in kept}
