"""The engine directory: how its manifest is read and written, and how its files are verified before use."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from .. import limits
from ..errors import EngineCorruptError, EngineError, EngineNotFoundError, EnginePathError, EngineSchemaError
from . import CHECKSUM_NAME, MANIFEST_NAME
from .digests import check_digests
from .faults import faults
from .manifest import SCHEMA_VERSION, FileSpec, Manifest
from .upgrade import ManifestV1, upgraded

_T = TypeVar("_T")
# Parts of plain characters joined by slashes: no root, drive, backslash, "." or "..", nothing hidden.
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")

_CHECKSUM = re.compile(rb"[0-9a-f]{64}  " + re.escape(MANIFEST_NAME).encode() + rb"\n")


class _Header(msgspec.Struct):
    schema_version: int


def read_manifest(root: Path) -> Manifest:
    """Parse `root/manifest.json` and check it against itself and its checksum; the files it names are not opened.

    Raises EngineNotFoundError, EnginePathError, EngineSchemaError, EngineCorruptError or, for what the system
    refuses, EngineError.
    """
    path = root / MANIFEST_NAME
    try:
        if not root.is_dir():
            raise EngineNotFoundError(f"engine_dir={str(root)!r} is no directory; write one: `geopixel-edge export`")
        data = _read_small(root, MANIFEST_NAME)
        version = _decode(path, data, _Header).schema_version
        if version not in (1, SCHEMA_VERSION):
            raise EngineSchemaError(
                f"{path} has schema {version}, this version reads 1 and {SCHEMA_VERSION}; upgrade or export again"
            )
        if not _vouches(_read_small(root, CHECKSUM_NAME), data):
            raise EngineCorruptError(f"{path} is not what {CHECKSUM_NAME} vouches for; copy the engine again")
    except (OSError, ValueError) as error:
        raise EngineError(f"engine_dir={str(root)!r} cannot be read: {error}; check its permissions") from None
    return _parse(path, data)


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Write `manifest.json` and its checksum into `root`; EngineSchemaError, and nothing written, if it has faults."""
    data = _encoded(root, manifest)
    (root / MANIFEST_NAME).write_bytes(data)
    (root / CHECKSUM_NAME).write_bytes(_checksum_line(data))


def replace_manifest(root: Path, manifest: Manifest) -> None:
    """Exchange the manifest of an engine that may be in use; a kill at any moment leaves one that is whole.

    Between the two renames the checksum file vouches for both. OSError where the directory cannot be written.
    """
    data = _encoded(root, manifest)
    before = _checksum_line((root / MANIFEST_NAME).read_bytes())
    for name, content in (
        (CHECKSUM_NAME, before + _checksum_line(data)),
        (MANIFEST_NAME, data),
        (CHECKSUM_NAME, _checksum_line(data)),
    ):
        aside = root / f".{name}.partial-{os.getpid()}"
        try:
            aside.write_bytes(content)
            aside.replace(root / name)
        finally:
            aside.unlink(missing_ok=True)


def _encoded(root: Path, manifest: Manifest) -> bytes:
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    _parse(root / MANIFEST_NAME, data)
    return data


def _vouches(checksum: bytes, data: bytes) -> bool:
    """Whether the checksum file is that of the manifest; of two lines one may be of the manifest it replaces."""
    lines = checksum.splitlines(keepends=True)
    return len(lines) <= 2 and _checksum_line(data) in lines and all(map(_CHECKSUM.fullmatch, lines))


def _parse(path: Path, data: bytes) -> Manifest:
    if _decode(path, data, _Header).schema_version == 1:
        manifest = upgraded(_decode(path, data, ManifestV1))
    else:
        manifest = _decode(path, data, Manifest)
    if found := faults(manifest):
        raise EngineSchemaError(f"{path}: {'; '.join(found)}; export again")
    return manifest


def _checksum_line(data: bytes) -> bytes:
    return f"{hashlib.sha256(data).hexdigest()}  {MANIFEST_NAME}\n".encode()


