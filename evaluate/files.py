"""Files written aside and renamed, so that each is whole or not there."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import time
import uuid
import zlib
from pathlib import Path
from typing import Any

from geopixel_edge.errors import OutputError
from geopixel_edge.json_text import encode_json

_HOST = f"{zlib.crc32(socket.gethostname().encode()):08x}"
# Which machine and process writes it: where that one has ended, nobody will rename it.
_ASIDE = re.compile(r"\..+\.([0-9a-f]{8})-([0-9]+)-[0-9a-f]{8}\.partial")
# A writing takes milliseconds; other machines' processes cannot be asked whether they live.
_ABANDONED_S = 24 * 3600.0


def clear_leftovers(folder: Path) -> None:
    """Remove what processes that were killed left beside their files; what a running one writes is left alone."""
    for path in folder.glob(".*.partial"):
        found = _ASIDE.fullmatch(path.name)
        with contextlib.suppress(OSError):
            mine = found is not None and found[1] == _HOST and not _runs(int(found[2]))
            if mine or time.time() - path.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def aside_of(path: Path) -> Path:
    """Where this process writes what `path` will be."""
    return path.with_name(f".{path.name}.{_HOST}-{os.getpid()}-{uuid.uuid4().hex[:8]}.partial")


def write_bytes(path: Path, data: bytes) -> None:
    """`data` at `path`, whole, or what was there before; OutputError where there is no room or right."""
    aside = aside_of(path)
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
