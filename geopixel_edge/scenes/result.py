"""What comes out of a scene."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..kernels.native import native
from ..rasters.region_place import RegionPlace
from .runs import Runs, bounds
from .windows import Box


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
class SceneObject:
    """One object of a layer: its pixels in the scene, exact, and where it is.

    `score` is the best estimate of its mask's IoU, `whole` whether a window saw it uncut, `views` how often
    it was seen.
    """

    id: int
    phrase: str
    score: float
    area_px: int
    whole: bool
    views: int
    place: RegionPlace | None
    pieces: tuple[Runs, ...] = field(repr=False)

    @property
    def bbox(self) -> Box:
        """x, y, width, height in pixels of the scene."""
        return bounds(self.pieces)

    def mask(self) -> NDArray[np.bool_]:
        """bool (height, width): its pixels within `bbox`."""
        x, y, w, h = self.bbox
        out = np.zeros((h, w), np.bool_)
        for piece in self.pieces:
            shown = native.rle_window((0, 0, piece.w, piece.h), piece.counts, (0, 0, piece.w, piece.h))
            out[piece.y - y : piece.y - y + piece.h, piece.x - x : piece.x - x + piece.w] |= shown
        return out


@dataclass(frozen=True, eq=False)
class SceneResult:
    """A finished scene: its objects by id, how many windows there were, empty and failed, notes, and files written."""

    objects: tuple[SceneObject, ...] = field(repr=False)
    counts: dict[str, int]
    windows: int
    empty: int
    failed: int
    notes: tuple[str, ...]
    paths: tuple[Path, ...]


def counted(counts: dict[str, int], phrases: tuple[str, ...]) -> dict[str, int]:
    """Numbers of objects by phrase, those that were asked for first, 0 where there is none."""
    others = {phrase: number for phrase, number in sorted(counts.items()) if phrase not in phrases}
    return {**{phrase: counts.get(phrase, 0) for phrase in phrases}, **others}
