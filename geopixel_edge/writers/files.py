"""An answer's directory: one answer, whole, or the directory as it was."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from .. import limits
from ..document import SCHEMA
from ..errors import OutputError

# What an answer without exactly one image writes, and what is added with one.
ALWAYS = ("answer.json", "report.html")
WITH_IMAGE = ("overlay.png", "regions.geojson")
# answer.json names its directory's files where not all of these were written: the image could not be read any more.
FILES = "files"


def publish(
    directory: str | os.PathLike[str], contents: Mapping[str, bytes], inputs: Iterable[Path] = ()
) -> tuple[Path, ...]:
    """Write every file aside in `directory`, made if needed, then rename all; returns their paths.

    Files of an earlier answer that this one does not have are removed. OutputError as of `check_place`, and when a
    file cannot be written: what was there before stays then, and nothing is left behind.
    """
    root = check_place(directory, inputs)
    token = uuid.uuid4().hex
    made = [folder for folder in (root, *root.parents) if not os.path.lexists(folder)]
    asides = {name: root / f".{name}.{token}.partial" for name in contents}
    try:
        root.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            _write(asides[name], data)
        _exchange(root, asides, token)
    except (OSError, ValueError) as error:
        raise _cannot(root, error) from None
    finally:
        _clear(asides.values(), made)
    return tuple(root / name for name in contents)


def check_place(directory: str | os.PathLike[str], inputs: Iterable[Path] = ()) -> Path:
    """The directory as a path, if an answer about the files `inputs` may be written there.

    OutputError when it is no path or no directory, when one of an answer's files would replace an input (also through
    a link), and when one of their names is taken by a file that is no earlier answer's.
    """
    try:
        root = Path(directory)
    except TypeError:
        raise OutputError(f"directory={directory!r} is not a path; give the directory to write to") from None
    if os.fspath(directory) in ("", b""):
        raise OutputError("directory='' names no directory; give one, '.' for the one you are in")
    try:
        _check_kind(root)
        taken = [path for name in (*ALWAYS, *WITH_IMAGE) if os.path.lexists(path := root / name)]
        own = _earlier(root) if taken else ()
        for path in taken:
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{path.name} is a directory there")
            if any(_same(path, one) for one in inputs):
                raise OutputError(
                    f"directory={str(root)!r}: {path.name} there is an image that was asked about, and would be "
                    "replaced; choose another directory"
                )
            if path.name not in own:
                raise OutputError(
                    f"directory={str(root)!r}: {path.name} is there and is no earlier answer's; choose another "
                    "directory, or move the file"
                )
    except (OSError, ValueError) as error:
        raise _cannot(root, error) from None
    return root


def read(directory: str | os.PathLike[str]) -> tuple[dict[str, Any], str]:
    """What `directory`/answer.json holds, not yet checked, and the words that name this file in errors.

    OutputError when `directory` is no directory, has no such file, or the file is too large or no JSON.
    """
    try:
        root = Path(directory)
    except TypeError:
        raise OutputError(f"directory={directory!r} is not a path; give the directory of a saved answer") from None
    what = f"directory={str(root)[:200]!r}"
    try:
        if not stat.S_ISDIR(os.stat(root).st_mode) or os.fspath(directory) in ("", b""):
            raise OutputError(f"{what} is no directory; give the one that answer.save wrote to")
        status = os.stat(root / ALWAYS[0])
        if not stat.S_ISREG(status.st_mode):
            raise OutputError(f"{what}: {ALWAYS[0]} there is no regular file; give a directory that answer.save wrote")
        if status.st_size > limits.MAX_ANSWER_BYTES:
            raise OutputError(
                f"{what}: {ALWAYS[0]} has {status.st_size} bytes, over {limits.MAX_ANSWER_BYTES}; it is no answer's"
            )
        with (root / ALWAYS[0]).open("rb") as stream:
            data = stream.read(limits.MAX_ANSWER_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{what}: {ALWAYS[0]} cannot be read ({reason}); give a directory that answer.save wrote"
        ) from None
    where = f"{what}: {ALWAYS[0]}"
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_no_constant), where
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise OutputError(f"{where} is no JSON document ({reason}); copy it again from its source") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _check_kind(root: Path) -> None:
    """NotADirectoryError for anything else that is there, other OSErrors and ValueErrors for what can be no path."""
    try:
        mode = os.stat(root).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def _earlier(root: Path) -> tuple[str, ...]:
    """The names of the files that an answer saved here before has written; none where there is no answer."""
    try:
        found, _ = read(root)
    except OutputError:
        return ()
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        return ()
    usual = (*ALWAYS, *WITH_IMAGE) if found.get("image_size") else ALWAYS
    told = found.get(FILES)
    return tuple(name for name in usual if name in told) if isinstance(told, list) else usual


def _same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except FileNotFoundError:
        return False


def _exchange(root: Path, asides: Mapping[str, Path], token: str) -> None:
    """Move the earlier answer out of the way and the new one in; an error on the way brings the earlier one back."""
    earlier = {name: root / f".{name}.{token}.earlier" for name in (*ALWAYS, *WITH_IMAGE)}
    moved: list[str] = []
    placed: list[str] = []
    try:
        for name, backup in earlier.items():
            if os.path.lexists(root / name):
                os.replace(root / name, backup)
                moved.append(name)
        for name, aside in asides.items():
            os.replace(aside, root / name)
            placed.append(name)
    except OSError:
        for name in placed:
            (root / name).unlink()
        for name in moved:
            os.replace(earlier[name], root / name)
        raise
    for name in moved:
        earlier[name].unlink()


def _cannot(root: Path, error: OSError | ValueError) -> OutputError:
    reason = getattr(error, "strerror", None) or str(error)
    return OutputError(f"directory={str(root)[:200]!r} cannot be written ({reason}); choose another place")


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _clear(asides: Iterable[Path], made: Iterable[Path]) -> None:
    """Remove what was not renamed, and those of the folders `made`, innermost first, that are still empty."""
    for path in asides:
        with contextlib.suppress(OSError, ValueError):  # renamed, or its folder was never made
            path.unlink()
    for folder in made:
        with contextlib.suppress(OSError, ValueError):  # it holds what was published, or was never made
            folder.rmdir()
