"""What a thing stands on, beside, between or among: only where the others are well seen and nobody could differ."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from synthetic.expressions import GROUNDS

from .items import Instance
from .names import plural
from .picture import Picture

ON_PART = 0.6  # of the pixels around a thing, that belong to what it stands on
STEEP = 1.0  # how far across, for each step along, a thing beside another may lie
NEAR = 0.2  # of the picture's longer side: what is farther from another is not told as beside it
AROUND_PART = 0.9  # of the pixels around a thing, that belong to what it is surrounded by
OPPOSITE = (("left of", "right of"), ("above", "below"))
# Things that stand on others, and on what.
STANDING: dict[str, tuple[str, ...]] = {
    **GROUNDS,
    "road": ("car", "truck", "small vehicle", "large vehicle"),
}


Relation = tuple[str, ...]


def relation(picture: Picture, instance: Instance) -> Relation | None:
    """What is told of a thing: the most telling relation alone.

    ("on", class); ("surrounded by", what); ("between", class, class); or (one of left of, right of, above, below;
    class), the nearest of several.
    """
    others = [(name, one) for name in picture.by_class if (one := picture.only(name)) and one is not instance]
    others = [(name, one) for name, one in others if name != picture.name(instance)]
    for name, one in others:
        if picture.name(instance) in STANDING.get(name, ()) and _stands_on(picture, instance, one):
            return "on", name
    if what := _surrounding(picture, instance, others):
        return "surrounded by", what
    near = sorted((*entry, name) for name, one in others if (entry := _beside(picture, instance, one)))
    for first, second in OPPOSITE:
        sides = [next((name for _, word, name in near if word == side), None) for side in (first, second)]
        if sides[0] and sides[1]:
            return "between", sides[0], sides[1]
    return near[0][1:] if near else None


def _surrounding(picture: Picture, instance: Instance, others: Sequence[tuple[str, Instance]]) -> str | None:
    """The one thing that is all around another, or the class of which one stands near on each of its four sides."""
    if picture.edges(instance):
        return None
    around = picture.around(instance)
    for name, one in others:
        if float(np.mean(around == picture.instances.index(one) + 1)) > AROUND_PART:
            return f"the {name}"
    for name, things in picture.by_class.items():
        told = name != picture.name(instance) and not picture.mistakable(name) and all(one.clear for one in things)
        if told and len({entry[1] for one in things if (entry := _beside(picture, instance, one))}) == 4:
            return plural(name)
    return None


def _beside(picture: Picture, instance: Instance, other: Instance) -> tuple[float, str] | None:
    """Pixels to another thing and the side of it on which this one lies, if it is near and the side is clear."""
    distance, side = _distance(instance, other), _side(instance, other)
    near = distance <= NEAR * max(picture.width_px, picture.height_px)
    return (distance, side) if side and near else None


def _stands_on(picture: Picture, instance: Instance, anchor: Instance) -> bool:
    around = picture.around(instance)
    number = picture.instances.index(anchor) + 1
    return len(around) > 0 and float(np.mean(around == number)) > ON_PART


def _distance(first: Instance, second: Instance) -> float:
    """Pixels between two boxes."""
    apart = []
    for axis in (0, 1):
        a, b = first.mask.bbox, second.mask.bbox
        apart.append(max(0, max(a[axis], b[axis]) - min(a[axis] + a[axis + 2], b[axis] + b[axis + 2])))
    return math.hypot(*apart)


def _side(instance: Instance, anchor: Instance) -> str | None:
    """On which side of another a thing lies, if their boxes do not overlap along it and its centre is no farther off
    across it than along."""
    for axis, words in enumerate(OPPOSITE):
        along = instance.centre[axis] - anchor.centre[axis]
        across = abs(instance.centre[1 - axis] - anchor.centre[1 - axis])
        a, b = instance.mask.bbox, anchor.mask.bbox
        before = a[axis] + a[axis + 2] <= b[axis]
        behind = a[axis] >= b[axis] + b[axis + 2]
        if (before or behind) and across < STEEP * abs(along):
            return words[0] if before else words[1]
    return None
