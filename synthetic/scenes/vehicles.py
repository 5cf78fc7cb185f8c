"""Ships, planes, helicopters, cars and trucks; lengths in metres, headings in world degrees."""

from __future__ import annotations

import math

import numpy as np

from .canvas import Canvas, box, place, point, ring, shoelace
from .palette import COLOURS, Rgb, lit, mix

HULL = (
    (-0.5, -0.40),
    (-0.46, -0.5),
    (0.24, -0.5),
    (0.40, -0.32),
    (0.5, 0.0),
    (0.40, 0.32),
    (0.24, 0.5),
    (-0.46, 0.5),
    (-0.5, 0.40),
)
WING = ((0.14, 0.04), (-0.16, 0.5), (-0.23, 0.5), (-0.08, 0.04))
TAIL = ((-0.37, 0.02), (-0.46, 0.19), (-0.50, 0.19), (-0.46, 0.02))
BODY = ((0.5, 0.0), (0.46, 0.6), (0.38, 1.0), (-0.2, 1.0), (-0.42, 0.5), (-0.5, 0.15))
SHELL = ((-0.5, -0.4), (-0.44, -0.5), (0.42, -0.5), (0.5, -0.34), (0.5, 0.34), (0.42, 0.5), (-0.44, 0.5), (-0.5, 0.4))
ARM = ((0, 0.06), (-1, 0.5), (-1, 0.40), (0, 0.04))
MIDDLE = ((0, -0.05), (-1, -0.16), (-1, 0.16), (0, 0.05))
CONTAINERS: tuple[Rgb, ...] = (
    (146, 66, 54),
    (52, 86, 124),
    (176, 176, 170),
    (66, 106, 84),
    (186, 124, 60),
    (92, 94, 98),
)


def _both(shape: tuple[tuple[float, float], ...]) -> list[list[tuple[float, float]]]:
    return [[(u, side * v) for u, v in shape] for side in (1, -1)]


