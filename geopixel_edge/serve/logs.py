"""The server's log: one JSON object a line on standard error, without anything that a client asked or sent."""

from __future__ import annotations

import datetime
import sys
from typing import Any

import msgspec


def log(event: str, **fields: Any) -> None:
    """Write one line; a log that cannot be written stops nothing."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    line = msgspec.json.encode({"time": now, "event": event, **fields}).decode()
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return
