"""What comes out of a scene."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..writers.layers.feature import SceneObject as SceneObject


@dataclass(frozen=True)
class Progress:
    """How far a job is: windows `done` of `total`, those among them that are `empty` or `failed`, what was `found`.

    `found` counts parts of masks before merging. `window_s` is seconds a window in this run, `left_s` what is left;
    None until a window was asked.
    """

    done: int
    total: int
    empty: int
    failed: int
    found: int
    window_s: float | None
    left_s: float | None


@dataclass(frozen=True, eq=False)
class SceneResult:
    """A finished scene: its objects by id, how many windows there were, empty and failed, notes, and files written.

    `description` is what the model says of the whole, where that was asked.
    """

    objects: tuple[SceneObject, ...] = field(repr=False)
    counts: dict[str, int]
    windows: int
    empty: int
    failed: int
    notes: tuple[str, ...]
    paths: tuple[Path, ...]
    description: str = ""


def counted(counts: dict[str, int], phrases: tuple[str, ...]) -> dict[str, int]:
    """Numbers of objects by phrase, those that were asked for first, 0 where there is none."""
    others = {phrase: number for phrase, number in sorted(counts.items()) if phrase not in phrases}
    return {**{phrase: counts.get(phrase, 0) for phrase in phrases}, **others}
