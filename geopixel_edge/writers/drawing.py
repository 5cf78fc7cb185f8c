"""How masks and phrases look and light each other, in report.html and in the server's page: one style, one script."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent


def part(name: str) -> str:
    """A style or script that lies beside this file."""
    return (_HERE / name).read_text(encoding="utf-8")


DRAWING_STYLE, DRAWING_SCRIPT = part("drawing.css"), part("drawing.js")
