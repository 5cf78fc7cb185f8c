"""Views: what one window shows of things, one 8-connected part of its mask each."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.native import native
from ..masks import Mask
from .parts import parts
from .runs import Runs, without
from .windows import MARGIN_PX, Grid


class Found(NamedTuple):
    """One region that a window's answer points at: its mask of the window, and the model's estimate of its IoU."""

    mask: Mask
    score: float


class View(NamedTuple):
    """One part of one window's mask, in pixels of the scene."""

    window: int
    runs: Runs
    score: float
    area_px: int
    # The least distance to a border of the window that is none of the scene: how centrally the thing was seen.
    margin_px: int

    @property
    def whole(self) -> bool:
        """Whether no border of its window cuts it."""
        return self.margin_px >= MARGIN_PX

    @property
    def bottom_px(self) -> int:
        """The pixel row below its last."""
        return self.runs.y + self.runs.h

    @property
    def key(self) -> tuple[int, int, tuple[int, ...], bytes]:
        """An order of views that depends on nothing but them: the most central first."""
        return -self.margin_px, self.window, self.runs.box, self.runs.counts.tobytes()


def make_view(grid: Grid, window: int, runs: Runs, score: float) -> View:
    """A view of a window of the grid."""
    return View(window, runs, score, runs.area_px, grid.margin(window, runs.box))


def view_parts(found: Sequence[Found], valid: NDArray[np.bool_]) -> Iterable[tuple[Runs, float]]:
    """The parts of a window's regions and their scores, in pixels of the window; no pixel lies in two.

    Where regions share pixels the better score keeps them; pixels that are missing in the scene count for none.
    """
    usable = None if valid.all() else Runs(*native.mask_from_array(np.ascontiguousarray(valid)))
    taken: list[Runs] = []
    for region in sorted(found, key=functools.cmp_to_key(_better)):
        runs = Runs(*region.mask.bbox, region.mask.counts)
        if usable is not None and runs.counts.size:
            runs = Runs(*native.rle_combine(runs.box, runs.counts, usable.box, usable.counts, kind="intersection"))
        for left in without([runs], taken) if runs.counts.size else ():
            taken.append(left)
            yield from ((part, region.score) for part in parts(left))


def _better(one: Found, other: Found) -> int:
    a, b = (-1.0 if region.score != region.score else region.score for region in (one, other))  # NaN: unknown
    if a != b:
        return -1 if a > b else 1
    left, right = (bytes(str(region.mask.bbox), "ascii") + region.mask.counts.tobytes() for region in (one, other))
    return (left > right) - (left < right)
