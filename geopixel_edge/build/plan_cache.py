"""Plans kept by what they were built from, so that a build that was killed goes on, and an equal one is not repeated.

Two builds of one model give different bytes: a plan's name is a digest of its inputs, flags and library, never of
itself. An entry counts once its record stands beside it.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ..engine.digests import sha256_of
from ..engine.manifest import TensorSpec
from ..engine.publish import is_locked, locked
from ..errors import ExportError, reason

log = logging.getLogger(__name__)
_PARTIAL = ".partial-"


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a plan: its own digest, its block's inputs and outputs, and how it was built."""

    sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    layers: dict[str, int]
    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class PlanCache:
    """A folder of plans; `<key>.plan` with `<key>.json` beside it."""

    root: Path

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Where a file is written before it is kept, locked, and gone afterwards; ExportError where it cannot be."""
        path = self.root / f"{name}{_PARTIAL}{secrets.token_hex(4)}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError as error:
            raise ExportError(
                f"plans={str(self.root)!r} cannot be written in ({reason(error)}); give another folder"
            ) from None
        try:
            with locked(path):
                yield path
        finally:
            path.unlink(missing_ok=True)

    def clear_leftovers(self) -> None:
        """Remove what builds that were killed were writing; what a running one writes is locked, and left alone."""
        with contextlib.suppress(OSError):
            for path in self.root.glob(f"*{_PARTIAL}*"):
                if not is_locked(path):
                    path.unlink(missing_ok=True)
                    log.warning("removed %s, left by a build that was killed", path)

    def keep(self, key: str, written: Path, kept: Kept) -> Path:
        """Take a written plan in: the record last."""
        plan, record = self.root / f"{key}.plan", self.root / f"{key}.json"
        written.replace(plan)
        with self.writing(record.name) as aside:
            aside.write_bytes(msgspec.json.encode(kept))
            aside.replace(record)
        return plan

    def find(self, key: str) -> tuple[Path, Kept] | None:
        """A kept plan that is what its record says; None when there is none."""
        plan, record = self.root / f"{key}.plan", self.root / f"{key}.json"
        try:
            kept = msgspec.json.decode(record.read_bytes(), type=Kept)
            return (plan, kept) if sha256_of(plan) == kept.sha256 else None
        except (OSError, ValueError):
            return None


def key_of(facts: Mapping[str, Any]) -> str:
    """The digest that names a plan built from these facts."""
    return hashlib.sha256(msgspec.json.encode(facts, order="sorted")).hexdigest()


def link(source: Path, target: Path) -> None:
    """The same file at another place, copied where the file system has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
