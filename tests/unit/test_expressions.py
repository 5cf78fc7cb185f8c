"""Referring expressions on scenes set by hand: what is clear, what is doubtful, what is not there."""

from __future__ import annotations

import numpy as np

from synthetic.expressions import Expression, at, barely_visible, referents
from synthetic.scenes import Instance, Scene


def thing(
    number: int, name: str, x: float, y: float, colour: str | None = None, size: int = 10, full: float = 0
) -> Instance:
    left, top = round(x - size / 2), round(y - size / 2)
    area, box = size * size, (left, top, size, size)
    return Instance(number, name, colour, "", box, (x, y), area, full or area, 200, np.ones((size, size), bool))


def scene_of(*things: Instance) -> Scene:
    owners = np.zeros((200, 200), np.int32)
    for one in things:
        owners[one.mask] = one.number
    return Scene(0, "urban", 0.3, np.zeros((200, 200, 3), np.uint8), owners, things)


def numbers(scene: Scene, **expression: object) -> tuple[int, ...] | None:
    found = referents(scene, Expression(**expression))  # type: ignore[arg-type]
    return None if found is None else tuple(one.number for one in found)


def test_doubt_is_no_answer() -> None:
    left, middle, right = (
        thing(1, "ship", 30, 100, "red"),
        thing(2, "ship", 82, 60, "blue"),
        thing(3, "ship", 170, 100, "red"),
    )
    scene = scene_of(left, middle, right)
    assert [at(left, "left"), at(middle, "left"), at(right, "left")] == [True, None, False]
    assert numbers(scene, class_name="ship") is None
    assert numbers(scene, class_name="ship", colour="blue") == (2,)
    assert numbers(scene, class_name="ship", colour="red") is None
    assert numbers(scene, class_name="ship", colour="red", plural=True) == (1, 3)
    assert numbers(scene, class_name="ship", place="right") == (3,)
    assert numbers(scene, class_name="ship", place="left") is None
    assert numbers(scene, class_name="ship", colour="red", place="left") == (1,)
    assert numbers(scene, class_name="ship", colour="green") == ()
    assert numbers(scene, class_name="plane") == ()
    assert numbers(scene, class_name="ship", order=(1, "left")) == (1,)
    assert numbers(scene, class_name="ship", order=(2, "left")) == (2,)
    assert numbers(scene, class_name="ship", order=(3, "left")) is None
    assert numbers(scene, class_name="ship", order=(1, "top")) == (2,)
    assert numbers(scene, class_name="ship", order=(1, "bottom")) is None
    assert numbers(scene, class_name="ship", extreme="largest") is None


def test_what_is_hardly_seen_spoils_asking_about_its_likes() -> None:
    clear, hidden = thing(1, "car", 50, 50, "red"), thing(2, "car", 150, 150, "red", 4, 100)
    assert barely_visible(hidden)
    assert not barely_visible(clear)
    scene = scene_of(clear, hidden)
    assert numbers(scene, class_name="car", place="top left") == (1,)
    assert numbers(scene, class_name="car", extreme="largest") is None
    assert numbers(scene, class_name="car", plural=True) is None
    assert numbers(scene, class_name="car", place="bottom right") is None


def test_relations() -> None:
    bridge = thing(1, "bridge", 100, 100, None, 40)
    scene = scene_of(
        bridge,
        thing(2, "car", 100, 100, "red", 6),
        thing(3, "car", 40, 102, "blue", 6),
        thing(4, "car", 180, 20, "blue", 6),
        thing(5, "truck", 100, 30, "red", 8),
    )
    assert numbers(scene, class_name="car", relation=("on", "bridge")) == (2,)
    assert numbers(scene, class_name="car", relation=("left of", "bridge")) is None  # the one on it is neither
    assert numbers(scene, class_name="truck", relation=("above", "bridge")) == (5,)
    assert numbers(scene, class_name="truck", relation=("left of", "bridge")) is None
    assert numbers(scene, class_name="truck", relation=("below", "bridge")) == ()
    assert numbers(scene, class_name="car", relation=("nearest to", "truck")) is None
    assert numbers(scene, class_name="car", colour="blue", relation=("nearest to", "bridge")) == (3,)
    assert numbers(scene, class_name="car", relation=("on", "runway")) is None


def test_sizes_must_win_whether_hidden_parts_count_or_not() -> None:
    small, large = thing(1, "plane", 40, 40, "white", 10), thing(2, "plane", 140, 140, "white", 20)
    assert numbers(scene_of(small, large), class_name="plane", extreme="largest") == (2,)
    assert numbers(scene_of(small, large), class_name="plane", extreme="smallest") == (1,)
    cut = thing(1, "plane", 40, 40, "white", 12, 380)
    assert numbers(scene_of(cut, large), class_name="plane", extreme="largest") is None
