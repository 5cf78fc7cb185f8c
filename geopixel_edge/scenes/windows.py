"""Windows of a scene: a fixed grid with overlap, a function of four numbers alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from .. import limits
from ..checks import check_integer
from ..errors import OptionError

Box = tuple[int, int, int, int]  # x, y, width, height in pixels of the scene

# A view that keeps this distance from a window's border is not cut by it.
MARGIN_PX = 4
MIN_OVERLAP_PX = 64


@dataclass(frozen=True)
class Grid:
    """Windows of `window_px` a side that overlap by `overlap_px`, row by row from (0, 0).

    The last row and column are moved back, so that all have full size; a scene smaller than a window is one window.
    A window's index is row * columns + column: its name in the ledger.
    """

    width_px: int
    height_px: int
    window_px: int
    overlap_px: int

    @property
    def step_px(self) -> int:
        """From one window's start to the next."""
        return self.window_px - self.overlap_px

    @cached_property
    def columns(self) -> int:
        """Windows in a row."""
        return self._count(self.width_px)

    @cached_property
    def rows(self) -> int:
        """Rows of windows."""
        return self._count(self.height_px)

    def __len__(self) -> int:
        return self.columns * self.rows

    def box(self, index: int) -> Box:
        """x, y, width, height of a window."""
        row, column = divmod(index, self.columns)
        return (
            self._start(column, self.width_px),
            self._start(row, self.height_px),
            min(self.window_px, self.width_px),
            min(self.window_px, self.height_px),
        )

    def row_top(self, row: int) -> int:
        """The first pixel row of a row of windows; the scene's height after the last."""
        return self.height_px if row >= self.rows else self._start(row, self.height_px)

    def around(self, box: Box) -> Iterator[int]:
        """The windows that hold at least a pixel of a box, by index."""
        x, y, w, h = box
        columns = self._meeting(x, x + w, self.width_px, self.columns)
        for row in self._meeting(y, y + h, self.height_px, self.rows):
            yield from (row * self.columns + column for column in columns)

    def margin(self, index: int, box: Box) -> int:
        """The least distance of a box in a window to those borders of it that are not borders of the scene.

        The longer side of the scene where all are.
        """
        wx, wy, ww, wh = self.box(index)
        x, y, w, h = box
        far = max(self.width_px, self.height_px)
        return min(
            x - wx if wx > 0 else far,
            y - wy if wy > 0 else far,
            wx + ww - (x + w) if wx + ww < self.width_px else far,
            wy + wh - (y + h) if wy + wh < self.height_px else far,
        )

    def _count(self, side_px: int) -> int:
        return 1 if side_px <= self.window_px else -(-(side_px - self.window_px) // self.step_px) + 1

    def _start(self, number: int, side_px: int) -> int:
        return max(0, min(number * self.step_px, side_px - self.window_px))

    def _meeting(self, low: int, high: int, side_px: int, count: int) -> list[int]:
        first = max(0, (low - self.window_px) // self.step_px)
        last = min(count - 1, (high - 1) // self.step_px)
        near = {*range(first, last + 1), *range(max(0, count - 1), count)}  # the last one is moved back
        window = min(self.window_px, side_px)
        return sorted(
            one for one in near if self._start(one, side_px) < high and self._start(one, side_px) + window > low
        )


def make_grid(width_px: int, height_px: int, window_px: int, overlap_px: int | None = None) -> Grid:
    """The grid of a scene; the overlap is a quarter of a window by default.

    OptionError for a window or overlap out of range, or for more than `MAX_SCENE_WINDOWS` windows.
    """
    window_px = check_integer("window", window_px, 2 * MIN_OVERLAP_PX, limits.MAX_SCENE_WINDOW_PX)
    overlap_px = window_px // 4 if overlap_px is None else overlap_px
    overlap_px = check_integer("overlap", overlap_px, min(MIN_OVERLAP_PX, window_px // 2), window_px // 2)
    grid = Grid(width_px, height_px, window_px, overlap_px)
    if len(grid) > limits.MAX_SCENE_WINDOWS:
        raise OptionError(
            f"window={window_px}: a scene of {width_px} x {height_px} px has {len(grid)} windows, over "
            f"{limits.MAX_SCENE_WINDOWS}; cut it into parts"
        )
    return grid
