"""Merging a scene row by row of windows: views wait only until nothing that comes can share their pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from .merging import Merged, merged
from .sharing import shared
from .views import View
from .windows import Grid


@dataclass(eq=False)
class _Group:
    """Views that share pixels, directly or by way of others, and the lowest pixel row that they reach."""

    views: list[int]
    bottom_px: int


class Sweep:
    """The views of one phrase, given row by row of windows; objects come out as soon as they are settled.

    What waits is what still shares pixels with something that reaches below the sweep, whatever the scene's height.
    """

    def __init__(self, grid: Grid, looked: Callable[[int], bool]) -> None:
        self._grid, self._looked = grid, looked
        self._views: dict[int, View] = {}
        # Of views that share pixels with others alone: most share none.
        self._links: dict[int, dict[int, int]] = {}
        self._groups: dict[int, _Group] = {}
        self._given = 0

    def add(self, row: int, views: Iterable[View]) -> list[Merged]:
        """Views of the next row of windows, in any order; the objects that nothing of a later row can change."""
        top, first, new = self._grid.row_top(row), self._given, list(views)
        waiting = [i for i, view in self._views.items() if view.bottom_px > top]
        numbers = [*range(first, first + len(new)), *waiting]
        old = [self._views[i] for i in waiting]
        self._given += len(new)
        self._views.update(enumerate(new, first))
        for a, b, px in shared([*new, *old], len(new)):
            self._link(numbers[a], numbers[b], px)
        return self._settle(self._grid.row_top(row + 1) if row + 1 < self._grid.rows else self._grid.height_px)

    def _link(self, a: int, b: int, px: int) -> None:
        one, other = self._groups.get(a), self._groups.get(b)
        one, other = one or self._alone(a), other or self._alone(b)
        self._links[a][b] = self._links[b][a] = px
        if one is other:
            return
        if len(one.views) < len(other.views):
            one, other = other, one
        one.views += other.views
        one.bottom_px = max(one.bottom_px, other.bottom_px)
        for i in other.views:
            self._groups[i] = one

    def _alone(self, i: int) -> _Group:
        """A view that shares no pixels yet, as a group."""
        self._links[i] = {}
        self._groups[i] = group = _Group([i], self._views[i].bottom_px)
        return group

    def _settle(self, next_top_px: int) -> list[Merged]:
        """Merge what ends above the next row of windows."""
        lone = [i for i, view in self._views.items() if i not in self._groups and view.bottom_px <= next_top_px]
        groups = {id(one): one for one in self._groups.values() if one.bottom_px <= next_top_px}
        found: list[Merged] = []
        for i in lone:
            found += merged(self._grid, self._looked, {i: self._views.pop(i)}, {})
        for group in groups.values():
            found += merged(self._grid, self._looked, {i: self._views.pop(i) for i in group.views}, self._links)
            for i in group.views:
                del self._groups[i], self._links[i]
        return found

    @property
    def waiting(self) -> int:
        """How many views are held."""
        return len(self._views)


def merge_views(
    grid: Grid, looked: Callable[[int], bool], rows: Iterable[tuple[int, Iterable[View]]]
) -> Iterator[Merged]:
    """The objects of one phrase from the views of each row of windows that has any, top to bottom."""
    sweep, last = Sweep(grid, looked), -1
    for row, views in rows:
        if row - 1 > last and sweep.waiting:
            yield from sweep.add(row - 1, ())
        yield from sweep.add(row, views)
        last = row
    if sweep.waiting:
        yield from sweep.add(grid.rows - 1, ())
