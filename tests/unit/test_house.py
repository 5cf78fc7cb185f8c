"""The house rules that a machine can hold: how long files and functions are, and who lays the code out."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("geopixel_edge", "export", "synthetic", "evaluate", "annotate", "training", "benchmarks")
FILES = [ROOT / "setup.py", *(path for room in (*ROOMS, "tests", "examples") for path in (ROOT / room).rglob("*.py"))]
SOURCES = sorted(path.relative_to(ROOT).as_posix() for path in FILES if "__pycache__" not in path.parts)
SHORT = (
    "geopixel_edge/session.py",
    "geopixel_edge/pipeline.py",
    "geopixel_edge/model.py",
    *(source for source in SOURCES if source.startswith("geopixel_edge/cli/")),
)
MAX_FILE_LINES, MAX_SHORT_FILE_LINES, MAX_FUNCTION_LINES, MAX_SKIPS = 250, 200, 48, 10
SKIP = "# fmt: " + "skip"


def lines(source: str) -> list[str]:
    return (ROOT / source).read_text(encoding="utf-8").splitlines()


def long_functions(code: str) -> list[tuple[str, int]]:
    """Functions of over MAX_FUNCTION_LINES lines, from `def` to their last line, decorators left out."""
    functions = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = [(one.name, (one.end_lineno or one.lineno) - one.lineno + 1) for one in functions]
    return [(name, length) for name, length in lengths if length > MAX_FUNCTION_LINES]


def private_names(code: str) -> list[str]:
    """Single-underscore names that are imported, or set on something by their text."""
    found = list[str]()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            found += [one.name for one in node.names]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr":
            found += [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return [name for name in found if name.startswith("_") and not name.startswith("__") and name != "_native"]


@pytest.mark.parametrize("source", [source for source in SOURCES if source.startswith("tests/")])
def test_tests_take_and_replace_nothing_private(source: str) -> None:
    assert private_names("\n".join(lines(source))) == []


def test_private_names_are_seen() -> None:
    code = "from a import _b, c, _native\nmonkeypatch.setattr(a, '_d', 1)\npatch.setattr(a, 'e', '')"
    assert private_names(code) == ["_b", "_d"]


def test_every_room_is_looked_at() -> None:
    assert {source.partition("/")[0] for source in SOURCES} >= {*ROOMS, "tests"}
    assert len(SOURCES) > 200


@pytest.mark.parametrize("source", SOURCES)
def test_no_file_is_long(source: str) -> None:
    assert len(lines(source)) <= MAX_FILE_LINES


def test_other_languages_files_are_short_too() -> None:
    """But for the page's script, which goes out as one file and has one state."""
    found = [path for ends in ("csrc/*.[ch]*", "geopixel_edge/**/*.js") for path in ROOT.glob(ends)]
    counts = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in found}
    assert len(counts) > 10
    assert counts.pop("page.js") <= 410
    assert max(counts.values()) <= MAX_FILE_LINES


@pytest.mark.parametrize("source", [source for source in SHORT if source in SOURCES])
def test_doors_and_verbs_are_short(source: str) -> None:
    assert len(lines(source)) <= MAX_SHORT_FILE_LINES


@pytest.mark.parametrize("source", SOURCES)
def test_no_function_is_long(source: str) -> None:
    assert long_functions("\n".join(lines(source))) == []


def test_a_long_function_would_be_seen() -> None:
    body = "    x = 0\n" * MAX_FUNCTION_LINES
    assert long_functions(f"async def f():\n{body}") == [("f", MAX_FUNCTION_LINES + 1)]
    assert long_functions(f"class A:\n  def f(self):\n{body[10:]}") == []


def test_the_formatter_lays_the_code_out() -> None:
    skips = [source for source in SOURCES for line in lines(source) if SKIP in line]
    assert len(skips) <= MAX_SKIPS, skips
