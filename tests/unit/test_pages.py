"""The pages: their links and the files they name exist, none is left out of the site, and what the site's hooks do."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from geopixel_edge import limits

from ..support.documented import PAGES, ROOT
from ..support.project import pyproject

DOCS = ROOT / "docs"
PAGE_PATHS = sorted(path for pattern in PAGES for path in ROOT.glob(pattern))
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_ROOM = r"(?:geopixel_edge|export|tests|csrc|synthetic|evaluate|training|annotate|benchmarks|docs|examples|\.github)"
_FILE = re.compile(rf"`({_ROOM}/[\w./-]+\.(?:py|pyi|cpp|h|md|json|png|jpg|yml))(?:::\w+)?`")


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    """`docs` is no package, so its one module is loaded by its path, as MkDocs does."""
    spec = importlib.util.spec_from_file_location("hooks_of_the_pages", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def site() -> dict[str, Any]:
    found = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def in_nav(entries: list[Any]) -> list[str]:
    """Every page of a `nav`, in order."""
    found: list[str] = []
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            found += in_nav(value) if isinstance(value, list) else [value]
    return found


# --- The pages -----------------------------------------------------------------------------------------------------


def test_the_readme_fits_in_one_sitting() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 140


@pytest.mark.parametrize("path", PAGE_PATHS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_and_named_files_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in _LINK.findall(text) if "://" not in link]
    assert [link for link in links if link and not (path.parent / link).exists()] == []
    assert [name for name in _FILE.findall(text) if not (ROOT / name).is_file()] == []


def test_every_page_is_in_the_site_once() -> None:
    named = in_nav(site()["nav"])
    assert len(set(named)) == len(named)
    own = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    others = {name for name in named if name not in own}
    assert own <= set(named)
    assert all((ROOT / name).is_file() for name in others)


def test_the_supported_systems_are_those_of_the_metadata() -> None:
    project = pyproject()["project"]
    named = [line.rpartition(" ")[2] for line in project["classifiers"] if "Python ::" in line]
    line = (
        "Supported: Linux tested; macOS and Windows built in public CI, untested; "
        f"Python {named[0]} to {named[-1]}; x86-64 and aarch64."
    )
    assert line in (DOCS / "index.md").read_text(encoding="utf-8")
    assert line in (DOCS / "start.md").read_text(encoding="utf-8")
    assert all("==" in wanted for wanted in project["optional-dependencies"]["docs"])


def test_the_site_asks_for_nothing_from_elsewhere() -> None:
    found = site()
    assert found["theme"]["font"] is False
    assert "site_url" not in found
    assert not {"extra_css", "extra_javascript"} & found.keys()


# --- The hooks -----------------------------------------------------------------------------------------------------


def test_the_table_of_bounds_has_every_bound_with_its_value_and_reason(hooks: ModuleType) -> None:
    table = hooks.bounds(hooks.LIMITS.read_text(encoding="utf-8"))
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+? \| .*) \|$", table, re.M))
    bounds = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert rows.keys() == bounds.keys()
    for name, value in bounds.items():
        shown, _, reason = rows[name].partition(" | ")
        assert shown == f"{value:,}"
        assert len(reason.split()) > 3, name
    assert hooks.MARK in (DOCS / "limits.md").read_text(encoding="utf-8")
    assert hooks.with_bounds(f"a\n{hooks.MARK}\n", "# why this is so\nONE = 2 * 3\n").splitlines()[:2] == [
        "a",
        "| `ONE` | 6 | why this is so |",
    ]


@pytest.mark.parametrize(
    ("page", "link", "wanted"),
    [
        ("index.md", "[a](../benchmarks/README.md)", "[a](benchmarks/README.md)"),
        ("devices/cpu.md", "[a](../../training/REPORT.md#top)", "[a](../training/REPORT.md#top)"),
        ("devices/cpu.md", "[a](../accuracy.md)", "[a](../accuracy.md)"),
        ("index.md", "[a](../README.md)", "[a](../README.md)"),
        ("benchmarks/results/README.md", "[a](../README.md)", "[a](../README.md)"),
    ],
)
def test_links_to_other_rooms_lead_to_their_pages(hooks: ModuleType, page: str, link: str, wanted: str) -> None:
    assert hooks.relinked(link, page) == wanted


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<script src="https://unpkg.com/x"></script>', ["https://unpkg.com/x"]),
        ('<link rel="stylesheet" href="//fonts.example/css">', ["//fonts.example/css"]),
        ('<img src="HTTP://host/a.png">', ["HTTP://host/a.png"]),
        ("<style>@import 'https://host/a.css'; b { c: url(\"//host/d\") }</style>", ["https://host/a.css", "//host/d"]),
        ('<a href="https://host">x</a><img src="a.png"><script src="b.js"></script>', []),
        ('<link rel="canonical" href="https://host/page">', []),
    ],
)
def test_what_a_page_would_fetch_is_seen(hooks: ModuleType, html: str, found: list[str]) -> None:
    assert hooks.fetched(html) == found
