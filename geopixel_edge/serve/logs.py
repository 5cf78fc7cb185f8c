"""The server's log: one JSON object a line on standard error, without anything that a client asked or sent."""

from __future__ import annotations

import datetime
import logging
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


class _Lines(logging.Handler):
    """What libraries say by Python's logging, as lines of this log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one."""
        trace = {"trace": logging.Formatter().formatException(record.exc_info)} if record.exc_info else {}
        log("library", name=record.name, reason=record.getMessage()[:500], **trace)


def take_over_logging() -> None:
    """Have warnings and errors of libraries written as this process's other lines are."""
    logging.basicConfig(handlers=[_Lines()], level=logging.WARNING, force=True)
    logging.captureWarnings(True)
