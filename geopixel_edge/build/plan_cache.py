"""Plans kept by what they were built from, so that a build that was killed goes on, and an equal one is not repeated.

Two builds of one model give different bytes: a plan's name is a digest of its inputs, flags and library, never of
itself. An entry counts once its record stands beside it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ..engine.digests import sha256_of
from ..engine.manifest import TensorSpec
from ..errors import ExportError, reason


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

    def place(self, key: str) -> Path:
        """Where a plan is written before it is kept; ExportError where the folder cannot be made."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExportError(
                f"plans={str(self.root)!r} cannot be made ({reason(error)}); give another folder"
            ) from None
        return self.root / f"{key}.partial-{os.getpid()}"

    def keep(self, key: str, written: Path, kept: Kept) -> Path:
        """Take a written plan in: the record last."""
        plan, record = self.root / f"{key}.plan", self.root / f"{key}.json"
        written.replace(plan)
        aside = record.with_name(f"{record.name}.partial-{os.getpid()}")
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
