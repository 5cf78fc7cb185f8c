"""What a thing stands on or beside: only where the other is the only one of its class and nobody could differ."""

from __future__ import annotations

import math

import numpy as np

from synthetic.expressions import GROUNDS

from .items import Instance
from .picture import Picture

ON_PART = 0.6  # of the pixels around a thing, that belong to what it stands on
STEEP = 1.0  # how far across, for each step along, a thing beside another may lie
NEAR = 0.2  # of the picture's longer side: what is farther from another is not told as beside it
# Things that stand on others, and on what.
STANDING: dict[str, tuple[str, ...]] = {
    **GROUNDS,
    "road": ("car", "truck", "small vehicle", "large vehicle"),
}


def relation(picture: Picture, instance: Instance) -> tuple[str, str] | None:
    """("on", class) or (one of left of, right of, above, below; class); the nearest of several."""
    others = [(name, one) for name in picture.by_class if (one := picture.only(name)) and one is not instance]
    others = [(name, one) for name, one in others if name != picture.name(instance)]
    for name, one in others:
        if picture.name(instance) in STANDING.get(name, ()) and _stands_on(picture, instance, one):
            return "on", name
    found = [(_distance(instance, one), name, side) for name, one in others if (side := _side(instance, one))]
    near = [entry for entry in found if entry[0] <= NEAR * max(picture.width_px, picture.height_px)]
    if not near:
        return None
    _, name, side = min(near)
    return side, name


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
    for axis, words in ((0, ("left of", "right of")), (1, ("above", "below"))):
        along = instance.centre[axis] - anchor.centre[axis]
        across = abs(instance.centre[1 - axis] - anchor.centre[1 - axis])
        a, b = instance.mask.bbox, anchor.mask.bbox
        before = a[axis] + a[axis + 2] <= b[axis]
        behind = a[axis] >= b[axis] + b[axis + 2]
        if (before or behind) and across < STEEP * abs(along):
            return words[0] if before else words[1]
    return None
