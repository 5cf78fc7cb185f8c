"""From views that share pixels to objects: whole views first, then cut ones joined. Order of arrival plays no part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .parts import parts
from .runs import Runs, common, inside, united, without
from .views import View
from .windows import MARGIN_PX, Box, Grid

Links = Sequence[dict[int, int]]  # of each view: the others that share pixels with it, and how many


class Merged(NamedTuple):
    """One object: disjoint pieces of pixels, the best score and the windows of its views."""

    pieces: tuple[Runs, ...]
    score: float
    windows: tuple[int, ...]
    whole: bool
    views: int

    @property
    def area_px(self) -> int:
        """Number of pixels."""
        return sum(piece.area_px for piece in self.pieces)


@dataclass
class _Growing:
    """An object in the making: the views whose pixels it takes, and those that saw the same."""

    pixels: list[int]
    members: list[int]
    whole: bool


def merged(
    grid: Grid, looked: Callable[[int], bool], views: dict[int, View], links: Mapping[int, dict[int, int]]
) -> list[Merged]:
    """The objects of views that share pixels, directly or by way of others; `links` are those of each, by number.

    `looked` says whether a window was asked.
    """
    if (one := _one_thing(views, links)) is not None:
        return [one]
    numbers = sorted(views, key=lambda i: views[i].key)
    place = {i: k for k, i in enumerate(numbers)}
    ordered = [views[i] for i in numbers]
    return _merged(grid, looked, ordered, [{place[j]: px for j, px in links.get(i, {}).items()} for i in numbers])


def _one_thing(views: dict[int, View], links: Mapping[int, dict[int, int]]) -> Merged | None:
    """One object, where the most central view is whole and shows what all others show; its pixels are that view's.

    That is so for most things, and what the rules below come to; None where they are to be asked.
    """
    best = min(views, key=lambda i: (-views[i].margin_px, views[i].window))
    chosen, near = views[best], links.get(best, {})
    if not chosen.whole:
        return None
    for i, view in views.items():
        least_px = min(view.area_px, chosen.area_px) if view.whole else view.area_px
        if i != best and 2 * near.get(i, 0) < least_px:
            return None
    return _finished(list(views.values()), True, (chosen.runs,))


def _merged(grid: Grid, looked: Callable[[int], bool], views: Sequence[View], links: Links) -> list[Merged]:
    """Merge by the rules; `views` are sorted by `View.key`."""
    taken = _whole_ones(views, links)
    waiting = _cut_ones(grid, looked, views, links, taken)
    joined = _joined(grid, views, links, waiting)
    growing = _settled(views, links, taken, joined)
    return _apart(views, links, growing)


def _whole_ones(views: Sequence[View], links: Links) -> dict[int, _Growing]:
    """Whole views that share less than half of the smaller with a more central one, by their number."""
    taken: dict[int, _Growing] = {}
    for i, view in enumerate(views):
        if not view.whole:
            continue
        same = [j for j, px in links[i].items() if j in taken and 2 * px >= min(view.area_px, views[j].area_px)]
        if same:
            taken[min(same)].members.append(i)
        else:
            taken[i] = _Growing([i], [i], True)
    return taken


def _cut_ones(
    grid: Grid, looked: Callable[[int], bool], views: Sequence[View], links: Links, taken: dict[int, _Growing]
) -> list[int]:
    """Cut views that no whole one covers by half, and that a window which saw the place better does not deny."""
    left = []
    for i, view in enumerate(views):
        if view.whole:
            continue
        over = {j: px for j, px in links[i].items() if j in taken}
        if 2 * sum(over.values()) >= view.area_px:
            rest = sum(piece.area_px for piece in without([view.runs], [views[j].runs for j in over]))
            if 2 * (view.area_px - rest) >= view.area_px:
                taken[max(over, key=lambda j: (over[j], -j))].members.append(i)
                continue
        alone = 4 * max(links[i].values(), default=0) < view.area_px
        if not (alone and _denied(grid, looked, view)):
            left.append(i)
    return left


def _denied(grid: Grid, looked: Callable[[int], bool], view: View) -> bool:
    """Whether another window that was asked has the whole box well inside."""
    return any(
        window != view.window and grid.margin(window, view.runs.box) >= MARGIN_PX and looked(window)
        for window in grid.around(view.runs.box)
    )


def _joined(grid: Grid, views: Sequence[View], links: Links, waiting: Sequence[int]) -> list[list[int]]:
    """Groups of cut views that agree where two windows both look."""
    root = {i: i for i in waiting}

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for i in waiting:
        for j, px in links[i].items():
            if j > i and j in root and find(i) != find(j) and _agree(grid, views[i], views[j], px):
                low, high = sorted((find(i), find(j)))
                root[high] = low
    groups: dict[int, list[int]] = {}
    for i in waiting:
        groups.setdefault(find(i), []).append(i)
    return list(groups.values())


def _agree(grid: Grid, a: View, b: View, common_px: int) -> bool:
    """Whether two cut views show one thing, judged where both windows look.

    They share half of what the smaller one has there; or one connected piece there is the same in both, as where a
    thing enters the overlap several times and each window holds other pieces of it together.
    """
    there = _overlap(grid.box(a.window), grid.box(b.window))
    one, other = inside(a.runs, there), inside(b.runs, there)
    if 2 * common_px >= min(one.area_px, other.area_px):
        return True
    return any(10 * (px := common(p, q)) >= 9 * (p.area_px + q.area_px - px) for p in parts(one) for q in parts(other))


def _overlap(a: Box, b: Box) -> Box:
    x, y = max(a[0], b[0]), max(a[1], b[1])
    return x, y, min(a[0] + a[2], b[0] + b[2]) - x, min(a[1] + a[3], b[1] + b[3]) - y


def _settled(
    views: Sequence[View], links: Links, taken: dict[int, _Growing], joined: Sequence[list[int]]
) -> list[_Growing]:
    """Whole objects, then joined ones, the most central first; whole ones that lie in a joined one belong to it."""
    found = []
    for group in joined:
        grown = _Growing(list(group), list(group), False)
        near = sorted({j for i in group for j in links[i] if j in taken})
        pieces = united([views[i].runs for i in group]) if near else ()
        for j in near:
            if 2 * sum(common(piece, views[j].runs) for piece in pieces) >= views[j].area_px:
                grown.pixels.append(j)
                grown.members += taken.pop(j).members
        found.append(grown)
    return [*(taken[i] for i in sorted(taken)), *found]


def _apart(views: Sequence[View], links: Links, growing: Sequence[_Growing]) -> list[Merged]:
    """Objects without common pixels: an earlier one keeps them."""
    owner = {i: number for number, one in enumerate(growing) for i in one.pixels}
    done: list[tuple[Runs, ...]] = []
    for number, one in enumerate(growing):
        near = {owner[j] for i in one.pixels for j in links[i] if j in owner}
        others = [piece for other in sorted(near) if other < number for piece in done[other]]
        pieces = united([views[i].runs for i in sorted(one.pixels, key=lambda i: views[i].window)])
        done.append(without(pieces, others))
    return [
        _finished([views[i] for i in one.members], one.whole, pieces)
        for one, pieces in zip(growing, done, strict=True)
        if pieces
    ]


def _finished(members: Sequence[View], whole: bool, pieces: tuple[Runs, ...]) -> Merged:
    scores = [view.score for view in members if view.score == view.score]  # NaN: unknown
    windows = tuple(sorted({view.window for view in members}))
    return Merged(pieces, max(scores, default=float("nan")), windows, whole, len(members))
