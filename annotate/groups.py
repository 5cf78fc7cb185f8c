"""Who stands alone and who is described together."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from geopixel_edge.masks import Mask

from .clusters import clusters
from .items import Instance, Order
from .picture import Picture
from .places import cell

# From the published figure and sample, at 800 x 800 pixels: the smallest things described alone have 4,600 to 6,000
# pixels, the largest described together 2,946.
MIN_ALONE_PX = 4_096
FEW = 3  # of a class in a quarter of the picture: one sentence, a mask each
MAX_SINGLES = 4  # things of a class that are spoken of one by one; of more they are scattered


@dataclass(frozen=True)
class Unit:
    """What one sentence is about: `members` the largest first, with a mask each (`separate`) or one for all.

    `how` says what formed it: "alone", "cell", "cluster", "scattered" or "joined".
    """

    level: str
    class_name: str
    members: tuple[Instance, ...]
    how: str
    separate: bool = False

    @property
    def clear(self) -> tuple[Instance, ...]:
        """Those members of which enough is seen."""
        return tuple(one for one in self.members if one.clear)

    @functools.cached_property
    def masks(self) -> tuple[Mask, ...]:
        """What its `[SEG]`s show, in order."""
        if self.separate or len(self.members) == 1:
            return tuple(one.mask for one in self.members)
        return (union([one.mask for one in self.members]),)

    @functools.cached_property
    def whole(self) -> Mask:
        """All of its pixels."""
        return self.masks[0] if len(self.masks) == 1 else union(self.masks)

    @property
    def order(self) -> tuple[int, int, Order]:
        """Instances before groups, each by area."""
        return int(self.level == "group"), -self.whole.area_px, self.members[0].order


def union(masks: Sequence[Mask]) -> Mask:
    """All of their pixels: pairs, then pairs of these: each step works on masks of like size."""
    parts = list(masks)
    while len(parts) > 1:
        parts = [parts[at] | parts[at + 1] if at + 1 < len(parts) else parts[at] for at in range(0, len(parts), 2)]
    return parts[0]


def alone(name: str, instance: Instance) -> Unit:
    """One thing by itself."""
    return Unit("instance", name, (instance,), "alone")


def group(name: str, members: Iterable[Instance], how: str, separate: bool = False) -> Unit:
    """Several things, or one that only a group's sentence speaks of."""
    return Unit("group", name, tuple(sorted(members, key=lambda one: one.order)), how, separate)


def units_of(picture: Picture, without: Collection[int | str] = ()) -> list[Unit]:
    """The units of a picture, in the order in which they are told; `without` are the ids of things that cannot be
    marked for a describer and therefore join the groups."""
    units: list[Unit] = []
    for name, things in picture.by_class.items():
        units += (_published if picture.profile == "published" else _strict)(picture, name, things, without)
    return sorted((unit for unit in units if unit.clear), key=lambda unit: unit.order)


def _published(picture: Picture, name: str, things: Sequence[Instance], without: Collection[int | str]) -> list[Unit]:
    scale = picture.width_px * picture.height_px / 800**2
    large = [one for one in things if one.area_px >= MIN_ALONE_PX * scale and one.clear]
    singles = [alone(name, one) for one in large if one.id not in without]
    told = {unit.members[0].id for unit in singles}
    cells: dict[str, list[Instance]] = {}
    for one in things:
        if one.id not in told:
            cells.setdefault(cell(*picture.parts(one)), []).append(one)
    groups = []
    for rest in cells.values():
        clear = [one for one in rest if one.clear]
        few = len(clear) <= FEW
        groups += [group(name, clear if few else rest, "cell", separate=few)] if clear else []
    return singles + groups


def _strict(picture: Picture, name: str, things: Sequence[Instance], without: Collection[int | str]) -> list[Unit]:
    """Clusters as one sees them, then what is left one by one; if that is too much, the rest together."""
    together, rest = clusters(things)
    groups = [group(name, members, "cluster") for members in together]
    if len(groups) > MAX_SINGLES:
        groups = [group(name, [one for unit in groups for one in unit.members], "joined")]
    singles = [alone(name, one) for one in rest if one.clear]
    few = len(singles) <= MAX_SINGLES
    kept = [unit for unit in singles if few and unit.members[0].id not in without]
    told = {unit.members[0].id for unit in kept}
    left = [one for one in rest if one.id not in told]
    return groups + kept + ([group(name, left, "scattered")] if left else [])


def join(units: Sequence[Unit]) -> Unit:
    """One group of all members of several units of a class."""
    return group(units[0].class_name, [one for unit in units for one in unit.members], "joined")
