"""The facts of a unit and of a picture: what a describer is told, and what its sentence is held to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from synthetic.expressions import SIZE_RATIO

from .arrangement import arrangement
from .geometry import main_axis
from .groups import Unit
from .items import Instance, centre_of
from .names import amount
from .picture import Picture
from .places import CORNERS, SIDES, cell, verdict, word
from .relations import Relation, relation

BIG_SHARE = 0.25  # of the picture: what covers more has no place but a half
HALF_SHARE = 0.85  # of a big thing, in the half that it is said to lie across
WHOLE_CLASS = 0.8  # of a class: a group of more has no place
MIN_AXIS_PX, LONG, AXIS_DEGREES = 400, 3.0, 15.0  # pixels, length to width, and how near to one of four directions
AXES = (
    "from left to right",
    "from the top left to the bottom right",
    "from top to bottom",
    "from the bottom left to the top right",
)


@dataclass(frozen=True)
class Facts:
    """What is true of a unit; None where nothing is clear. `count` is that of the things well seen.

    `count_word` is None where hidden things leave it open; `half` is the half a big thing lies across; `relation` is
    as `relations.py` says; `edges` are those of the picture that it reaches; `share` is its part of the picture.
    """

    level: str
    class_name: str
    count: int
    count_word: str | None = None
    place: str | None = None
    half: str | None = None
    colour: str | None = None
    rank: str | None = None
    axis: str | None = None
    arrangement: str | None = None
    relation: Relation | None = None
    edges: tuple[str, ...] = ()
    share: float = 0.0
    classes: tuple[tuple[str, int], ...] = ()
    spread: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, what is None or empty left out."""
        return {name: value for name, value in asdict(self).items() if value not in (None, (), "")}


def facts_of(picture: Picture, unit: Unit) -> Facts:
    """The facts of a unit."""
    clear, first = unit.clear, unit.clear[0]
    share = unit.whole.area_px / (picture.width_px * picture.height_px)
    colours = {picture.colour(one) for one in clear}
    single = unit.level == "instance"
    sure = amount(len(clear)) == amount(len(unit.members))
    big = share > BIG_SHARE
    return Facts(
        unit.level,
        unit.class_name,
        len(clear),
        amount(len(clear)) if sure else None,
        place=None if big else _place(picture, unit),
        half=_half(picture, unit) if big else None,
        colour=colours.pop() if len(colours) == 1 and sure else None,
        rank=_rank(picture, first) if single else None,
        axis=_axis(first) if single else None,
        arrangement=arrangement(clear) if len(unit.members) == len(clear) and not unit.separate else None,
        relation=relation(picture, first) if single else None,
        edges=picture.edges(first) if single else (),
        share=round(share, 6),
    )


def _place(picture: Picture, unit: Unit) -> str | None:
    x, y = centre_of(unit.whole)
    x, y = x / picture.width_px, y / picture.height_px
    if unit.level == "instance":
        return word(x, y, picture.profile)
    members = [picture.parts(one) for one in unit.members]
    if unit.how == "cell":
        quarter = cell(*members[0])
        choices: tuple[str, ...] = (quarter, *quarter.split()[::-1])
    else:
        if len(unit.members) > WHOLE_CLASS * len(picture.by_class[unit.class_name]):
            return None
        choices = tuple(place for place in (*CORNERS, *SIDES, "centre") if verdict(x, y, place))
    return next((one for one in choices if not any(verdict(*part, one) is False for part in members)), None)


def _half(picture: Picture, unit: Unit) -> str | None:
    bits = unit.whole.to_array()
    middle_x, middle_y, area = picture.width_px // 2, picture.height_px // 2, unit.whole.area_px
    parts = {
        "left": bits[:, :middle_x],
        "right": bits[:, picture.width_px - middle_x :],
        "top": bits[:middle_y],
        "bottom": bits[picture.height_px - middle_y :],
    }
    return next((side for side, part in parts.items() if part.sum() >= HALF_SHARE * area), None)


def _rank(picture: Picture, instance: Instance) -> str | None:
    """Whether it is clearly the largest or smallest of its class, of two the larger or smaller, whether hidden parts
    count or not."""
    name = picture.name(instance)
    likes = [one for one in picture.by_class[name] if one is not instance]
    if not likes or picture.mistakable(name) or not all(one.clear for one in likes):
        return None
    hidden = [one for one in likes if one.outline_px is None and picture.edges(one)]
    if not hidden and all(instance.area_px > SIZE_RATIO * one.size_px for one in likes):
        return "larger" if len(likes) == 1 else "largest"
    whole = instance.outline_px is not None or not picture.edges(instance)
    if not whole or not all(instance.size_px * SIZE_RATIO < one.area_px for one in likes):
        return None
    return "smaller" if len(likes) == 1 else "smallest"


def _axis(instance: Instance) -> str | None:
    if instance.area_px < MIN_AXIS_PX:
        return None
    rows, columns = np.nonzero(instance.crop)
    degrees, along, across = main_axis(np.stack([columns, rows], axis=1).astype(np.float64))
    nearest = round(degrees / 45)
    clear = along > LONG * across and math.fabs(degrees - 45 * nearest) < AXIS_DEGREES
    return AXES[nearest % 4] if clear else None


def facts_of_scene(picture: Picture) -> Facts:
    """What is true of the whole picture: how much there is of what, and where."""
    clear = [one for one in picture.instances if one.clear]
    classes = tuple((name, sum(one.clear for one in things)) for name, things in picture.by_class.items())
    covered = int(np.count_nonzero(picture.owners)) / picture.owners.size
    sure = amount(max(1, len(clear))) == amount(max(1, len(picture.instances)))
    every = {edge for one in picture.instances for edge in picture.edges(one)}
    return Facts(
        "scene",
        "",
        len(clear),
        amount(len(clear)) if clear and sure else None,
        edges=tuple(sorted(every)),
        share=round(covered, 6),
        classes=classes if all(count for _, count in classes) else (),
        spread=_spread(picture, clear),
    )


def _spread(picture: Picture, things: Sequence[Instance]) -> str | None:
    """The half that holds at least four fifths of them, or "everywhere" if each quarter holds an eighth."""
    if len(things) < 5 or len(things) < len(picture.instances):
        return None
    parts = [picture.parts(one) for one in things]
    quarters = [cell(*part) for part in parts]
    if all(8 * quarters.count(one) >= len(parts) for one in CORNERS):
        return "everywhere"
    return next((side for side in SIDES if 5 * sum(side in one.split() for one in quarters) >= 4 * len(parts)), None)
