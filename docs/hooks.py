"""What `mkdocs.yml` adds to the pages: those of other rooms, the table of bounds, the proof that nothing is remote."""

from __future__ import annotations

import ast
import posixpath
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LIMITS = ROOT / "geopixel_edge" / "limits.py"
MARK = "<!-- bounds -->"
# Pages that stand in the rooms they are about, and what they show; a link to `../training/REPORT.md` leads to them both
# here and where the repository is read.
ELSEWHERE = (
    "benchmarks/*.md",
    "benchmarks/results/*",
    "training/*.md",
    "training/*.png",
    "training/*.jpg",
    "training/recipes/*",
    "training/checkpoint/config.json",
)
ROOMS = ("benchmarks", "training")
_LINK = re.compile(r"\]\(((?:\.\./)+)([^)#]+)")
_SECTION = re.compile(r"^# --- (.+?) -*$")
# Attributes that make a browser fetch something by itself; an `<a href>` does not.
_FETCHED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of other rooms under their own paths."""
    from mkdocs.structure.files import File

    for path in sorted(path for pattern in ELSEWHERE for path in ROOT.glob(pattern) if path.is_file()):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links to other rooms lead to the pages added; the page of limits gets its table."""
    return with_bounds(relinked(markdown, page.file.src_uri), LIMITS.read_text(encoding="utf-8"))


def on_post_build(config: Any) -> None:
    """End the build with an error when a page fetches anything from another place."""
    from mkdocs.exceptions import PluginError

    pages = sorted(Path(config["site_dir"]).rglob("*.html"))
    found = {path.name: remote for path in pages if (remote := fetched(path.read_text(encoding="utf-8")))}
    if found or not pages:
        raise PluginError(f"{len(pages)} pages built; these fetch what is not theirs: {found}")


def relinked(markdown: str, src_uri: str) -> str:
    """Links from a page at `docs/<src_uri>` into ROOMS, as they are once the rooms' pages lie in docs."""
    if src_uri.partition("/")[0] in ROOMS:
        return markdown

    def inside(link: re.Match[str]) -> str:
        folder = posixpath.dirname(posixpath.join("docs", src_uri))
        target = posixpath.normpath(posixpath.join(folder, link[1] + link[2]))
        if target.partition("/")[0] not in ROOMS:
            return link[0]
        return "](" + posixpath.relpath(target, posixpath.dirname(src_uri) or ".")

    return _LINK.sub(inside, markdown)


def with_bounds(markdown: str, source: str) -> str:
    """The page with a table in the place of its mark."""
    return markdown.replace(MARK, bounds(source)) if MARK in markdown else markdown


def bounds(source: str) -> str:
    """Tables of every bound of `limits.py`: name, value, and the comment above it, which is its reason."""
    lines, out, reason = source.splitlines(), [], []
    values = {node.lineno: node for node in ast.parse(source).body if isinstance(node, ast.Assign)}
    for number, line in enumerate(lines, 1):
        if section := _SECTION.match(line):
            out += [f"\n## {section[1]}\n", "| bound | value | why |", "|---|---:|---|"]
        elif line.startswith("#"):
            reason.append(line.lstrip("# "))
        elif number in values:
            name, value = ast.unparse(values[number].targets[0]), _number(values[number].value)
            out.append(f"| `{name}` | {value} | {' '.join(reason)} |")
        if not line.startswith("#") or section:
            reason = []
    return "\n".join(out).strip() + "\n"


def _number(value: ast.expr) -> str:
    """A constant, or a product or power of some, with its thousands apart."""
    found = eval(compile(ast.Expression(value), "limits.py", "eval"), {"__builtins__": {}})
    return f"{found:,}"


class _Fetches(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        target = given.get(_FETCHED.get(tag, ""))
        if tag == "link" and given.get("rel") in ("canonical", "next", "prev", "edit"):
            return
        if target and re.match(r"(?:[a-z][a-z0-9+.-]*:)?//", target, re.I):
            self.found.append(target)


def fetched(html: str) -> list[str]:
    """What a browser would load from another host while it shows the page, style sheets inside the page included."""
    parser = _Fetches()
    parser.feed(html)
    return parser.found + re.findall(r"(?:@import\s+|url\()[\"']?((?:https?:)?//[^\"')\s]+)", html)
