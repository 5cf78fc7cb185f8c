"""`docs/reference.md`: all behaviours are there, every citation in the code leads to one, every test named exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference.md"
ALL = range(1, 26)
ROOMS = ("geopixel_edge", "export", "synthetic", "evaluate", "training", "benchmarks", "csrc")
_ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", re.M)
_CITED = re.compile(r"reference behaviours? ((?:\d+(?:, | and | to |, and )?)+)")


def rows() -> dict[int, tuple[str, str, str]]:
    found = _ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert len({number for number, *_ in found}) == len(found), "a behaviour is listed twice"
    return {int(number): (what, where, held) for number, what, where, held in found}


def cited_in(text: str) -> set[int]:
    """The numbers of every "reference behaviour 19", "behaviours 12, 17 and 18" or "behaviours 2 to 6"."""
    numbers: set[int] = set()
    for words in _CITED.findall(re.sub(r"\s*\n\s*(?:#|//)?\s*", " ", text)):
        for first, last in re.findall(r"(\d+)(?: to (\d+))?", words):
            numbers |= set(range(int(first), int(last or first) + 1))
    return numbers


@cache
def names_of_tests(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def sources() -> list[Path]:
    """Every source file of the rooms."""
    found = [path for room in ROOMS for path in (ROOT / room).rglob("*") if path.suffix in (".py", ".cpp", ".h")]
    assert len(found) > 100
    return found


def test_all_behaviours_are_there_in_order() -> None:
    assert list(rows()) == list(ALL)


def test_every_citation_leads_to_a_behaviour() -> None:
    cited = {
        path.relative_to(ROOT).as_posix(): cited_in(path.read_text(encoding="utf-8", errors="replace"))
        for path in sources()
    }
    assert sum(map(bool, cited.values())) > 15
    assert {path: numbers - set(ALL) for path, numbers in cited.items() if numbers - set(ALL)} == {}


@pytest.mark.parametrize("number", ALL)
def test_a_behaviour_names_files_and_tests_that_exist(number: int) -> None:
    _, where, held = rows()[number]
    files, tests = re.findall(r"`([^`]+)`", where), re.findall(r"`([^`]+)`", held)
    assert files
    assert tests
    assert [name for name in files if not (ROOT / name).is_file()] == []
    for name in tests:
        path, _, test = name.partition("::")
        assert (ROOT / path).is_file(), name
        assert test in names_of_tests(ROOT / path), name


def test_the_package_says_once_where_the_list_is() -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / "geopixel_edge" / "__init__.py").read_text(encoding="utf-8")))
    assert docstring is not None
    assert "docs/reference.md" in docstring


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("(reference behaviour 19)", {19}),
        ("(reference behaviours 12, 17 and 18). Both", {12, 17, 18}),
        ("(reference behaviours 2, 4, 5 and 6).", {2, 4, 5, 6}),
        ("the runtime does it (reference behaviours 6 to 8).", {6, 7, 8}),
        ("# see reference\n# behaviour 26", {26}),
        ("a behaviour of the reference, 3 of them", set()),
    ],
)
def test_citations_are_read(text: str, numbers: set[int]) -> None:
    assert cited_in(text) == numbers
