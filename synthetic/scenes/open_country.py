"""Farmland, desert and airfield scenes."""

from __future__ import annotations

import numpy as np

from . import buildings, ground, plants, surfaces, vehicles
from .canvas import box, ring
from .palette import CONCRETE
from .plan import Plan

Rectangle = tuple[float, float, float, float]  # left, top, right, low


def draw_farmland(plan: Plan) -> None:
    """A patchwork of fields with hedges, tracks and farmsteads."""
    canvas, far = plan.canvas, plan.far
    ground.lay(canvas, ground.land(canvas, ground.GRASS[int(plan.rng.integers(len(ground.GRASS)))]))
    cells: list[Rectangle] = []
    _split(plan, -far, -far, far, far, plan.spread(75, 130), cells)
    for left, top, right, low in cells:
        x, y, long, wide = (left + right) / 2, (top + low) / 2, right - left - 7, low - top - 7
        if not canvas.inside(x, y, max(long, wide) * 0.7):
            continue
        draw = plan.rng.random()
        if draw < 0.13:
            farmstead(plan, x, y, min(long, wide))
        elif draw < 0.22:
            plan.grove(plants.blob(plan.rng, x, y, min(long, wide) * 0.42, (long / wide) ** 0.4))
        elif draw < 0.30 and min(long, wide) > 50:
            surfaces.crop_field(canvas, ring(x, y, min(long, wide) * 0.48, 40), 0, plan.colour("crop field"), True)
        else:
            outline = box(x, y, long, wide) + plan.rng.uniform(-3, 3, (4, 2))
            surfaces.crop_field(
                canvas, outline, float(plan.rng.choice([0, 90])) + plan.spread(-4, 4), plan.colour("crop field")
            )
        if plan.chance(0.22):
            plan.grove(box(x, low, long * 0.8, 7), 5.5)
    if plan.chance(0.8):
        at = float(plan.rng.choice([cell[0] for cell in cells if abs(cell[0]) < canvas.reach] or [0.0]))
        paved = plan.chance(0.5)
        surfaces.road(canvas, [(at, -far), (at, far)], 7.5 if paved else 5, None if paved else (158, 138, 108), paved)
        plan.traffic((at, -far), (at, far), 7, 80, 0.4)
        plan.hold(at, 0, 10, 2 * far)
    plan.trees(plan.count(2, 6), lambda x, y: True)


def _split(plan: Plan, left: float, top: float, right: float, low: float, size: float, cells: list[Rectangle]) -> None:
    """Cut a rectangle into fields."""
    long, wide = right - left, low - top
    if max(long, wide) < size * plan.spread(1.3, 2.0):
        cells.append((left, top, right, low))
    elif long > wide:
        cut = left + long * plan.spread(0.36, 0.64)
        _split(plan, left, top, cut, low, size, cells)
        _split(plan, cut, top, right, low, size, cells)
    else:
        cut = top + wide * plan.spread(0.36, 0.64)
        _split(plan, left, top, right, cut, size, cells)
        _split(plan, left, cut, right, low, size, cells)


def farmstead(plan: Plan, x: float, y: float, room: float) -> None:
    """A yard with barns, a house, silos and a truck."""
    canvas = plan.canvas
    canvas.flat(plants.blob(plan.rng, x, y, room * 0.36), canvas.shade((150, 136, 112), 8))
    buildings.warehouse(canvas, x - room * 0.18, y, room * 0.34, room * 0.17, 90, plan.colour("building"), "barn")
    buildings.house(
        canvas, x + room * 0.17, y - room * 0.2, plan.spread(13, 17), plan.spread(9, 11), 0, plan.colour("building")
    )
    if plan.chance(0.6):
        colour = plan.colour("storage tank")
        for index in range(plan.count(1, 3)):
            buildings.tank(canvas, x + room * 0.06, y + room * 0.1 + index * 9, 3.8, colour)
    if plan.chance(0.6):
        plan.truck(x + room * 0.22, y + room * 0.06, plan.spread(0, 360))
    plan.car(x + room * 0.25, y - room * 0.05, plan.spread(0, 360))


