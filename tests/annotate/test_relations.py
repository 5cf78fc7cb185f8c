"""What a thing stands between or among, and which of two is the larger: only where nobody could differ."""

from __future__ import annotations

import numpy as np
import pytest

from annotate.describers.rules import sentence_of
from annotate.facts import facts_of
from annotate.groups import units_of
from annotate.items import Instance, Item
from annotate.picture import Picture
from geopixel_edge.masks import Mask

SIDE_PX = 800
Box = tuple[str, int, int, int, int]  # class, x, y, width, height
SHIP: Box = ("ship", 380, 380, 70, 70)


def told(*boxes: Box, hidden: int | None = None) -> tuple[tuple[str, ...] | None, str | None, str]:
    """Relation, rank and sentence of the first box; of one that is `hidden` a tenth is seen."""
    instances = []
    for number, (name, x, y, width, height) in enumerate(boxes):
        bits = np.zeros((SIDE_PX, SIDE_PX), np.bool_)
        bits[y : y + height, x : x + width] = True
        for other in boxes[:number]:  # earlier ones lie on top
            bits[other[2] : other[2] + other[4], other[1] : other[1] + other[3]] = False
        whole = 10.0 * width * height if number == hidden else float(bits.sum())
        instances.append(Instance(number, name, Mask.from_array(bits), whole))
    item = Item("one", np.full((SIDE_PX, SIDE_PX, 3), 120, np.uint8), tuple(instances))
    picture = Picture(item, "published")
    unit = next(unit for unit in units_of(picture) if unit.members[0].id == 0)
    facts = facts_of(picture, unit)
    return facts.relation, facts.rank, sentence_of(facts, f"the {boxes[0][0]}", ("place",), 0)


PIER, BRIDGE = ("pier", 250, 380, 100, 70), ("bridge", 480, 380, 100, 70)


def test_between_two_that_are_the_only_ones_of_their_class() -> None:
    relation, _, sentence = told(SHIP, PIER, BRIDGE)
    assert relation == ("between", "bridge", "pier")
    assert sentence.endswith(", between the bridge and the pier.")


@pytest.mark.parametrize(
    ("others", "wanted"),
    [
        ((PIER,), ("right of", "pier")),
        ((PIER, ("bridge", 480, 300, 100, 500)), ("right of", "pier")),  # its middle lies across, not along
        ((PIER, ("bridge", 380, 150, 70, 80)), ("right of", "pier")),  # of two sides, which do not face each other
        ((PIER, BRIDGE, ("bridge", 10, 700, 80, 80)), ("right of", "pier")),  # which bridge?
        ((PIER, ("bridge", 700, 380, 90, 70)), ("right of", "pier")),  # far
    ],
)
def test_not_between(others: tuple[Box, ...], wanted: tuple[str, ...]) -> None:
    assert told(SHIP, *others)[0] == wanted


TREES: tuple[Box, ...] = tuple(("tree", x, y, 70, 70) for x, y in ((380, 280), (380, 480), (280, 380), (480, 380)))


def test_surrounded_by_a_class_on_each_side() -> None:
    relation, _, sentence = told(SHIP, *TREES)
    assert relation == ("surrounded by", "trees")
    assert sentence.endswith(", surrounded by trees.")
    assert told(SHIP, *TREES[:3])[0] is None
    assert told(SHIP, *TREES, hidden=4)[0] is None


def test_surrounded_by_one_thing_that_is_all_around() -> None:
    relation, _, sentence = told(SHIP, ("lake", 250, 250, 330, 330))
    assert relation == ("surrounded by", "the lake")
    assert sentence.endswith(", surrounded by the lake.")
    relation, _, _ = told(SHIP, ("lake", 250, 250, 160, 330))  # half of it
    assert relation is None or relation[0] != "surrounded by"


def test_the_larger_of_two_and_the_largest_of_more() -> None:
    two: tuple[Box, ...] = (("ship", 100, 100, 90, 90), ("ship", 600, 600, 70, 70))
    assert told(*two)[1] == "larger"
    assert told(*two[::-1])[1] == "smaller"
    assert told(*two, ("ship", 600, 100, 66, 66))[1] == "largest"
    assert told(two[0], ("ship", 600, 600, 85, 85))[1] is None