def _read_small(root: Path, name: str) -> bytes:
    path = root / name
    _check_link(path)
    if not path.is_file():
        raise EngineNotFoundError(f"engine_dir={str(root)!r} has no file {name}; copy the directory whole")
    with path.open("rb") as stream:
        data = stream.read(limits.MAX_MANIFEST_BYTES + 1)
    if len(data) > limits.MAX_MANIFEST_BYTES:
        raise EngineSchemaError(f"{path} has over {limits.MAX_MANIFEST_BYTES} bytes, no manifest has; export again")
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is given twice")
    return found


def _decode(path: Path, data: bytes, kind: type[_T]) -> _T:
    try:
        json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:
        raise EngineSchemaError(f"{path} is no manifest of schema {SCHEMA_VERSION}: {error}; export again") from None


def resolve(root: Path, spec: FileSpec) -> Path:
    """The file's path, proved to be a regular file of the right size below `root`.

    The file itself may be a relative link, as in a Hugging Face cache (`../../blobs/<sha256>`): its hash vouches for
    it. A link among the directories, or an absolute one, is refused.
    """
    if not _PATH.fullmatch(spec.path):
        raise EnginePathError(f"manifest path {spec.path[:200]!r} is not a plain one inside {root}; do not use it")
    path = root
    try:
        *directories, name = spec.path.split("/")
        for part in directories:
            path = path / part
            if path.is_symlink():
                raise _link_error(path)
        path = path / name
        _check_link(path)
        if not path.is_file():
            raise EngineCorruptError(f"{path} is missing or no regular file; copy the engine again from its source")
        size = path.stat().st_size
    except OSError as error:
        raise EngineCorruptError(f"{str(path)[:200]!r} is not readable: {error.strerror}; copy it again") from None
    if size != spec.bytes:
        raise EngineCorruptError(f"{path} has {size} bytes, the manifest says {spec.bytes}; copy the engine again")
    return path


def _check_link(path: Path) -> None:
    """EnginePathError for an absolute link: the engine would change when it, or what it points to, is moved."""
    if path.is_symlink() and os.path.isabs(os.readlink(path)):
        raise _link_error(path)


def _link_error(path: Path) -> EnginePathError:
    return EnginePathError(
        f"{path} is a symbolic link; only relative links to files are followed: copy the engine's folder with its real "
        "files (cp -L -r ENGINE COPY)"
    )


def manifest_digest(root: Path) -> str:
    """SHA-256 of an engine's `manifest.json` in hex; EngineError when there is none to read."""
    try:
        return hashlib.sha256(_read_small(root, MANIFEST_NAME)).hexdigest()
    except OSError as error:
        raise EngineError(f"engine_dir={str(root)!r} cannot be read: {error}; check its permissions") from None


class Engine:
    """A verified engine directory.

    Opening it checks the manifest, then every file it names (path, size, SHA-256), before any is handed to a runtime:
    engines are executable code. Attributes: `root` (absolute Path), `manifest` and `digest` (SHA-256 of the manifest,
    which vouches for every other file). Raises EngineError subclasses.
    """

    def __init__(self, engine_dir: str | os.PathLike[str]) -> None:
        try:
            self.root = Path(engine_dir).absolute()
            self.manifest = read_manifest(self.root)
            specs = sorted(self.manifest.files(), key=lambda spec: -spec.bytes)
            paths = [resolve(self.root, spec) for spec in specs]
            self.digest = manifest_digest(self.root)
            self.damage: str | None = None  # what a scrub found
            check_digests(list(zip(paths, specs, strict=True)))
        except TypeError:
            raise EngineError(f"engine_dir={engine_dir!r} is no path; give the directory an export wrote") from None
        except (OSError, ValueError) as error:
            raise EngineError(f"engine_dir={str(engine_dir)!r} cannot be read: {error}; check permissions") from None

    def replace_manifest(self, manifest: Manifest) -> None:
        """Write another manifest for the same files, and go on with it; OSError where that is not possible."""
        replace_manifest(self.root, manifest)
        self.manifest, self.digest = manifest, manifest_digest(self.root)

    def check_sound(self) -> None:
        """EngineCorruptError once a scrub has found a file changed."""
        if self.damage is not None:
            raise EngineCorruptError(self.damage)

    def path(self, spec: FileSpec) -> Path:
        """Absolute path of a file of this engine."""
        return resolve(self.root, spec)