def draw_desert(plan: Plan) -> None:
    """Sand with a road, walled compounds, tanks, round fields and now and then a helicopter or an airstrip."""
    canvas, far = plan.canvas, plan.far
    ground.lay(
        canvas, ground.dunes(canvas, ground.land(canvas, ground.SAND[int(plan.rng.integers(len(ground.SAND)))], 0.05))
    )
    road_y = plan.spread(-0.5, 0.5) * canvas.reach
    paved = plan.chance(0.7)
    bend = plan.spread(-30, 30)
    path = [(u, road_y + bend * np.sin(u / 90)) for u in np.linspace(-far, far, 24)]
    surfaces.road(canvas, path, 8 if paved else 6, None if paved else (176, 150, 116), paved)
    plan.hold(0, road_y, 2 * far, 2 * abs(bend) + 16)
    for start, end in zip(path[::6][:-1], path[::6][1:], strict=True):
        if abs(bend) < 8:
            plan.traffic(start, end, 8, 60, 0.5)
    for _ in range(plan.count(2, 5)):
        size = plan.spread(40, 70)
        found = plan.spot(size + 8, size + 8, lambda x, y: True, 0.0)
        if found:
            _compound(plan, found[0], found[1], size)
    for _ in range(plan.count(0, 3)):
        radius = plan.spread(24, 46)
        found = plan.spot(2 * radius, 2 * radius, lambda x, y: True, 0.0)
        if found:
            surfaces.crop_field(canvas, ring(found[0], found[1], radius, 44), 0, plan.colour("crop field"), True)
    if plan.chance(0.4):
        found = plan.spot(30, 30, lambda x, y: True, 0.0)
        if found:
            helipad(plan, found[0], found[1])
    for _ in range(plan.count(0, 4)):
        found = plan.spot(16, 6, lambda x, y: True, None)
        if found:
            plan.truck(*found)
    plan.groves(plan.count(0, 2), lambda x, y: True, 9, 16)
    plan.trees(plan.count(2, 8), lambda x, y: True)


def _compound(plan: Plan, x: float, y: float, size: float) -> None:
    """A walled yard with a few buildings and perhaps tanks."""
    canvas = plan.canvas
    canvas.flat(box(x, y, size, size), canvas.shade((190, 168, 132), 8))
    for u, v, long, wide in ((0, -0.5, 1, 0.012), (0, 0.5, 1, 0.012), (-0.5, 0, 0.012, 1), (0.5, 0.1, 0.012, 0.8)):
        canvas.rise(box(x + u * size, y + v * size, long * size, wide * size), (212, 196, 164), 2.5, 0, 0.3)
    for u, v in ((-0.24, -0.24), (0.24, -0.24), (-0.24, 0.24), (0.24, 0.24)):
        at = x + u * size, y + v * size
        draw = plan.rng.random()
        if draw < 0.55:
            buildings.block(
                canvas,
                *at,
                size * plan.spread(0.22, 0.36),
                size * plan.spread(0.18, 0.32),
                0,
                plan.colour("building"),
                5,
            )
        elif draw < 0.75:
            colour = plan.colour("storage tank")
            for part in (-1, 1):
                buildings.tank(canvas, at[0] + part * size * 0.09, at[1], size * 0.075, colour)
        elif draw < 0.9:
            plan.car(at[0], at[1], plan.spread(0, 360))


def helipad(plan: Plan, x: float, y: float) -> None:
    """A concrete pad with a circle, and a helicopter on it."""
    canvas = plan.canvas
    canvas.flat(box(x, y, 26, 26), canvas.shade(CONCRETE, 8))
    circle = ring(x, y, 10, 24)
    canvas.mark(np.concatenate([circle, circle[:1]]), (222, 200, 96), 0.9, 0)
    vehicles.helicopter(canvas, x, y, plan.spread(14, 19), plan.spread(0, 360), plan.colour("helicopter"))


