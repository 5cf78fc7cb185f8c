"""What the pages tell a reader to type: commands in blocks and in running text, and Python snippets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/**/*.md", "benchmarks/*.md", "benchmarks/results/*.md", "training/*.md")
# Words that begin a command in running text. A module or verb alone, as in `python -m benchmarks.accuracy`, is a name.
_PROGRAMS = r"(?:pip|python|geopixel-edge|make|pytest|ruff|mypy|pre-commit|cmake|apt|CMAKE_ARGS=\S+|\.)"
_COMMAND = re.compile(rf"{_PROGRAMS} \S.*")
_NAME = re.compile(r"python -m [\w.]+|geopixel-edge \w+")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_COMMENT = re.compile(r"(^|\s+)# .*$")


@dataclass
class Shown:
    """Everything shown, each with the pages that show it; `names` are programs spoken of without arguments."""

    commands: dict[str, set[str]] = field(default_factory=dict)
    snippets: dict[str, set[str]] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=dict)


def shown(root: Path = ROOT) -> Shown:
    """All commands and snippets of the pages."""
    found = Shown()
    for path in sorted(path for pattern in PAGES for path in root.glob(pattern)):
        read_page(found, path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))
    return found


def read_page(found: Shown, page: str, text: str) -> None:
    """Add what one page shows. ValueError for a fenced block that is neither Python, commands nor `text`."""
    for language, block in _FENCE.findall(text):
        if language == "python":
            found.snippets.setdefault(block, set()).add(page)
        elif language in ("", "sh", "bash", "console"):
            _add(found.commands, commands_of(block), page)
        elif language != "text":
            raise ValueError(f"{page} has a block in {language!r}; give python or sh, which are run, or text")
    text = _FENCE.sub("", text)
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.M):
        if not block.split()[0].endswith("/"):  # else a picture of a directory, whose first line names it
            _add(found.commands, commands_of(block), page)
    prose = re.sub(r"^    .*$", "", text, flags=re.M)
    for words in re.findall(r"`([^`]+)`", re.sub(r"\s*\n\s*", " ", prose)):
        if _COMMAND.fullmatch(words):
            _add(found.names if _NAME.fullmatch(words) else found.commands, [words], page)


def commands_of(block: str) -> list[str]:
    """The commands of a block, one a line unless a backslash joins lines, without comments."""
    lines = (_COMMENT.sub("", line.strip()) for line in block.replace("\\\n", " ").splitlines())
    return [re.sub(r" {2,}", " ", line) for line in lines if line]


def examples_of(epilog: str) -> list[str]:
    """The commands that the epilog of a `--help` lists under "examples:"."""
    (block,) = re.findall(r"^examples:\n((?:  .*\n)+)", epilog, re.M)
    return commands_of(block)


def _add(where: dict[str, set[str]], words: list[str], page: str) -> None:
    for one in words:
        where.setdefault(one, set()).add(page)
