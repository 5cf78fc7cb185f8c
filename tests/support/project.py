"""`pyproject.toml`, read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]


def pyproject() -> dict[str, Any]:
    """What it holds, table by table."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
