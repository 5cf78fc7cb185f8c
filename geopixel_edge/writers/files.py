"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Mapping
from pathlib import Path

from ..errors import OutputError


def publish(directory: str | os.PathLike[str], contents: Mapping[str, bytes]) -> tuple[Path, ...]:
    """Write every file aside in `directory`, made if needed, then rename all; returns their paths.

    OutputError when one cannot be written: none is renamed then, and nothing is left behind.
    """
    try:
        root = Path(directory)
    except TypeError:
        raise OutputError(f"directory={directory!r} is not a path; give the directory to write to") from None
    made = not root.exists()
    paths = [root / name for name in contents]
    asides = [root / f".{name}.{uuid.uuid4().hex}.partial" for name in contents]
    try:
        root.mkdir(parents=True, exist_ok=True)
        for path in paths:
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{path.name} is a directory there")
        for aside, data in zip(asides, contents.values(), strict=True):
            _write(aside, data)
        for aside, path in zip(asides, paths, strict=True):
            os.replace(aside, path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"directory={str(root)!r} cannot be written ({reason}); choose another place") from None
    finally:
        _clear(root, asides, made)
    return tuple(paths)


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _clear(root: Path, asides: list[Path], made: bool) -> None:
    """Remove what was not renamed, and the directory if it is new and empty."""
    try:
        for aside in asides:
            aside.unlink(missing_ok=True)
        if made:
            root.rmdir()
    except (OSError, ValueError):
        return  # nothing there, or files that were published
