"""Port and river scenes: quays, piers, ships, tanks and sheds; bridges, boats and banks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from . import buildings, ground, plants, surfaces, vehicles
from .canvas import box
from .palette import CONCRETE
from .plan import Plan

CONTAINERS = vehicles.CONTAINERS


def draw_port(plan: Plan) -> None:
    """A quay with piers and ships on one side, and behind it sheds, tanks, containers and a road."""
    canvas, far = plan.canvas, plan.far
    x, y = ground.world(canvas)
    shore = canvas.reach * plan.spread(-0.25, 0.25)
    edge = canvas.reach * plan.spread(0.1, 0.7)  # right of it the shore is natural
    swing = np.clip((x - edge) / 40, 0, 1) * (14 * np.sin(x / plan.spread(24, 50)) - 10)
    dry = ground.land(canvas, ground.GRASS[int(plan.rng.integers(len(ground.GRASS)))])
    wet = ground.water(canvas, ground.SEAS[int(plan.rng.integers(len(ground.SEAS)))], plan.spread(0, 0.6))
    natural = np.clip((x - edge) / 20, 0, 1).astype(np.float32)
    ground.lay(canvas, ground.shore(canvas, dry, wet, shore + swing - y, 12.0, 26.0, natural))
    apron = plan.spread(34, 52)
    canvas.flat(
        [(-far, shore), (edge + 8, shore), (edge + 8, shore + apron), (-far, shore + apron)], canvas.shade(CONCRETE, 9)
    )
    canvas.mark([(-far, shore + 0.8), (edge + 8, shore + 0.8)], (206, 198, 150), 1.0, 0)
    _piers(plan, shore, edge)
    _fleet(plan, shore, edge)
    road_y = shore + apron + plan.spread(8, 14)
    surfaces.road(canvas, [(-far, road_y), (far, road_y)], plan.spread(9, 13))
    plan.traffic((-far, road_y), (far, road_y), 10, 45, 0.35)
    _apron(plan, shore, apron, edge)
    _hinterland(plan, road_y + 12)


def _piers(plan: Plan, shore: float, edge: float) -> None:
    at = -plan.far + plan.spread(0, 60)
    while at < plan.far:
        natural = at > edge
        long = plan.spread(24, 44) if natural else plan.spread(60, 130)
        wide = plan.spread(3.5, 5) if natural else plan.spread(8, 15)
        if plan.canvas.inside(at, shore - long / 2, 0) and plan.chance(0.75):
            start = shore + (12 if natural else 1)
            colour = plan.colour("pier")
            surfaces.pier(plan.canvas, (at, start), (at, shore - long), wide, colour)
            plan.hold(at, shore - long / 2, wide, long)
            for side in (-1, 1):
                size = plan.spread(9, 15) if natural else plan.spread(0.45, 0.8) * long
                if plan.chance(0.65):
                    beam = size * (0.3 if natural else 0.2)
                    _ship(
                        plan,
                        at + side * (wide / 2 + beam / 2 + 1.2),
                        shore - long * 0.55,
                        size,
                        90 * plan.rng.choice([-1, 1]),
                    )
        at += plan.spread(30, 60) if natural else plan.spread(70, 120)


def _ship(plan: Plan, x: float, y: float, length: float, degrees: float, moving: bool = False) -> bool:
    kind = (
        "boat"
        if length < 26
        else str(plan.rng.choice(["cargo", "tanker", "ferry"] if length < 90 else ["cargo", "tanker"]))
    )
    if not plan.claim(x, y, length + 3, length * 0.24, degrees):
        return False
    if plan.canvas.inside(x, y, length * 0.4):
        vehicles.ship(plan.canvas, x, y, length, degrees, plan.colour("ship"), kind)
        if moving:
            u, v = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
            vehicles.wake(plan.canvas, x - u * length * 0.5, y - v * length * 0.5, max(40.0, length * 1.1), degrees)
    return True


def _fleet(plan: Plan, shore: float, edge: float) -> None:
    for _ in range(plan.count(0, 2)):
        length = plan.spread(70, 130)
        u = plan.spread(-plan.canvas.reach, min(edge - length / 2, plan.canvas.reach))
        _ship(plan, u, shore - length * 0.11 - 1.5, length, float(plan.rng.choice([0, 180])))
    for _ in range(plan.count(2, 8)):
        length = plan.spread(12, 24) if plan.chance(0.5) else plan.spread(34, 110)
        for _ in range(6):
            u, v = plan.spread(-plan.far, plan.far), plan.spread(-plan.far, shore - length * 0.7 - 10)
            if plan.canvas.inside(u, v, 0) and _ship(plan, u, v, length, plan.spread(0, 360), plan.chance(0.5)):
                break


def _apron(plan: Plan, shore: float, apron: float, edge: float) -> None:
    """Containers in stacks, and trucks between them."""
    canvas = plan.canvas
    at = -plan.far
    while at < edge - 10:
        if plan.chance(0.45) and canvas.inside(at + 10, shore + apron * 0.6, 14):
            for column in range(plan.count(2, 4)):
                for lane in range(int(apron * 0.5 // 3)):
                    if plan.chance(0.75):
                        tone = canvas.shade(CONTAINERS[int(plan.rng.integers(len(CONTAINERS)))], 14)
                        canvas.rise(
                            box(at + column * 7.6, shore + apron * 0.38 + lane * 2.9, 6.6, 2.6),
                            tone,
                            2.6 * plan.count(1, 3),
                            0,
                            0.8,
                        )
        elif plan.chance(0.6):
            plan.truck(at + 12, shore + apron * plan.spread(0.2, 0.8), float(plan.rng.choice([0, 180, 90])))
        at += plan.spread(30, 44)


def _hinterland(plan: Plan, top: float) -> None:
    """Plots behind the road: tanks, sheds, car parks, trees."""
    canvas, row = plan.canvas, top
    while row < plan.far:
        deep, at = plan.spread(52, 74), -plan.far
        while at < plan.far:
            long = plan.spread(60, 110)
            if canvas.inside(at + long / 2, row + deep / 2, long * 0.6):
                plot(plan, at + long / 2, row + deep / 2, long - 8, deep - 8)
            at += long
        row += deep


def plot(plan: Plan, x: float, y: float, long: float, wide: float) -> None:
    """One plot of an industrial area."""
    canvas = plan.canvas
    use = str(plan.rng.choice(["tanks", "sheds", "sheds", "parking", "trees", "blocks"]))
    if use == "trees":
        plan.grove(plants.blob(plan.rng, x, y, min(long, wide) * 0.42, plan.spread(0.9, 1.25)))
        return
    canvas.flat(box(x, y, long, wide), canvas.shade((150, 146, 134), 12))
    if use == "tanks":
        radius = plan.spread(6.5, 15)
        step = radius * 2.6
        for u in np.arange(-long / 2 + step / 2, long / 2 - step / 2 + 0.1, step):
            for v in np.arange(-wide / 2 + step / 2, wide / 2 - step / 2 + 0.1, step):
                if plan.chance(0.85) and canvas.inside(x + u, y + v, radius):
                    buildings.tank(
                        canvas, float(x + u), float(y + v), radius * plan.spread(0.75, 1.0), plan.colour("storage tank")
                    )
    elif use == "parking":
        for u, v, degrees in surfaces.parking(canvas, x, y, long * 0.9, max(17.0, wide * 0.55), 0)[1]:
            if plan.chance(0.5):
                plan.car(u, v, degrees)
    elif use == "blocks":
        buildings.block(
            canvas, x, y, long * plan.spread(0.4, 0.75), wide * plan.spread(0.45, 0.75), 0, plan.colour("building"), 9
        )
    else:
        number = plan.count(1, 2)
        for index in range(number):
            v = y + (index - (number - 1) / 2) * wide / number
            buildings.warehouse(
                canvas, x, v, long * plan.spread(0.55, 0.8), wide / number * 0.62, 0, plan.colour("building"), "shed"
            )
        if plan.chance(0.6):
            plan.truck(x - long * 0.44, y, 90)


def draw_river(plan: Plan) -> None:
    """A river through fields and woods, with bridges, boats and small piers."""
    canvas, far = plan.canvas, plan.far
    x, y = ground.world(canvas)
    half, swing, length, phase = plan.spread(16, 46), plan.spread(6, 34), plan.spread(70, 130), plan.spread(0, 6.28)

    def middle(at: float) -> float:
        return swing * math.sin(at / length + phase)

    depth = half - np.abs(y - swing * np.sin(x / length + phase))
    dry = ground.land(canvas, ground.GRASS[int(plan.rng.integers(len(ground.GRASS)))])
    wet = ground.water(canvas, ground.RIVERS[int(plan.rng.integers(len(ground.RIVERS)))], plan.spread(0.5, 0.9))
    ground.lay(canvas, ground.shore(canvas, dry, wet, depth, plan.spread(0, 5), 0.0))

    def on_land(u: float, v: float) -> bool:
        return abs(v - middle(u)) > half + 16

    bridges = [plan.spread(-0.6, -0.1) * canvas.reach] + (
        [plan.spread(0.25, 0.75) * canvas.reach] if plan.chance(0.5) else []
    )
    for at in bridges:
        width = plan.spread(8, 12)
        surfaces.road(canvas, [(at, -far), (at, far)], width)
        span = half * math.hypot(1, swing / length * math.cos(at / length + phase)) + 9
        ends = (at, middle(at) - span), (at, middle(at) + span)
        surfaces.bridge(canvas, *ends, width + 3.5)
        plan.hold(at, 0, width + 8, 2 * far)
        plan.traffic((at, -far), (at, far), width, 40)
    for _ in range(plan.count(1, 5)):
        size = plan.spread(9, 16) if half < 26 or plan.chance(0.5) else plan.spread(26, 48)
        u = plan.spread(-far, far)
        slope = math.degrees(math.atan(swing / length * math.cos(u / length + phase)))
        v = middle(u) + plan.spread(-0.4, 0.4) * half
        if canvas.inside(u, v, 0):
            _ship(plan, u, v, size, slope + float(plan.rng.choice([0, 180])), plan.chance(0.6))
    for _ in range(plan.count(0, 3)):
        u, side = plan.spread(-canvas.reach, canvas.reach), float(plan.rng.choice([-1, 1]))
        start, long = middle(u) + side * (half + 9), plan.spread(19, 26)
        if plan.claim(u, start - side * long / 2, 8, long):
            surfaces.pier(canvas, (u, start), (u, start - side * long), plan.spread(3, 4.5), plan.colour("pier"))
            _ship(plan, u + 5, start - side * long * 0.78, plan.spread(9, 12), 90)
    countryside(plan, on_land)


def countryside(plan: Plan, allowed: Callable[[float, float], bool]) -> None:
    """Fields, farm buildings and trees on allowed ground."""
    canvas = plan.canvas

    def clear(length: float, width: float) -> Callable[[float, float], bool]:
        def check(u: float, v: float) -> bool:
            return all(allowed(u + a * length / 2, v + b * width / 2) for a in (-1, 0, 1) for b in (-1, 0, 1))

        return check

    for _ in range(plan.count(4, 9)):
        long, wide = plan.spread(50, 120), plan.spread(40, 80)
        found = plan.spot(long, wide, clear(long, wide), 0.0)
        if found:
            surfaces.crop_field(
                canvas, box(found[0], found[1], long, wide), float(plan.rng.choice([0, 90])), plan.colour("crop field")
            )
    for _ in range(plan.count(3, 9)):
        found = plan.spot(20, 20, clear(20, 20), None)
        if found:
            buildings.house(
                canvas, *found[:2], plan.spread(12, 18), plan.spread(8, 11), found[2], plan.colour("building")
            )
    plan.groves(plan.count(3, 8), clear(30, 30), 12, 30)
    plan.trees(plan.count(3, 10), clear(8, 8))
