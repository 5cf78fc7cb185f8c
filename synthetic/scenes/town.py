"""Urban and residential scenes: streets, blocks, and what stands in a block."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from . import buildings, ground, plants, surfaces
from .canvas import box
from .plan import Plan

Block = tuple[float, float, float, float]  # x, y, length, width


def draw(plan: Plan, urban: bool) -> None:
    """A town of blocks between streets; urban ones are larger, paved and flat-roofed."""
    canvas = plan.canvas
    tones = ground.GRASS[int(plan.rng.integers(len(ground.GRASS)))]
    ground.lay(canvas, ground.land(canvas, ((128, 126, 118), (146, 142, 130)) if urban else tones))
    columns = _lines(plan, 74 if urban else 84)
    rows = _lines(plan, 62 if urban else 52)
    width = plan.spread(11, 17) if urban else plan.spread(7, 9)
    blocks = [
        ((left + right) / 2, (top + low) / 2, right - left - width - 4, low - top - width - 4)
        for left, right in pairwise(columns)
        for top, low in pairwise(rows)
    ]
    for x, y, long, wide in blocks:
        if canvas.inside(x, y, max(long, wide)):
            pave = canvas.shade((150, 148, 140), 8) if urban else None
            if pave:
                canvas.flat(box(x, y, long + 3, wide + 3), pave)
            _fill(plan, (x, y, long, wide), urban)
    _streets(plan, columns, rows, width)


def _lines(plan: Plan, step: float) -> list[float]:
    """Where streets run, across the whole scene."""
    found, at = [], -plan.far - plan.spread(0, step)
    while at < plan.far + step:
        found.append(at)
        at += step * plan.spread(0.85, 1.25)
    return found


def _streets(plan: Plan, columns: list[float], rows: list[float], width: float) -> None:
    canvas, far = plan.canvas, plan.far
    owners = {}
    for x in columns:
        owners[x] = surfaces.road(canvas, [(x, -far), (x, far)], width)
    for y in rows:
        owners[y] = surfaces.road(canvas, [(-far, y), (far, y)], width)
    ring = None
    for x in columns:
        for y in rows:
            surfaces.crossing(canvas, x, y, width - 1.2, width + 2.6, owners[y])
            if ring is None and canvas.inside(x, y, -25) and plan.chance(0.7):
                ring = (x, y)
    if ring:
        radius = width * plan.spread(1.15, 1.6)
        surfaces.roundabout(canvas, *ring, radius)
        plan.closed.append((*ring, radius))
    for x in columns:
        plan.traffic((x, -far), (x, far), width, 34 if width > 10 else 60, 0.12)
    for y in rows:
        plan.traffic((-far, y), (far, y), width, 34 if width > 10 else 60, 0.12)


def _fill(plan: Plan, block: Block, urban: bool) -> None:
    uses = (
        ["blocks", "blocks", "blocks", "parking", "park", "courts", "pitch"]
        if urban
        else ["houses"] * 4 + ["park", "courts", "pitch"]
    )
    use = str(plan.rng.choice(uses))
    x, y, long, wide = block
    if use in ("park", "courts", "pitch"):
        plan.canvas.flat(box(x, y, long, wide), plan.canvas.shade((96, 112, 64), 9))
    if use == "blocks":
        _flat_roofs(plan, block)
    elif use == "houses":
        _houses(plan, block)
    elif use == "parking":
        _parking(plan, block)
    elif use == "courts":
        _courts(plan, block)
    elif use == "pitch" and min(long / 1.0, wide / 0.62) > 38:
        surfaces.sports_field(plan.canvas, x, y, min(long * 0.88, wide / 0.70), 0, plan.chance(0.5))
        _corner_trees(plan, block)
    else:
        _park(plan, block)


def _flat_roofs(plan: Plan, block: Block) -> None:
    x, y, long, wide = block
    parts = plan.count(1, 3) if long > 45 else 1
    depth = plan.count(1, 2) if wide > 44 else 1
    for column in range(parts):
        for row in range(depth):
            step, deep = long / parts, wide / depth
            u, v = x - long / 2 + step * (column + 0.5), y - wide / 2 + deep * (row + 0.5)
            size = step * plan.spread(0.62, 0.86), deep * plan.spread(0.6, 0.84)
            if not plan.canvas.inside(u, v, max(size)):
                continue
            colour = plan.colour("building")
            if plan.chance(0.14):
                slots = surfaces.parking(plan.canvas, u, v, step * 0.86, deep * 0.8, 0)[1]
                _park_cars(plan, slots, 0.6)
            elif plan.chance(0.2):
                buildings.warehouse(
                    plan.canvas, u, v, max(size), min(size), 0 if size[0] > size[1] else 90, colour, "hall"
                )
            else:
                buildings.block(plan.canvas, u, v, *size, 0, colour, plan.spread(6, 18))
    for side in (-1, 1):
        for at in np.arange(-long / 2 + 5, long / 2 - 4, 13.0):
            if plan.chance(0.25):
                u, v = float(x + at), y + side * (wide / 2 - 0.5)
                if plan.canvas.inside(u, v, 4):
                    plants.tree(plan.canvas, u, v, max(plan.spread(2.2, 3.2), 4 * plan.canvas.gsd))


def _houses(plan: Plan, block: Block) -> None:
    x, y, long, wide = block
    lots = max(1, int(long // 22))
    for side in (-1, 1):
        for lot in range(lots):
            u = x - long / 2 + long / lots * (lot + 0.5) + plan.spread(-1.5, 1.5)
            v = y + side * (wide / 2 - 9) + plan.spread(-1.2, 1.2)
            if not plan.canvas.inside(u, v, 20) or plan.chance(0.06):
                continue
            plan.canvas.flat(
                box(u, v - side * 8, long / lots - 1.2, wide / 2 - 2), plan.canvas.shade((98, 110, 66), 16)
            )
            plan.canvas.flat(box(u + 7.4, v + side * 5.5, 3.2, 10), plan.canvas.shade((156, 152, 142), 8))
            size, turn = (plan.spread(11.5, 15), plan.spread(8, 10)), float(plan.rng.choice([0, 90, 0]))
            buildings.house(plan.canvas, u, v, *size, turn, plan.colour("building"))
            if plan.chance(0.4):
                plan.car(u + 7.4, v + side * 5.5, 90 + plan.spread(-4, 4))
            garden = y + side * plan.spread(2.5, max(3.0, wide / 2 - 17))
            if plan.chance(0.45):
                surfaces.pool(plan.canvas, u - 3, garden, plan.spread(7.5, 10.5), float(plan.rng.choice([0, 90])))
            elif plan.chance(0.55):
                plants.tree(
                    plan.canvas, u + plan.spread(-5, 5), garden, max(plan.spread(2.4, 4.0), 4 * plan.canvas.gsd)
                )


def _parking(plan: Plan, block: Block) -> None:
    x, y, long, wide = block
    slots = surfaces.parking(plan.canvas, x, y, long * 0.9, max(17.0, wide * 0.5), 0)[1]
    _park_cars(plan, slots, plan.spread(0.25, 0.8))
    _corner_trees(plan, block)


def _park_cars(plan: Plan, slots: list[tuple[float, float, float]], part: float) -> None:
    for x, y, degrees in slots:
        if plan.chance(part):
            plan.car(x, y, degrees + (180 if plan.chance(0.3) else 0))


def _courts(plan: Plan, block: Block) -> None:
    x, y, long, wide = block
    turned = wide > 40
    step = (19.0, 0.0) if turned else (0.0, 19.0)
    room = int((long if turned else wide) // 19)
    number = plan.count(1, max(1, min(4, room)))
    colour = plan.colour("tennis court")
    for index in range(number):
        at = index - (number - 1) / 2
        if plan.chance(0.25):
            colour = plan.colour("tennis court")
        surfaces.tennis_court(plan.canvas, x + at * step[0], y + at * step[1], 90 if turned else 0, colour)
    _corner_trees(plan, block)


def _corner_trees(plan: Plan, block: Block) -> None:
    x, y, long, wide = block
    for u, v in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        if plan.chance(0.4):
            at = x + u * (long / 2 - 3), y + v * (wide / 2 - 3)
            if plan.canvas.inside(*at, 4):
                plants.tree(plan.canvas, *at, max(plan.spread(2.6, 4.2), 4 * plan.canvas.gsd))


def _park(plan: Plan, block: Block) -> None:
    x, y, long, wide = block
    for part in range(2 if long > 50 and plan.chance(0.5) else 1):
        u = x + (part - 0.5) * long * 0.5 if part or long > 50 else x
        radius = min(long * 0.24, wide * 0.36) * plan.spread(0.7, 1.0)
        plan.grove(plants.blob(plan.rng, u, y, radius, 1.2))
    plan.canvas.mark(
        [(x - long / 2, y - wide / 3), (x, y + wide * 0.45), (x + long / 2, y + wide / 4)], (186, 172, 140), 2.0, 0
    )
