"""How an engine directory is published: written aside, then put in place by one rename. Needs no torch."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import EngineError, ExportError, GeoPixelError, reason
from . import CHECKSUM_NAME, MANIFEST_NAME
from .directory import read_manifest


def check_target(target: Path, overwrite: bool) -> None:
    """ExportError unless the place is free, or holds an engine and nothing else and may be overwritten."""
    try:
        if not target.parent.is_dir():
            raise ExportError(f"engine_dir={str(target)!r} has no parent directory; create it first")
        target.lstat()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:  # too long a name, a null byte: better told now than after hours
        told = f"engine_dir={str(target)[:200]!r} cannot be used ({reason(error)[:100]}); give another"
        raise ExportError(told) from None
    if not overwrite or target.is_symlink():
        raise ExportError(
            f"engine_dir={str(target)!r} exists; give a new path (or --overwrite for an engine directory)"
        )
    try:
        known = {MANIFEST_NAME, CHECKSUM_NAME, *(spec.path for spec in read_manifest(target).files())}
    except EngineError as error:
        raise ExportError(f"engine_dir is not replaced, since it is no sound engine: {error}; or remove it") from None
    found = (path for path in target.rglob("*") if path.is_symlink() or not path.is_dir())
    if strangers := sorted({path.relative_to(target).as_posix() for path in found} - known):
        raise ExportError(f"engine_dir={str(target)!r} holds {strangers[0]!r}, which is not the engine's; move it")


@contextlib.contextmanager
def aside(target: Path) -> Iterator[Path]:
    """A directory beside the target, on the same file system, gone afterwards unless it was renamed."""
    # Not the process id: on a shared volume two containers can have the same one.
    root = target.with_name(f".{target.name[:100]}.partial-{secrets.token_hex(4)}")
    try:
        root.mkdir()
    except (OSError, ValueError) as error:
        raise ExportError(f"{target.parent} cannot be written in ({reason(error)}); give another place") from None
    try:
        yield root
    except GeoPixelError:
        raise
    except OSError as error:
        raise ExportError(f"nothing was published: {error.strerror or error} ({target.parent})") from error
    except Exception as error:  # sizes that only the tracing or running of a graph shows to be impossible
        raise ExportError(f"nothing was published, a step failed ({reason(error)}); is config.json right?") from error
    finally:
        shutil.rmtree(root, ignore_errors=True)


def publish(root: Path, target: Path, overwrite: bool) -> None:
    """One rename; an engine being replaced is moved aside first, removed last, and put back if that fails."""
    check_target(target, overwrite)  # hours may have passed
    if not target.exists():
        root.rename(target)
        return
    old = root.with_name(f"{root.name}-replaced")
    try:
        target.rename(old)
        root.rename(target)
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(old, ignore_errors=True)
