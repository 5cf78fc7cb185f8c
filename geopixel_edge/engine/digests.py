"""Digests of files and of their pieces of 64 MiB, made and checked on several threads."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ..errors import EngineCorruptError
from ..resources import shortage
from .manifest import CHUNK_BYTES, FileSpec

_READ_BYTES = 8 << 20
Piece = tuple[Path, FileSpec, int, str]


def _blocks(path: Path, offset: int, size: int) -> Iterator[bytes]:
    with path.open("rb") as stream:
        stream.seek(offset)
        while size > 0 and (read := stream.read(min(_READ_BYTES, size))):
            size -= len(read)
            yield read


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hex, read in 8 MiB blocks; OSError where it cannot be read."""
    digest = hashlib.sha256()
    for block in _blocks(path, 0, path.stat().st_size):
        digest.update(block)
    return digest.hexdigest()


def describe_file(root: Path, relative: str) -> FileSpec:
    """FileSpec of an existing file, for writing a manifest; read once."""
    path = root / relative
    size, whole, chunks = path.stat().st_size, hashlib.sha256(), []
    for offset in range(0, size, CHUNK_BYTES):
        piece = hashlib.sha256()
        for block in _blocks(path, offset, CHUNK_BYTES):
            whole.update(block)
            piece.update(block)
        chunks.append(piece.hexdigest())
    several = tuple(chunks) if len(chunks) > 1 else ()
    return FileSpec(path=relative, bytes=size, sha256=whole.hexdigest(), chunks=several)


def pieces(files: Sequence[tuple[Path, FileSpec]]) -> list[Piece]:
    """What there is to check: (path, file, offset, SHA-256) of every piece."""
    return [(path, spec, offset, digest) for path, spec in files for offset, digest in spec.pieces()]


def check_piece(piece: Piece) -> None:
    """EngineCorruptError when a piece is not what the manifest says; OSError where it cannot be read."""
    path, spec, offset, wanted = piece
    if (size := path.stat().st_size) != spec.bytes:
        raise EngineCorruptError(f"{path} has {size} bytes, not {spec.bytes}; copy the engine again")
    digest = hashlib.sha256()
    for block in _blocks(path, offset, CHUNK_BYTES if spec.chunks else spec.bytes):
        digest.update(block)
    if digest.hexdigest() != wanted:
        raise _altered(path, spec, offset)


def check_digests(files: Sequence[tuple[Path, FileSpec]]) -> None:
    """Check every piece on up to four threads, or on this one where no other can be started."""
    _on_threads(check_piece, pieces(files))


@contextmanager
def checked_bytes(path: Path, spec: FileSpec) -> Iterator[mmap.mmap]:
    """A file's bytes, mapped once they are proved to be the manifest's: no other file takes its place in between."""
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size != spec.bytes:
            raise EngineCorruptError(f"{path} has {size} bytes, not {spec.bytes}; copy the engine again")
        if not size:
            raise EngineCorruptError(f"{path} is empty; copy the engine again, or build it again")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            with memoryview(data) as view:
                _on_threads(partial(check_part, view), pieces([(path, spec)]))
            yield data


def check_part(view: memoryview, piece: Piece) -> None:
    """EngineCorruptError where a chunk of a file is not what its digest says."""
    path, spec, offset, wanted = piece
    with view[offset : offset + (CHUNK_BYTES if spec.chunks else spec.bytes)] as part:
        if hashlib.sha256(part).hexdigest() != wanted:
            raise _altered(path, spec, offset)


def _altered(path: Path, spec: FileSpec, offset: int) -> EngineCorruptError:
    where = f" in its 64 MiB at {offset}" if spec.chunks else ""
    return EngineCorruptError(f"{path} has another SHA-256{where} than the manifest says; copy the engine again")


def _on_threads(check: Callable[[Piece], None], found: list[Piece]) -> None:
    try:
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            list(pool.map(check, found))
    except RuntimeError as error:
        if shortage(error, "hashing") is None:
            raise
        for piece in found:
            check(piece)
