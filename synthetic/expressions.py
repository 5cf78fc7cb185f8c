"""Referring expressions as structures, and what they refer to in a scene.

A judgement is True, False or None; None means that people could differ (a ship near the middle is neither clearly left
nor clearly not). An expression refers to something only if no judgement on the way to it is None, so every expression
that `referents` answers is unambiguous by construction.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .scenes import HELD_OUT_COLOURS, Instance, Scene

Verdict = bool | None
PLACES = ("left", "right", "top", "bottom", "top left", "top right", "bottom left", "bottom right", "centre")
SIDES = ("left", "right", "top", "bottom")
BESIDE = ("left of", "right of", "above", "below")
# Anchors that things stand on, and what is asked about on them.
GROUNDS = {"bridge": ("car", "truck"), "parking lot": ("car",), "roundabout": ("car",), "runway": ("plane",)}
# Classes that a person may take for the first one.
LOOKALIKES = {"tree": ("tree group",), "road": ("bridge", "roundabout")}

# Of which less is seen, a thing is not asked about and spoils asking about its likes.
MIN_VISIBLE_PX, MIN_VISIBLE_PART = 16, 0.3
# Parts of the picture: clearly left below the first, clearly not above the second.
CLEAR_SIDE, UNCLEAR_SIDE = 0.36, 0.46
# Distance from the centre, likewise.
CLEAR_MIDDLE, UNCLEAR_MIDDLE = 0.13, 0.25
ORDER_GAP = 0.035  # parts of the picture between neighbours that are put in order
SIZE_RATIO, NEAR_RATIO = 1.3, 1.3  # by which the largest, smallest or nearest must win
HELD_OUT_EVERY = 7  # one of so many compositions of class with place or relation is held out


@dataclass(frozen=True)
class Expression:
    """A class, and what tells its referents apart. `order` is (rank from 1, side), `relation` (word, anchor class)."""

    class_name: str
    colour: str | None = None
    place: str | None = None
    order: tuple[int, str] | None = None
    extreme: str | None = None
    relation: tuple[str, str] | None = None
    plural: bool = False


def held_out(expression: Expression) -> bool:
    """Whether this composition is kept for evaluation: never in a question of a training seed.

    Held out are the colours of HELD_OUT_COLOURS, which no training scene even draws, and about one in seven pairs of a
    class with a place, an order's side, an extreme, or a relation and its anchor, chosen by checksum.
    """
    name = expression.class_name
    if expression.colour and (name, expression.colour) in HELD_OUT_COLOURS:
        return True
    parts = [
        expression.place,
        expression.order and f"{expression.order[0]} {expression.order[1]}",
        expression.extreme,
        expression.relation and " ".join(expression.relation),
    ]
    return any(part and zlib.crc32(f"{name}/{part}".encode()) % HELD_OUT_EVERY == 0 for part in parts)


def barely_visible(instance: Instance) -> bool:
    """Whether too little of a thing is seen to ask about it."""
    return instance.area_px < MIN_VISIBLE_PX or instance.area_px < MIN_VISIBLE_PART * instance.full_area_px


def at(instance: Instance, place: str) -> Verdict:
    """Whether a thing lies at a place of the picture, judged by the centre of what is seen of it."""
    x, y = instance.centre[0] / instance.side_px, instance.centre[1] / instance.side_px
    if place == "centre":
        off = max(abs(x - 0.5), abs(y - 0.5))
        return True if off < CLEAR_MIDDLE else False if off > UNCLEAR_MIDDLE else None
    into = {"left": x, "right": 1 - x, "top": y, "bottom": 1 - y}
    return _both(*(_ramp(into[side]) for side in place.split()))


def _ramp(part: float) -> Verdict:
    return True if part < CLEAR_SIDE else False if part > UNCLEAR_SIDE else None


def _both(*verdicts: Verdict) -> Verdict:
    if any(verdict is False for verdict in verdicts):
        return False
    return None if any(verdict is None for verdict in verdicts) else True


def beside(instance: Instance, anchor: Instance, word: str) -> Verdict:
    """Whether a thing lies on one side of another: clearly if their boxes do not overlap along that direction."""
    axis, sign = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}[word]
    low, high = instance.bbox[axis], instance.bbox[axis] + instance.bbox[axis + 2]
    anchor_low, anchor_high = anchor.bbox[axis], anchor.bbox[axis] + anchor.bbox[axis + 2]
    if (high <= anchor_low) if sign < 0 else (low >= anchor_high):
        across = abs(instance.centre[1 - axis] - anchor.centre[1 - axis])
        return True if across < 2.0 * abs(instance.centre[axis] - anchor.centre[axis]) else None
    clear = instance.centre[axis] >= anchor_high if sign < 0 else instance.centre[axis] <= anchor_low
    return False if clear else None


def stands_on(scene: Scene, instance: Instance, anchor: Instance) -> Verdict:
    """Whether a thing stands on another: by whose pixels surround it."""
    x, y, width, height = instance.bbox
    around = scene.owners[max(0, y - 2) : y + height + 2, max(0, x - 2) : x + width + 2]
    others = around[around != instance.number]
    part = float(np.mean(others == anchor.number)) if len(others) else 0.0
    return True if part > 0.6 else False if part == 0 else None


def anchor_of(scene: Scene, class_name: str) -> Instance | None:
    """The only thing of a class, well visible; None if there are several or nothing clear."""
    found = [instance for instance in scene.instances if instance.class_name == class_name]
    return found[0] if len(found) == 1 and not barely_visible(found[0]) else None


def referents(scene: Scene, expression: Expression) -> tuple[Instance, ...] | None:
    """What the expression refers to: () if clearly nothing, None if people could differ."""
    anchor = anchor_of(scene, expression.relation[1]) if expression.relation else None
    if expression.relation and anchor is None:
        return None
    likes = LOOKALIKES.get(expression.class_name, ())
    chosen = []
    for instance in scene.instances:
        if instance.class_name != expression.class_name and instance.class_name not in likes:
            continue
        verdict = _judge(scene, expression, instance, anchor)
        if verdict is False or instance is anchor:
            continue
        if verdict is None or instance.class_name in likes or (barely_visible(instance) and not expression.plural):
            return None
        chosen.append(instance)
    return _pick(expression, chosen, anchor)


def _judge(scene: Scene, expression: Expression, instance: Instance, anchor: Instance | None) -> Verdict:
    verdicts: list[Verdict] = []
    if expression.colour and instance.class_name == expression.class_name:
        verdicts.append(instance.colour == expression.colour if instance.colour else None)
    if expression.place:
        verdicts.append(at(instance, expression.place))
    if expression.relation and anchor is not None and instance is not anchor:
        word = expression.relation[0]
        if word == "on":
            verdicts.append(stands_on(scene, instance, anchor))
        elif word in BESIDE:
            verdicts.append(beside(instance, anchor, word))
    return _both(*verdicts)


def _pick(expression: Expression, chosen: list[Instance], anchor: Instance | None) -> tuple[Instance, ...] | None:
    if not chosen:
        return ()
    if expression.plural:
        return tuple(chosen) if sum(not barely_visible(instance) for instance in chosen) > 1 else None
    if expression.order:
        return _ranked(chosen, *expression.order)
    if expression.extreme:
        return _winner(chosen, expression.extreme)
    if expression.relation and expression.relation[0] == "nearest to" and anchor is not None:
        return _nearest(chosen, anchor)
    return tuple(chosen) if len(chosen) == 1 else None


def _ranked(chosen: Sequence[Instance], rank: int, side: str) -> tuple[Instance, ...] | None:
    """The one of this rank from a side, if centres and box edges agree on a well spaced order up to it."""
    axis, sign = {"left": (0, 1), "right": (0, -1), "top": (1, 1), "bottom": (1, -1)}[side]

    def centre(instance: Instance) -> float:
        return sign * instance.centre[axis]

    def edge(instance: Instance) -> float:
        return sign * (instance.bbox[axis] + (instance.bbox[axis + 2] if sign < 0 else 0))

    line = sorted(chosen, key=centre)
    if len(line) < max(2, rank + 1) or sorted(chosen, key=edge)[:rank] != line[:rank]:
        return None
    gap = ORDER_GAP * chosen[0].side_px
    clear = all(centre(line[index + 1]) - centre(line[index]) > gap for index in range(rank))
    return (line[rank - 1],) if clear else None


def _winner(chosen: Sequence[Instance], extreme: str) -> tuple[Instance, ...] | None:
    """The largest or smallest, if it wins whether hidden parts count or not."""
    if len(chosen) < 2:
        return None
    if extreme == "largest":
        best = max(chosen, key=lambda instance: instance.area_px)
        wins = all(best.area_px > SIZE_RATIO * other.size for other in chosen if other is not best)
    else:
        best = min(chosen, key=lambda instance: instance.size)
        wins = all(best.size * SIZE_RATIO < other.area_px for other in chosen if other is not best)
    return (best,) if wins else None


def _nearest(chosen: Sequence[Instance], anchor: Instance) -> tuple[Instance, ...] | None:
    """The nearest to the anchor, if centres and boxes agree by a clear ratio."""
    if len(chosen) < 2:
        return None
    measures: list[Callable[[Instance], float]] = [
        lambda instance: math.dist(instance.centre, anchor.centre),
        lambda instance: _gap(instance, anchor) + 1.0,
    ]
    best = min(chosen, key=measures[0])
    for measure in measures:
        if any(measure(other) < NEAR_RATIO * measure(best) for other in chosen if other is not best):
            return None
    return (best,)


def _gap(first: Instance, second: Instance) -> float:
    """Pixels between two boxes; 0 if they touch."""
    apart = []
    for axis in (0, 1):
        low, high = (
            max(first.bbox[axis], second.bbox[axis]),
            min(first.bbox[axis] + first.bbox[axis + 2], second.bbox[axis] + second.bbox[axis + 2]),
        )
        apart.append(max(0, low - high))
    return math.hypot(*apart)
