"""Buildings and tanks: houses with lit roofs, blocks, warehouses, hangars, storage tanks."""

from __future__ import annotations

import math

import numpy as np

from .canvas import Canvas, box, place, point, ring
from .palette import ROOFS, TANKS, lit, mix


def _slope(canvas: Canvas, degrees: float, side: float) -> float:
    """Brightness of the roof side whose normal is `side` times the left of `degrees`."""
    radians = math.radians(degrees)
    return canvas.facing(-math.sin(radians) * side, math.cos(radians) * side)


def house(canvas: Canvas, x: float, y: float, length: float, width: float, degrees: float, colour: str) -> int:
    """A house under a gable or hip roof, with a chimney, perhaps with a wing."""
    rng = canvas.rng
    roof = canvas.shade(ROOFS[colour], 12)
    wing = rng.random() < 0.4
    owner = canvas.new("building", colour, float(length * width * (1.3 if wing else 1.0)), "house")
    parts = [(0.0, 0.0, length, width, degrees)]
    if wing:
        side = float(rng.choice([-1, 1]))
        parts.insert(
            0,
            (0.25 * length * float(rng.choice([-1, 1])), side * 0.55 * width, width * 0.9, length * 0.42, degrees + 90),
        )
    hip = rng.random() < 0.5
    for u, v, long, wide, turn in parts:
        centre = point(u, v, x, y, 1, 1, degrees)
        px, py = centre
        canvas.rise(box(px, py, long, wide, turn), roof, 5.0, owner, 3)
        ridge = 0.5 - 0.5 * wide / long if hip and long > wide * 1.1 else 0.5
        for side in (-1.0, 1.0):
            slope = [(-0.5, 0.5 * side), (0.5, 0.5 * side), (ridge, 0), (-ridge, 0)]
            canvas.top(place(slope, px, py, long, wide, turn), lit(roof, _slope(canvas, turn, side)), owner, 3.1)
            if ridge < 0.5:
                end = [(0.5 * side, -0.5), (0.5 * side, 0.5), (ridge * side, 0)]
                canvas.top(place(end, px, py, long, wide, turn), lit(roof, _slope(canvas, turn - 90, side)), owner, 3.1)
        canvas.top(box(px, py, long * ridge * 2, max(0.3, canvas.gsd * 0.6), turn), lit(roof, 1.2), owner, 3.2)
    chimney = point(0.22, 0.18, x, y, length, width, degrees)
    canvas.top(box(*chimney, 1.0, 1.0, degrees), (96, 84, 78), owner, 3.3)
    return owner


def block(
    canvas: Canvas, x: float, y: float, length: float, width: float, degrees: float, colour: str, high: float
) -> int:
    """A flat roof with its parapet, stairs, air conditioners and skylights; perhaps stepped or with a court."""
    rng = canvas.rng
    roof = canvas.shade(mix(ROOFS[colour], (140, 140, 138), 0.12), 10)
    outline = box(x, y, length, width, degrees)
    if rng.random() < 0.35:
        cut_u, cut_v = rng.uniform(-0.1, 0.2), rng.uniform(-0.1, 0.2)
        outline = place(
            [(-0.5, -0.5), (0.5, -0.5), (0.5, cut_v), (cut_u, cut_v), (cut_u, 0.5), (-0.5, 0.5)],
            x,
            y,
            length,
            width,
            degrees,
        )
    owner = canvas.new("building", colour, outline, "block")
    canvas.rise(outline, lit(roof, 1.16), high, owner, 4)
    centre = outline.mean(axis=0)
    inner = centre + (outline - centre) * (1 - 1.6 / min(length, width))
    canvas.top(inner, roof, owner, 4.1)
    shade = canvas.shadow(0.9)
    for _ in range(int(rng.integers(2, 3 + int(length * width / 110)))):
        u, v = rng.uniform(-0.42, 0.1), rng.uniform(-0.42, 0.1)
        if rng.random() < 0.5:
            u, v = rng.uniform(-0.42, 0.42), rng.uniform(-0.42, -0.12)
        spot = point(u, v, x, y, length, width, degrees)
        long, wide = rng.uniform(1.2, 3.6), rng.uniform(1.0, 2.4)
        canvas.top(box(spot[0] + shade[0], spot[1] + shade[1], long, wide, degrees), lit(roof, 0.62), owner, 4.2)
        canvas.top(
            box(*spot, long, wide, degrees), canvas.shade(lit(mix(roof, (190, 192, 194), 0.6), 1.0), 12), owner, 4.3
        )
    if rng.random() < 0.3:
        spot = point(-0.28, -0.28, x, y, length, width, degrees)
        canvas.rise(box(*spot, length * 0.26, width * 0.26, degrees), lit(roof, 1.08), high * 0.6, owner, 4.4)
    return owner