def _mirror(shape: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    return [*shape, *((u, -v) for u, v in reversed(shape))]


def ship(canvas: Canvas, x: float, y: float, length: float, degrees: float, colour: str, kind: str) -> int:
    """A hull with its bow along `degrees`; kinds: "cargo", "tanker", "ferry", "boat"."""
    wide = length * {"cargo": 0.17, "tanker": 0.18, "ferry": 0.22, "boat": 0.3}[kind]
    outline = place(HULL, x, y, length, wide, degrees)
    hull = canvas.shade(COLOURS[colour])
    owner = canvas.new("ship", colour, outline, kind)
    canvas.rise(outline, lit(hull, 0.78), 2 + 0.05 * length, owner, 1)
    deck = [(u * 0.965, v * 0.86) for u, v in HULL]
    canvas.top(place(deck, x, y, length, wide, degrees), lit(mix(hull, (120, 110, 100), 0.18), 1.06), owner, 1.1)

    def part(u: float, v: float, long: float, across: float, tone: Rgb, level: float = 1.2) -> None:
        px, py = point(u, v, x, y, length, wide, degrees)
        canvas.top(box(px, py, long * length, across * wide, degrees), tone, owner, level)

    cabin = (226, 226, 222) if colour != "white" else (196, 204, 210)
    if kind == "boat":
        part(-0.08, 0, 0.36, 0.6, lit(cabin, 0.94))
        part(0.06, 0, 0.07, 0.5, (54, 66, 78), 1.3)
        part(-0.36, 0, 0.16, 0.62, (150, 116, 84))
        return owner
    part(-0.38, 0, 0.10, 0.84, cabin)
    part(-0.345, 0, 0.015, 0.80, (70, 80, 90), 1.3)
    part(-0.41, 0, 0.035, 0.30, lit(hull, 0.7), 1.3)
    if kind == "ferry":
        part(-0.06, 0, 0.62, 0.72, lit(cabin, 0.98))
        for v in (-0.42, 0.42):
            part(-0.04, v, 0.5, 0.07, (206, 96, 44), 1.3)
        part(0.02, 0, 0.3, 0.26, (150, 156, 160), 1.3)
    elif kind == "tanker":
        for v in (-0.12, 0, 0.12):
            part(0.05, v, 0.62, 0.035, lit(hull, 1.35), 1.3)
        for u in np.arange(-0.24, 0.36, 0.1):
            part(float(u), 0, 0.008, 0.62, lit(hull, 0.62))
    else:
        bays, rows = max(3, int(length / 22)), 4
        for bay in range(bays):
            u = -0.27 + 0.56 * (bay + 0.5) / bays
            part(u, 0, 0.48 / bays, 0.66, lit(hull, 0.6))
            if canvas.rng.random() < 0.55:
                for row in range(rows):
                    tone = canvas.shade(CONTAINERS[canvas.rng.integers(len(CONTAINERS))], 14)
                    part(u, (row - 1.5) * 0.16, 0.44 / bays, 0.15, tone, 1.3)
    return owner


def plane(canvas: Canvas, x: float, y: float, length: float, degrees: float, colour: str, kind: str) -> int:
    """A plane with its nose along `degrees`; kinds: "airliner" and "small"."""
    skin = canvas.shade(COLOURS[colour], 6)
    owner = canvas.new("plane", colour, float(length**2 * (0.25 if kind == "airliner" else 0.24)), kind)
    body = 0.055 if kind == "airliner" else 0.075
    wings = WING if kind == "airliner" else ((0.17, 0.03), (0.13, 0.56), (0.03, 0.56), (0.0, 0.03))
    for shape in _both(wings):
        canvas.rise(place(shape, x, y, length, length, degrees), lit(skin, 0.88), 2.2, owner, 2)
    for shape in _both(TAIL):
        canvas.rise(place(shape, x, y, length, length, degrees), lit(skin, 0.85), 4.0, owner, 2)
    if kind == "airliner":
        for v in (0.15, -0.15):
            canvas.top(place(box(0.045, v, 0.09, 0.035), x, y, length, length, degrees), lit(skin, 0.66), owner, 2.05)
    fuselage = [(u, v * body) for u, v in _mirror(BODY)]
    canvas.rise(place(fuselage, x, y, length, length, degrees), skin, 4.0, owner, 2.1)
    dark = [(u * 0.9 + 0.01, v * body * 0.34) for u, v in _mirror(BODY)]
    canvas.top(place(dark, x, y, length, length, degrees), lit(skin, 1.10), owner, 2.2)
    canvas.top(place(box(0.455, 0, 0.022, 0.05), x, y, length, length, degrees), (48, 54, 64), owner, 2.3)
    canvas.top(place(box(-0.44, 0, 0.12, 0.014), x, y, length, length, degrees), lit(skin, 0.6), owner, 2.3)
    return owner


def helicopter(canvas: Canvas, x: float, y: float, length: float, degrees: float, colour: str) -> int:
    """A helicopter: cabin, boom, tail rotor and four blades."""
    skin = canvas.shade(COLOURS[colour], 6)
    cabin = [(0.42, 0.0), (0.36, 0.10), (0.16, 0.135), (-0.04, 0.10), (-0.12, 0.03)]
    outline = place(_mirror(tuple(cabin)), x, y, length, length, degrees)
    owner = canvas.new("helicopter", colour, shoelace(outline) + 0.10 * length**2)
    canvas.rise(place(box(-0.28, 0, 0.46, 0.045), x, y, length, length, degrees), lit(skin, 0.9), 2, owner, 2)
    canvas.rise(place(box(-0.46, 0, 0.07, 0.17), x, y, length, length, degrees), lit(skin, 0.8), 2, owner, 2)
    canvas.rise(outline, skin, 2.4, owner, 2.1)
    glass = [(0.40, 0.0), (0.35, 0.08), (0.25, 0.095), (0.24, 0.0)]
    canvas.top(place(_mirror(tuple(glass)), x, y, length, length, degrees), (44, 56, 70), owner, 2.2)
    turn = float(canvas.rng.uniform(0, 90))
    hub = point(0.10, 0.0, x, y, length, length, degrees)
    for blade in (0, 90):
        canvas.rise(
            box(*hub, length * 0.94, max(0.5, 1.4 * canvas.gsd), degrees + turn + blade), (66, 68, 72), 3.4, owner, 2.3
        )
    canvas.top(ring(*hub, length * 0.035, 8), (50, 52, 56), owner, 2.4)
    return owner


def car(canvas: Canvas, x: float, y: float, degrees: float, colour: str) -> int:
    """A car: body, dark windows before and behind a paler roof."""
    length, wide = float(canvas.rng.uniform(4.2, 5.0)), 2.0
    body = place(SHELL, x, y, length, wide, degrees)
    paint = canvas.shade(COLOURS[colour], 7)
    owner = canvas.new("car", colour, body)
    canvas.rise(body, paint, 1.5, owner, 0.5)
    for u, long in ((0.17, 0.12), (-0.30, 0.10)):
        canvas.top(place(box(u, 0, long, 0.78), x, y, length, wide, degrees), (40, 46, 54), owner, 0.6)
    canvas.top(place(box(-0.07, 0, 0.34, 0.72), x, y, length, wide, degrees), lit(paint, 1.12), owner, 0.6)
    return owner


def truck(canvas: Canvas, x: float, y: float, degrees: float, colour: str) -> int:
    """A truck: a cab and a long box, both in its colour."""
    length, wide = float(canvas.rng.uniform(10, 15)), 2.9
    paint = canvas.shade(COLOURS[colour], 7)
    outline = box(x, y, length, wide, degrees)
    owner = canvas.new("truck", colour, outline)
    heading = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    back = x - heading[0] * length * 0.11, y - heading[1] * length * 0.11
    front = x + heading[0] * length * 0.41, y + heading[1] * length * 0.41
    canvas.rise(box(*back, length * 0.78, wide, degrees), paint, 3.6, owner, 0.6)
    canvas.top(box(*back, length * 0.74, wide * 0.12, degrees), lit(paint, 1.14), owner, 0.7)
    canvas.rise(box(*front, length * 0.17, wide * 0.92, degrees), lit(paint, 0.85), 2.8, owner, 0.6)
    canvas.top(place(box(0.452, 0, 0.03, 0.8), x, y, length, wide, degrees), (40, 46, 54), owner, 0.7)
    return owner


def wake(canvas: Canvas, x: float, y: float, length: float, degrees: float) -> None:
    """Foam behind a moving ship whose stern is at (x, y)."""
    for part, light in ((1.0, 22), (0.8, 44), (0.6, 70), (0.42, 105), (0.26, 150)):
        for shape, share in (*((arm, 0.5) for arm in _both(ARM)), (list(MIDDLE), 1.0)):
            points = place(np.array(shape) * (part, part), x, y, length, length * 0.35, degrees)
            canvas.foam(points, light * share)
