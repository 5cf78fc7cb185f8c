"""The fixed parts of report.html: its style and its script."""

from __future__ import annotations

from .drawing import DRAWING_SCRIPT, DRAWING_STYLE, part

STYLE = f"\n{DRAWING_STYLE}{part('report.css')}"
SCRIPT = f"\n{DRAWING_SCRIPT}\n{part('report.js')}"
