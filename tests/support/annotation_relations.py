"""Whether one thing of a drawn scene stands to others as a sentence says: beside, on, between or surrounded by them."""

from __future__ import annotations

import numpy as np

from synthetic.expressions import anchor_of, beside, stands_on
from synthetic.scenes import CLASS_NAMES, Instance, Scene
from synthetic.scenes.palette import plural

RENAMED = {"boat": "ship"}  # what the published profile calls a class


def related(scene: Scene, things: list[Instance], side: str, name: str) -> bool:
    """On, in or beside the only thing of a class."""
    anchor = anchor_of(scene, RENAMED.get(name, name))
    if anchor is None or len(things) != 1:
        return False
    if side in ("on", "in"):
        return stands_on(scene, things[0], anchor) is True
    return beside(things[0], anchor, side.removeprefix("to the ")) is True


def between(scene: Scene, things: list[Instance], names: tuple[str, str]) -> bool:
    """Between the middles of two: the only ones of their classes, on opposite sides."""
    anchors = [anchor_of(scene, RENAMED.get(name, name)) for name in names]
    if None in anchors or len(things) != 1:
        return False
    first, second, thing = (np.array(one.centre) for one in (*anchors, things[0]) if one is not None)
    sides = [("left of", "right of"), ("right of", "left of"), ("above", "below"), ("below", "above")]
    opposite = any(all(related(scene, things, *pair) for pair in zip(side, names, strict=True)) for side in sides)
    along = float((thing - first) @ (second - first)) / float((second - first) @ (second - first))
    return opposite and 0 < along < 1


def surrounded(scene: Scene, things: list[Instance], words: str) -> bool:
    """By one thing, which owns what lies around its box; or by several of a class, one on each of four sides."""
    if len(things) != 1:
        return False
    x, y, width, height = things[0].bbox
    if words.startswith("the "):
        anchor = anchor_of(scene, words.removeprefix("the "))
        window = scene.owners[max(0, y - 2) : y + height + 2, max(0, x - 2) : x + width + 2]
        around = window[window != things[0].number]
        return anchor is not None and bool((around == anchor.number).mean() > 0.85)
    names = {name for name in (*CLASS_NAMES, *RENAMED) if plural(name) == words}
    others = [one for one in scene.instances if one.class_name in {RENAMED.get(name, name) for name in names}]
    return all(
        any(beside(things[0], one, side) is True for one in others)
        for side in ("left of", "right of", "above", "below")
    )