def warehouse(
    canvas: Canvas, x: float, y: float, length: float, width: float, degrees: float, colour: str, kind: str
) -> int:
    """A long shallow roof with ribs and skylights; `kind` "hangar" has an arched roof and a dark mouth."""
    roof = canvas.shade(ROOFS[colour], 10)
    outline = box(x, y, length, width, degrees)
    rows = (degrees, max(3.0, 4 * canvas.gsd), 0.045)
    owner = canvas.new("building", colour, outline, kind, rows)
    canvas.rise(outline, roof, 9, owner, 4)
    bands = 7 if kind == "hangar" else 2
    for band in range(bands):
        low, high = band / bands - 0.5, (band + 1) / bands - 0.5
        slope = _slope(canvas, degrees, 1.0 if low + high > 0 else -1.0)
        gain = 1 + (slope - 1) * min(1.0, abs(low + high) * (1.3 if kind == "hangar" else 4))
        canvas.top(
            place([(-0.5, low), (0.5, low), (0.5, high), (-0.5, high)], x, y, length, width, degrees),
            lit(roof, gain),
            owner,
            4.1,
        )
    if kind == "hangar":
        canvas.top(place(box(0.49, 0, 0.02, 0.8), x, y, length, width, degrees), (60, 62, 66), owner, 4.2)
        return owner
    canvas.top(box(x, y, length, max(0.5, canvas.gsd), degrees), lit(roof, 1.14), owner, 4.2)
    for u in np.arange(-0.45, 0.46, 9 / length):
        for v in (-0.27, 0.27):
            canvas.top(
                place(box(float(u), v, 3.2 / length, 0.22), x, y, length, width, degrees), lit(roof, 1.17), owner, 4.2
            )
    return owner


def tank(canvas: Canvas, x: float, y: float, radius: float, colour: str) -> int:
    """A storage tank: wall, rim, floating roof with the wall's shadow in it, and a stair."""
    paint = canvas.shade(TANKS[colour], 6)
    outline = ring(x, y, radius)
    owner = canvas.new("storage tank", colour, outline)
    canvas.rise(outline, lit(paint, 0.86), max(5.0, radius * 0.65), owner, 4)
    canvas.top(ring(x, y, radius * 0.965), lit(paint, 1.08), owner, 4.1)
    if canvas.rng.random() < 0.6:
        shade = canvas.shadow(radius * 0.11)
        canvas.top(ring(x, y, radius * 0.92), lit(paint, 0.66), owner, 4.2)
        canvas.top(ring(x + shade[0], y + shade[1], radius * 0.82), lit(paint, 0.94), owner, 4.3)
    else:
        canvas.top(ring(x, y, radius * 0.92), lit(paint, 0.97), owner, 4.2)
        for spoke in range(0, 180, 30):
            canvas.top(box(x, y, radius * 1.8, max(0.25, canvas.gsd * 0.5), spoke), lit(paint, 0.91), owner, 4.3)
        canvas.top(ring(x, y, radius * 0.12, 10), lit(paint, 1.1), owner, 4.4)
    stair = point(0.45, -0.35, x, y, radius, radius, 0)
    canvas.top(box(*stair, radius * 0.8, max(0.6, radius * 0.05), -35), lit(paint, 0.6), owner, 4.5)
    return owner
