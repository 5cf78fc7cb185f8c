"""A pickled engine, opened anew: by the path of its directory, proved by the digest of its manifest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..errors import EngineMismatchError
from . import BUNDLED
from .directory import manifest_digest

T = TypeVar("T")


def reopened(opener: Callable[..., T], root: Path | None, digest: str, *arguments: object) -> T:
    """`opener(root, *arguments)`, None being the engine in the package; EngineMismatchError where it is another now."""
    place = BUNDLED if root is None else root
    if manifest_digest(place) != digest:
        named = "the engine in the package" if root is None else f"engine_dir={str(root)!r}"
        raise EngineMismatchError(f"{named} is another one here than the Pipeline that was pickled had; copy that one")
    return opener(place, *arguments)
