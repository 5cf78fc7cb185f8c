"""Flat things: roads, roundabouts, parking lots, runways, courts, pools, fields, piers and bridges."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from .canvas import Canvas, Point, Points, box, place, point, ribbon, ring, shoelace
from .palette import ASPHALT, CONCRETE, COURTS, CROPS, PAINT, PIERS, Rgb, lit, mix


def road(canvas: Canvas, path: ArrayLike, width: float, surface: Rgb | None = None, lanes: bool = True) -> int:
    """A road along a path, with verges, edge lines and a dashed middle; returns its owner."""
    line = np.asarray(path, np.float64)
    tone = canvas.shade(surface or ASPHALT, 8)
    outline = ribbon(line, width)
    owner = canvas.new("road", None, outline, "paved" if surface is None else "track")
    canvas.flat(ribbon(line, width + 2.6), mix(tone, (150, 140, 118), 0.65))
    canvas.flat(outline, tone, owner)
    if lanes:
        pen = max(0.25, canvas.gsd * 0.5)
        for by in (-width / 2 + 0.7, width / 2 - 0.7):
            canvas.mark(ribbon(line, 2 * by)[: len(line)], lit(PAINT, 0.95), pen, owner)
        for near, far in pairwise(line):
            canvas.dashes(near, far, PAINT, pen, 3.0, owner)
        if width > 13:
            for by in (-width / 4, width / 4):
                edge = ribbon(line, 2 * by)[: len(line)]
                for near, far in pairwise(edge):
                    canvas.dashes(near, far, PAINT, pen, 3.0, owner)
    return owner


def crossing(canvas: Canvas, x: float, y: float, long: float, wide: float, owner: int) -> None:
    """Bare asphalt where two roads meet."""
    canvas.flat(box(x, y, long, wide), ASPHALT, owner)


def roundabout(canvas: Canvas, x: float, y: float, radius: float) -> int:
    """A ring of asphalt around a green island."""
    owner = canvas.new("roundabout", None, ring(x, y, radius))
    canvas.flat(ring(x, y, radius + 1.2), (150, 148, 138))
    canvas.flat(ring(x, y, radius), ASPHALT, owner)
    canvas.flat(ring(x, y, radius * 0.55), (170, 168, 158), owner)
    canvas.flat(ring(x, y, radius * 0.50), canvas.shade((92, 112, 64), 10), owner)
    canvas.flat(ring(x, y, radius * 0.2, 14), canvas.shade((140, 112, 90), 10), owner)
    return owner


def parking(
    canvas: Canvas, x: float, y: float, length: float, width: float, degrees: float
) -> tuple[int, list[tuple[float, float, float]]]:
    """A parking lot; returns its owner and the slots as x, y, heading."""
    outline = box(x, y, length, width, degrees)
    owner = canvas.new("parking lot", None, outline)
    canvas.flat(box(x, y, length + 1.5, width + 1.5, degrees), (160, 158, 150))
    canvas.flat(outline, canvas.shade((106, 106, 108), 9), owner)
    slots = []
    pen = max(0.2, canvas.gsd * 0.5)
    for row in range(max(1, int(width // 16))):
        middle = -width / 2 + 8 + row * 16
        for side in (-1, 1):
            for at in np.arange(-length / 2 + 2.6, length / 2 - 2, 2.8):
                v = middle + side * 5.3
                ends = place([(at - 1.4, v - 2.5), (at - 1.4, v + 2.5)], x, y, 1, 1, degrees)
                canvas.mark(ends, lit(PAINT, 0.9), pen, owner)
                spot = point(at, v, x, y, 1, 1, degrees)
                slots.append((float(spot[0]), float(spot[1]), degrees + 90 * side))
    return owner, slots


def runway(canvas: Canvas, start: Points, end: Points, width: float) -> int:
    """A runway with threshold bars, touchdown marks, a dashed middle and tyre marks."""
    near, far = np.asarray(start, np.float64), np.asarray(end, np.float64)
    length = float(np.hypot(*(far - near)))
    degrees = math.degrees(math.atan2(*(far - near)[::-1]))
    x, y = (near + far) / 2
    owner = canvas.new("runway", None, box(x, y, length, width, degrees))
    canvas.flat(box(x, y, length + 8, width + 9, degrees), (142, 138, 120))
    canvas.flat(box(x, y, length, width, degrees), canvas.shade((84, 85, 88), 8), owner)
    for side in (-1, 1):
        canvas.mark(place([(-0.5, side * 0.46), (0.5, side * 0.46)], x, y, length, width, degrees), PAINT, 0.8, owner)
    canvas.dashes(near, far, PAINT, 0.9, 18, owner)
    for end_side in (-1, 1):
        for across in (-0.36, -0.26, -0.16, 0.16, 0.26, 0.36):
            centre = end_side * (length / 2 - 18)
            canvas.flat(place(box(centre, across * width, 24, width * 0.05), x, y, 1, 1, degrees), PAINT, owner)
        for across in (-0.12, -0.06, 0.05, 0.11):
            shape = box(end_side * length * 0.30, across * width, length * 0.3, width * 0.03)
            canvas.flat(place(shape, x, y, 1, 1, degrees), (64, 65, 68), owner)
    return owner


def tennis_court(canvas: Canvas, x: float, y: float, degrees: float, colour: str) -> int:
    """A tennis court, 34 x 17 m with its surround."""
    paint = canvas.shade(COURTS[colour], 7)
    outline = box(x, y, 34, 17, degrees)
    owner = canvas.new("tennis court", colour, outline)
    canvas.flat(outline, paint, owner)
    canvas.flat(box(x, y, 23.8, 11, degrees), lit(paint, 1.22), owner)
    pen = max(0.3, canvas.gsd * 0.5)
    square = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5)]
    for long, wide in ((23.8, 11.0), (23.8, 8.2), (12.8, 8.2)):
        canvas.mark(place(square, x, y, long, wide, degrees), PAINT, pen, owner)
    canvas.mark(place([(-6.4, 0), (6.4, 0)], x, y, 1, 1, degrees), PAINT, pen, owner)
    canvas.mark(place([(0, -6.4), (0, 6.4)], x, y, 1, 1, degrees), (60, 62, 62), pen, owner)
    return owner


def sports_field(canvas: Canvas, x: float, y: float, length: float, degrees: float, track: bool) -> int:
    """A football pitch, perhaps inside a running track."""
    wide = length * 0.62
    grass = canvas.shade((78, 122, 58), 8)
    rows = (degrees, length / 6, 0.07)
    if track:
        angles = np.linspace(-math.pi / 2, math.pi / 2, 14)
        cap = np.stack([0.5 * np.cos(angles), 0.5 * np.sin(angles)], axis=1)
        straight = length / wide / 2 - 0.28
        oval = np.concatenate([cap + np.array([straight, 0]), -cap - np.array([straight, 0])])
        outline = place(oval, x, y, wide, wide, degrees)
        owner = canvas.new("sports field", None, outline, "track", rows)
        for part, tone in (
            (1.0, canvas.shade((172, 82, 62), 7)),
            (0.93, (196, 116, 96)),
            (0.915, (168, 80, 62)),
            (0.74, grass),
        ):
            canvas.flat(place(oval * (1 - (1 - part) * 0.75, part), x, y, wide, wide, degrees), tone, owner)
        length, wide = length * 0.62, wide * 0.62
    else:
        outline = box(x, y, length, wide, degrees)
        owner = canvas.new("sports field", None, outline, "pitch", rows)
        canvas.flat(outline, grass, owner)
        length, wide = length * 0.93, wide * 0.9
    pen = max(0.3, canvas.gsd * 0.5)
    square = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5)]
    canvas.mark(place(square, x, y, length, wide, degrees), PAINT, pen, owner)
    canvas.mark(place([(0, -0.5), (0, 0.5)], x, y, length, wide, degrees), PAINT, pen, owner)
    circle = ring(x, y, wide * 0.15, 20)
    canvas.mark(np.concatenate([circle, circle[:1]]), PAINT, pen, owner)
    for side in (-1, 1):
        area = [(0.5 * side, -0.3), (0.35 * side, -0.3), (0.35 * side, 0.3), (0.5 * side, 0.3)]
        canvas.mark(place(area, x, y, length, wide, degrees), PAINT, pen, owner)
    return owner


def pool(canvas: Canvas, x: float, y: float, length: float, degrees: float) -> int:
    """A swimming pool with its pale coping: a rectangle with round corners, or a kidney."""
    angles = np.linspace(0, 2 * math.pi, 20, endpoint=False)
    power = 0.45 if canvas.rng.random() < 0.6 else 0.9
    u, v = np.cos(angles), np.sin(angles)
    shape = 0.5 * np.stack([np.sign(u) * np.abs(u) ** power, np.sign(v) * np.abs(v) ** power], axis=1)
    if power > 0.5:
        shape[:, 1] += 0.10 * np.cos(2 * angles)
    outline = place(shape, x, y, length, length * 0.55, degrees)
    owner = canvas.new("swimming pool", None, outline)
    canvas.flat(place(shape, x, y, length + 3.0, length * 0.55 + 3.0, degrees), (190, 184, 170))
    canvas.flat(outline, (214, 226, 224), owner)
    canvas.flat(place(shape, x, y, length - 0.8, length * 0.55 - 0.8, degrees), canvas.shade((82, 178, 196), 8), owner)
    canvas.flat(place(shape * 0.8 + (0.1, 0), x, y, length - 2, length * 0.5 - 1, degrees), (64, 160, 186), owner)
    return owner


def crop_field(canvas: Canvas, outline: Points, degrees: float, colour: str, round_kind: bool = False) -> int:
    """A field in rows along `degrees`, with tractor lanes."""
    tone = canvas.shade(CROPS[colour], 12)
    rows = (degrees, max(2.4, 4.5 * canvas.gsd), 0.085)
    owner = canvas.new("crop field", colour, outline, "round" if round_kind else "field", rows)
    canvas.flat(outline, tone, owner)
    centre, spread = outline.mean(axis=0), float(np.hypot(*np.ptp(outline, axis=0)))
    if round_kind:
        for part in (0.94, 0.7, 0.46):
            circle = centre + (outline - centre) * part
            canvas.mark(np.concatenate([circle, circle[:1]]), lit(tone, 0.88), max(0.8, canvas.gsd), owner)
        canvas.mark(
            [centre, outline[int(canvas.rng.integers(len(outline)))]], (196, 196, 190), max(0.7, canvas.gsd), owner
        )
    elif canvas.rng.random() < 0.7:
        long = place([(-0.5, 0), (0.5, 0)], 0, 0, spread, 1, degrees)
        for at in np.arange(-spread / 2, spread / 2, 21.0):
            step = point(0, at, 0, 0, 1, 1, degrees)
            ends = _clip(outline, centre + step + long)
            if ends is not None:
                canvas.mark(ends, lit(tone, 0.82), max(0.9, canvas.gsd * 0.7), owner)
    return owner


def _clip(outline: Points, ends: Points) -> Points | None:
    """The part of a line inside a convex polygon."""
    low, high = 0.0, 1.0
    ahead = ends[1] - ends[0]
    centre = outline.mean(axis=0)
    for corner, following in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        normal = np.array([-(following - corner)[1], (following - corner)[0]])
        if np.dot(normal, centre - corner) < 0:
            normal = -normal
        along, off = float(np.dot(normal, ahead)), float(np.dot(normal, ends[0] - corner))
        if abs(along) < 1e-9:
            if off < 0:
                return None
        elif along > 0:
            low = max(low, -off / along)
        else:
            high = min(high, -off / along)
    return np.stack([ends[0] + ahead * low, ends[0] + ahead * high]) if high - low > 0.02 else None


def pier(canvas: Canvas, start: Point, end: Point, width: float, colour: str) -> int:
    """A pier from the shore outwards, over its shadow; planked if brown."""
    outline = ribbon([start, end], width)
    tone = canvas.shade(PIERS[colour], 8)
    degrees = math.degrees(math.atan2(*(np.asarray(end, float) - np.asarray(start, float))[::-1]))
    owner = canvas.new(
        "pier", colour, outline, "", (degrees, max(1.6, 3 * canvas.gsd), 0.06 if colour == "brown" else 0.02)
    )
    canvas.rise(outline, tone, 2.5, owner, 0.1)
    for by in (-width / 2 + 0.4, width / 2 - 0.4):
        line = ribbon([start, end], 2 * by)[:2]
        canvas.top(ribbon(line, max(0.4, canvas.gsd)), lit(tone, 1.15), owner, 0.2)
    return owner


def bridge(canvas: Canvas, start: Point, end: Point, width: float) -> int:
    """A bridge deck with railings, walkways and a dashed middle; its piers stand in its shadow."""
    outline = ribbon([start, end], width)
    owner = canvas.new("bridge", None, shoelace(outline))
    canvas.rise(outline, CONCRETE, 7, owner, 0.1)
    canvas.top(ribbon([start, end], width - 3.2), canvas.shade((104, 104, 106), 6), owner, 0.2)
    for by in (-width / 2 + 0.3, width / 2 - 0.3):
        canvas.top(ribbon(ribbon([start, end], 2 * by)[:2], max(0.5, canvas.gsd)), (204, 202, 194), owner, 0.25)
    near, far = np.asarray(start, float), np.asarray(end, float)
    steps = max(2, int(np.hypot(*(far - near)) / 8))
    for step in range(steps):
        ends = [near + (far - near) * (step + part) / steps for part in (0.0, 0.4)]
        canvas.top(ribbon(ends, max(0.35, canvas.gsd * 0.6)), PAINT, owner, 0.3)
    return owner
