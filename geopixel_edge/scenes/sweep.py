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
        top = self._grid.row_top(row)
        waiting = [i for i, view in self._views.items() if view.bottom_px > top]
        old, new, first = [self._views[i] for i in waiting], list(views), self._given
        self._given += len(new)
        self._views.update(enumerate(new, first))
        for a, b, px in shared(new, old):
            self._link(first + a, waiting[b], px)
        for a, b, px in shared(new):
            self._link(first + a, first + b, px)
        return self._settle(self._grid.row_top(row + 1) if row + 1 < self._grid.rows else None)

    def _link(self, a: int, b: int, px: int) -> None:
        self._links.setdefault(a, {})[b] = px
        self._links.setdefault(b, {})[a] = px
        one, other = self._group(a), self._group(b)
        if one is other:
            return
        if len(one.views) < len(other.views):
            one, other = other, one
        one.views += other.views
        one.bottom_px = max(one.bottom_px, other.bottom_px)
        for i in other.views:
            self._groups[i] = one

    def _group(self, i: int) -> _Group:
        if i not in self._groups:
            self._groups[i] = _Group([i], self._views[i].bottom_px)
        return self._groups[i]

    def _settle(self, next_top_px: int | None) -> list[Merged]:
        """Merge what ends above the next row of windows; everything where there is none."""
        last_px = self._grid.height_px if next_top_px is None else next_top_px
        lone = [i for i, view in self._views.items() if view.bottom_px <= last_px and i not in self._groups]
        groups = {id(one): one for one in self._groups.values() if one.bottom_px <= last_px}
        found: list[Merged] = []
        for i in lone:
            found += merged(self._grid, self._looked, [self._views.pop(i)], [{}])
        for group in groups.values():
            ids = sorted(group.views, key=lambda i: self._views[i].key)
            place = {i: k for k, i in enumerate(ids)}
            links = [{place[j]: px for j, px in self._links.pop(i).items()} for i in ids]
            found += merged(self._grid, self._looked, [self._views.pop(i) for i in ids], links)
            for i in ids:
                del self._groups[i]
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
