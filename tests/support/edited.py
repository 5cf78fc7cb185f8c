"""A JSON file with a change, for tests of data that are not what they should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Change = Callable[[Any], object]


def edited(path: Path, change: Change) -> None:
    """Write the file anew as `change` leaves what it holds."""
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record)
    path.write_text(json.dumps(record), encoding="utf-8")
