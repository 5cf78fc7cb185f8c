"""Pixels of a scene as crop-RLE with a box of any size: set operations go through the kernels near an origin of 0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.native import native
from .windows import Box

# Pixels that span more than the kernels take are kept as one piece for each such square of the scene.
PIECE_PX = 16_384
# Any two of these that meet span less than the 65,535 px of the kernels.
_LARGEST_PX = 32_767


class Runs(NamedTuple):
    """Pixels: a tight box and uint32 run lengths in column-major order, zeros first, as `Mask` has them.

    `x, y` are pixels of the scene; an empty one has no width and no counts.
    """

    x: int
    y: int
    w: int
    h: int
    counts: NDArray[np.uint32]

    @property
    def box(self) -> Box:
        """x, y, width, height."""
        return self.x, self.y, self.w, self.h

    @property
    def area_px(self) -> int:
        """Number of pixels."""
        return int(self.counts[1::2].sum(dtype=np.uint64))

    def moved(self, x: int, y: int) -> Runs:
        """The same pixels, `x` to the right and `y` down."""
        return self._replace(x=self.x + x, y=self.y + y)


def solid(box: Box) -> Runs:
    """Every pixel of a box."""
    return Runs(*box, np.array([0, box[2] * box[3]], np.uint32))


def meet(a: Box, b: Box) -> bool:
    """Whether two boxes share a pixel."""
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def common(a: Runs, b: Runs) -> int:
    """Number of pixels in both."""
    if not meet(a.box, b.box):
        return 0
    x, y = min(a.x, b.x), min(a.y, b.y)
    one, other = (a.x - x, a.y - y, a.w, a.h), (b.x - x, b.y - y, b.w, b.h)
    return int(native.rle_overlap(one, a.counts, other, b.counts))


def combined(a: Runs, b: Runs, kind: str) -> Runs:
    """The "union", "intersection" or "difference" of two; both together span at most 65,535 px."""
    x, y = min(a.x, b.x), min(a.y, b.y)
    one, other = (a.x - x, a.y - y, a.w, a.h), (b.x - x, b.y - y, b.w, b.h)
    return Runs(*native.rle_combine(one, a.counts, other, b.counts, kind=kind)).moved(x, y)


def inside(runs: Runs, box: Box) -> Runs:
    """The pixels within a box."""
    return combined(runs, solid(box), "intersection")


def bounds(some: Iterable[Runs]) -> Box:
    """The box around all."""
    boxes = [one.box for one in some]
    x, y = min(box[0] for box in boxes), min(box[1] for box in boxes)
    return x, y, max(box[0] + box[2] for box in boxes) - x, max(box[1] + box[3] for box in boxes) - y


def united(some: Sequence[Runs]) -> tuple[Runs, ...]:
    """The pixels of any: one piece, or where they span too much disjoint pieces that are sorted by row."""
    _, _, w, h = bounds(some)
    if max(w, h) <= _LARGEST_PX:
        return (_tree(some),)
    squares: dict[tuple[int, int], list[Runs]] = {}
    for one in some:
        squares.setdefault((one.y // PIECE_PX, one.x // PIECE_PX), []).append(one)
    pieces: list[Runs] = []
    for key in sorted(squares):
        pieces += without([_tree(squares[key])], pieces)
    return tuple(pieces)


def without(pieces: Iterable[Runs], others: Iterable[Runs]) -> tuple[Runs, ...]:
    """Pieces less the pixels of others; what is left of none is left out."""
    taken, left = list(others), []
    for piece in pieces:
        for other in taken:
            if meet(piece.box, other.box):
                piece = combined(piece, other, "difference")
        if piece.counts.size:
            left.append(piece)
    return tuple(left)


def _tree(some: Sequence[Runs]) -> Runs:
    """The union, two neighbours at a time, so that the cost grows little faster than the runs."""
    level = list(some)
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [combined(a, b, "union") for a, b in pairs] + level[len(level) & ~1 :]
    return level[0]
