"""How an engine directory is published: written aside, then put in place by one rename. Needs no torch."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows: nothing is cleared away there
    fcntl = None  # type: ignore[assignment]

from ..errors import EngineError, ExportError, GeoPixelError, reason
from . import CHECKSUM_NAME, MANIFEST_NAME
from .directory import read_manifest

log = logging.getLogger(__name__)
_NAME_CHARACTERS = 100  # of the target's name, in the name of what is written aside


def clear_leftovers(target: Path) -> None:
    """Remove what exports and builds to this target left that were killed, and put back an engine they moved aside.

    A directory that a running process writes is left alone: it holds a lock, which ends with the process.
    """
    if fcntl is None or len(target.name) > _NAME_CHARACTERS:
        return
    name = re.compile(re.escape(f".{target.name}.partial-") + r"[0-9a-f]{8}(-replaced)?")
    with contextlib.suppress(OSError, ValueError):
        for path in sorted(target.parent.iterdir(), key=lambda one: one.name, reverse=True):
            if name.fullmatch(path.name) and not path.is_symlink() and path.is_dir() and not is_locked(path):
                _clear(path, target)


def _clear(path: Path, target: Path) -> None:
    if path.name.endswith("-replaced") and not target.exists():
        path.rename(target)
        log.warning("put %s back, which an export or a build had moved aside when it was killed", target)
        return
    size = sum(one.stat().st_size for one in path.rglob("*") if one.is_file() and not one.is_symlink())
    shutil.rmtree(path)
    log.warning("removed %s (%.1f MB), left by an export or a build that was killed", path, size / 1e6)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of this file or directory, or there is no telling."""
    if fcntl is None:
        return True
    place = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(place)
    return False


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
    """A locked directory beside the target, on the same file system, gone afterwards unless it was renamed."""
    # Not the process id: on a shared volume two containers can have the same one.
    root = target.with_name(f".{target.name[:_NAME_CHARACTERS]}.partial-{secrets.token_hex(4)}")
    try:
        root.mkdir()
    except (OSError, ValueError) as error:
        raise ExportError(f"{target.parent} cannot be written in ({reason(error)}); give another place") from None
    try:
        with locked(root):
            yield root
    except GeoPixelError:
        raise
    except OSError as error:
        raise ExportError(f"nothing was published: {error.strerror or error} ({target.parent})") from error
    except Exception as error:  # sizes that only the tracing or running of a graph shows to be impossible
        raise ExportError(f"nothing was published, a step failed ({reason(error)}); is config.json right?") from error
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """The lock of a file or directory held, where the file system has locks; it ends with the process."""
    if fcntl is None:
        yield
        return
    place = os.open(root, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(place)


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
