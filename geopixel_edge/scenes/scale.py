"""A scene as the model sees it: its own pixels, or fewer that each cover several, and the way back to its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..rasters.place import Place
from .parts import from_columns, in_columns
from .runs import PIECE_PX, Runs, inside
from .windows import Box

Size = tuple[int, int]
# What differs from the scene's own pixels by less is shown as it is.
_SAME = 1.01


@dataclass(frozen=True)
class Scale:
    """`scene_px` (width, height) of the file, `seen_px` of what is shown: never more pixels than the file has."""

    scene_px: Size
    seen_px: Size

    @property
    def plain(self) -> bool:
        """Whether the scene's own pixels are shown."""
        return self.scene_px == self.seen_px

    def edges(self, axis: int, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The scene's pixel edges next to those of the seen pixels, along x (0) or y (1)."""
        scene, seen = self.scene_px[axis], self.seen_px[axis]
        return (2 * np.asarray(numbers, np.int64) * scene + seen) // (2 * seen)

    def box(self, box: Box) -> Box:
        """A box of seen pixels, in pixels of the scene."""
        if self.plain:
            return box
        x, y, w, h = box
        left, right = self.edges(0, np.array([x, x + w])).tolist()
        top, bottom = self.edges(1, np.array([y, y + h])).tolist()
        return left, top, right - left, bottom - top

    def exact(self, box: Box) -> tuple[float, float, float, float]:
        """x, y, width, height of a box of seen pixels, in pixels of the scene and parts of them."""
        x, y = self.scene_px[0] / self.seen_px[0], self.scene_px[1] / self.seen_px[1]
        return box[0] * x, box[1] * y, box[2] * x, box[3] * y

    def pieces(self, pieces: Iterable[Runs]) -> tuple[Runs, ...]:
        """Disjoint pieces of seen pixels as those of the scene: every pixel of it belongs to one that is seen."""
        if self.plain:
            return tuple(pieces)
        return tuple(self._enlarged(part) for piece in pieces for part in self._small(piece))

    def _small(self, piece: Runs) -> Iterator[Runs]:
        """A piece in parts that stay small enough for the kernels when they are enlarged."""
        most = max(1, int(PIECE_PX / max(a / b for a, b in zip(self.scene_px, self.seen_px, strict=True))))
        if max(piece.w, piece.h) <= most:
            yield piece
            return
        for y in range(piece.y, piece.y + piece.h, most):
            for x in range(piece.x, piece.x + piece.w, most):
                part = inside(piece, (x, y, most, most))
                if part.counts.size:
                    yield part

    def _enlarged(self, piece: Runs) -> Runs:
        column, low, high = in_columns(piece.counts, piece.h)
        left, right = self.edges(0, piece.x + column), self.edges(0, piece.x + column + 1)
        wide = right - left
        run = np.repeat(np.arange(len(column)), wide)
        x = left[run] + np.arange(len(run)) - np.repeat(np.cumsum(wide) - wide, wide)
        top, bottom = self.edges(1, piece.y + low)[run], self.edges(1, piece.y + high)[run]
        order = np.lexsort((top, x))
        return from_columns(x[order], top[order], bottom[order])


def scale_of(place: Place, gsd_m: float | None) -> Scale:
    """The scale that shows a scene at `gsd_m` metres a pixel, both ways; its own pixels for None.

    OptionError where the scene has no size on the ground, or is coarser than that.
    """
    size = place.size_px
    if gsd_m is None:
        return Scale(size, size)
    if not place.located or (own := place.gsd_m) is None:
        raise OptionError(
            f"gsd={gsd_m:g}: the scene's pixels have no size on the ground ({place.reason}); leave it out"
        )
    if gsd_m * _SAME < min(own):
        raise OptionError(
            f"gsd={gsd_m:g} is finer than the scene's {min(own):.4g} m a pixel; give a greater one, or leave it out"
        )
    wide, tall = (max(1, min(side, round(side * one / gsd_m))) for side, one in zip(size, own, strict=True))
    near = max(gsd_m / one for one in own) < _SAME
    return Scale(size, size if near else (wide, tall))
