"""Files written aside and renamed, so that each is whole or not there."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

from geopixel_edge.errors import OutputError
from geopixel_edge.json_text import encode_json


def write_bytes(path: Path, data: bytes) -> None:
    """`data` at `path`, whole, or what was there before; OutputError where there is no room or right."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_bytes(data)
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror}); free some room or choose another place, and run it again: "
            "what is finished is kept"
        ) from None


def write_json(path: Path, document: Any, indent: int | None = None) -> None:
    """A JSON document, UTF-8."""
    write_bytes(path, encode_json(document, indent))
