"""Scenes with planted rows and clusters: car parks, tank farms, moored boats, each with the group it was planted in."""

from __future__ import annotations

import numpy as np

from synthetic.scenes import Instance, Scene
from synthetic.scenes.buildings import tank
from synthetic.scenes.canvas import Canvas
from synthetic.scenes.scene import collect, shrink_owners
from synthetic.scenes.vehicles import car, ship

GSD = 0.3  # metres per pixel


def planted_scene(seed: int) -> tuple[Scene, dict[int, int]]:
    """A scene, and the group of each of its instances by number."""
    rng = np.random.default_rng([7, seed])
    canvas = Canvas(rng, 640, GSD, float(rng.uniform(0, 360)), (0.3, 0.4))
    groups: dict[int, int] = {}
    spots = [(x, y) for x in (-66.0, 0.0, 66.0) for y in (-66.0, 0.0, 66.0)]
    for group, at in enumerate(rng.permutation(len(spots)).tolist(), 1):
        x, y = spots[at]
        owners = (_cars, _tanks, _boats)[int(rng.integers(3))](canvas, x, y, rng)
        groups.update(dict.fromkeys(owners, group))
    canvas.stand()
    owner_map, instances = collect(shrink_owners(canvas), canvas.things)
    image = np.asarray(canvas.image.resize((640, 640)))
    return Scene(seed, "planted", GSD, image, owner_map, instances), groups


def _cars(canvas: Canvas, x: float, y: float, rng: np.random.Generator) -> list[int]:
    """A car park: two rows over an aisle, now and then a slot that is free."""
    found, count = [], int(rng.integers(5, 10))
    for side in (-1, 1):
        for slot in range(count):
            if rng.random() < 0.85:
                at = x + (slot - count / 2) * 2.8
                found.append(car(canvas, at, y + side * 5.0, 90.0, str(rng.choice(["white", "red", "black"]))))
    return found


def _tanks(canvas: Canvas, x: float, y: float, rng: np.random.Generator) -> list[int]:
    """A tank farm of two or three rows."""
    rows, radius = int(rng.integers(2, 4)), float(rng.uniform(4.0, 5.0))
    return [
        tank(canvas, x + (column - 1) * radius * 2.7, y + (row - rows / 2) * radius * 2.7, radius, "white")
        for row in range(rows)
        for column in range(3)
    ]


def _boats(canvas: Canvas, x: float, y: float, rng: np.random.Generator) -> list[int]:
    """Boats moored side by side."""
    return [
        ship(canvas, x + (place - 2) * 6.5, y, float(rng.uniform(11, 13)), 90.0, "white", "boat")
        for place in range(int(rng.integers(4, 6)))
    ]


def of_class(scene: Scene, name: str) -> list[Instance]:
    """The things of a class."""
    return [one for one in scene.instances if one.class_name == name]