def draw_airfield(plan: Plan) -> None:
    """A runway, an apron with planes, hangars behind it, helicopters and fuel tanks."""
    canvas, far = plan.canvas, plan.far
    ground.lay(canvas, ground.land(canvas, ground.GRASS[int(plan.rng.integers(len(ground.GRASS)))]))
    reach = canvas.reach
    runway_y, width = plan.spread(-0.75, -0.35) * reach, plan.spread(24, 38)
    taxi_y = runway_y + width / 2 + plan.spread(26, 44)
    deep = plan.spread(0.36, 0.6) * reach + 22
    left, right = plan.spread(-0.95, -0.5) * reach, plan.spread(0.5, 0.95) * reach
    tone = canvas.shade((142, 142, 138), 9)
    for points in (
        box(0, taxi_y, 2 * far, 13),
        box(left + 20, (runway_y + taxi_y) / 2, 14, taxi_y - runway_y),
        box(right - 20, (runway_y + taxi_y) / 2, 14, taxi_y - runway_y),
    ):
        canvas.flat(points, tone)
    canvas.flat(
        [(left, taxi_y), (right, taxi_y), (right, taxi_y + deep), (left, taxi_y + deep)],
        canvas.shade((158, 156, 150), 9),
    )
    canvas.mark([(-far, taxi_y), (far, taxi_y)], (208, 178, 84), 0.5, 0)
    for at in np.arange(left, right, 14.0):
        canvas.mark([(at, taxi_y + 7), (at, taxi_y + deep)], (140, 138, 132), 0.3, 0)
    stretch = plan.spread(0.75, 1.6) * reach
    surfaces.runway(canvas, np.array([-stretch, runway_y]), np.array([stretch + 40, runway_y]), width)
    _parked(plan, left, right, taxi_y + 14, taxi_y + deep - 8)
    if plan.chance(0.35):
        x = plan.spread(-0.6, 0.6) * reach
        vehicles.plane(
            canvas, x, runway_y, plan.spread(24, 40), float(plan.rng.choice([0, 180])), plan.colour("plane"), "airliner"
        )
    _behind(plan, left, right, taxi_y + deep)
    plan.hold(0, runway_y, 2 * far, width + 20)
    plan.hold(0, taxi_y + deep / 2, 2 * far, deep + 40)
    plan.groves(plan.count(1, 4), lambda x, y: y < runway_y - width or y > taxi_y + deep + 60, 12, 26)
    plan.trees(plan.count(1, 5), lambda x, y: y < runway_y - width or y > taxi_y + deep + 60)


def _parked(plan: Plan, left: float, right: float, top: float, low: float) -> None:
    """Planes in rows, fuel trucks and helicopters on the apron."""
    canvas, row = plan.canvas, top
    while row < low - 12:
        size = plan.spread(30, 42) if plan.chance(0.6) and low - row > 40 else plan.spread(11, 16)
        kind = "airliner" if size > 20 else "small"
        heading = float(plan.rng.choice([-90, 90]))
        at = left + size * 0.7
        while at < right - size * 0.6:
            if canvas.inside(at, row + size * 0.5, 0):
                if plan.chance(0.72):
                    vehicles.plane(
                        canvas,
                        at,
                        row + size * 0.5,
                        size * plan.spread(0.92, 1.0),
                        heading + plan.spread(-6, 6),
                        plan.colour("plane"),
                        kind,
                    )
                elif plan.chance(0.35):
                    vehicles.helicopter(
                        canvas, at, row + size * 0.5, plan.spread(13, 18), heading, plan.colour("helicopter")
                    )
                elif plan.chance(0.5):
                    plan.truck(at, row + size * 0.5, plan.spread(0, 360))
            at += size * plan.spread(1.12, 1.4)
        row += size * 1.2


def _behind(plan: Plan, left: float, right: float, y: float) -> None:
    """Hangars along the apron, then a road, a car park and tanks."""
    canvas, at = plan.canvas, left + 8
    while at < right - 16:
        long, deep = plan.spread(28, 46), plan.spread(24, 32)
        if plan.chance(0.75) and canvas.inside(at + long / 2, y + deep / 2, 20):
            buildings.warehouse(canvas, at + long / 2, y + deep / 2, deep, long, -90, plan.colour("building"), "hangar")
        at += long + plan.spread(6, 14)
    road_y = y + 44
    surfaces.road(canvas, [(-plan.far, road_y), (plan.far, road_y)], 8)
    plan.traffic((-plan.far, road_y), (plan.far, road_y), 8, 50, 0.2)
    at = left
    while at < right:
        draw = plan.rng.random()
        if draw < 0.3:
            for u, v, degrees in surfaces.parking(canvas, at + 30, road_y + 18, 50, 18, 0)[1]:
                if plan.chance(0.5):
                    plan.car(u, v, degrees)
        elif draw < 0.55:
            colour = plan.colour("storage tank")
            for index in range(3):
                buildings.tank(canvas, at + 14 + index * 19, road_y + 20, 7.5, colour)
        elif draw < 0.75:
            helipad(plan, at + 30, road_y + 24)
        at += 66
