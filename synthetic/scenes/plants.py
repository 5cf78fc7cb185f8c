"""Trees: crowns prepared once per scene as small pictures, set down alone or as groups."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from .canvas import SCALE, Canvas, Points, shoelace

LEAVES = ((56, 78, 44), (64, 88, 48), (74, 92, 54), (50, 72, 44), (88, 100, 58))
VARIANTS = 4


def crown(canvas: Canvas, radius: float, tall: float) -> tuple[Image.Image, Image.Image]:
    """A crown of `radius` metres seen from above, lit by the scene's sun, and its mask; kept for reuse."""
    reach = max(2, round(radius * SCALE / canvas.gsd))
    size = max(2, round(reach / 1.3) if reach < 12 else round(reach / 3) * 3)
    key = (size, int(canvas.rng.integers(VARIANTS)))
    if key not in canvas.sprites:
        canvas.sprites[key] = _draw_crown(canvas, reach, tall)
    return canvas.sprites[key]


def _draw_crown(canvas: Canvas, reach: int, tall: float) -> tuple[Image.Image, Image.Image]:
    rng, size = canvas.rng, 2 * reach + 3
    axis = (np.arange(size) - size // 2) / reach
    x, y = np.meshgrid(axis, axis)
    angle, distance = np.arctan2(y, x), np.hypot(x, y)
    edge = 0.86 + sum(0.07 * np.sin(turns * angle + rng.uniform(0, 6.28)) for turns in (3, 5, 8))
    clumps = rng.standard_normal((7, 7)).astype(np.float32)
    bumps = np.asarray(Image.fromarray(clumps).resize((size, size), Image.Resampling.BICUBIC))
    sun = np.array(canvas.sun) / max(0.1, math.hypot(*canvas.sun))
    light = 0.94 - 0.34 * (x * sun[0] + y * sun[1]) + 0.15 * bumps - 0.25 * np.clip(distance - 0.6, 0, 1)
    colour = np.array(LEAVES[rng.integers(len(LEAVES))], np.float32)
    picture = (colour * light[..., None]).clip(0, 255).astype(np.uint8)
    mask = np.where(distance < edge, 255, 0).astype(np.uint8)
    return Image.fromarray(picture), Image.fromarray(mask)


def tree(canvas: Canvas, x: float, y: float, radius: float, owner: int | None = None) -> int:
    """One tree; a thing of its own unless it is given an owner."""
    if owner is None:
        owner = canvas.new("tree", None, float(math.pi * (0.86 * radius) ** 2))
    canvas.stamp(crown(canvas, radius, radius * 1.4), x, y, radius * 1.3, owner, 6 + 0.0001 * y)
    return owner


def grove(canvas: Canvas, outline: Points, spacing: float = 6.0) -> int:
    """A group of trees that fills an outline, crowns touching."""
    owner = canvas.new("tree group", None, outline)
    low, high = outline.min(axis=0), outline.max(axis=0)
    steps = [np.arange(start, stop + spacing, spacing) for start, stop in zip(low, high, strict=True)]
    across, down = (part.ravel() for part in np.meshgrid(*steps))
    spots = np.stack([across, down], axis=1) + canvas.rng.uniform(-0.42, 0.42, (len(across), 2)) * spacing
    for x, y in spots[_within(outline, spots)].tolist():
        if canvas.inside(x, y, spacing):
            tree(canvas, x, y, float(canvas.rng.uniform(0.56, 0.86)) * spacing, owner)
    return owner


def _within(outline: Points, spots: Points) -> np.ndarray:
    """Which spots lie in a polygon: an odd number of edges to their right."""
    inside = np.zeros(len(spots), bool)
    for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        straddles = (spots[:, 1] < y0) != (spots[:, 1] < y1)
        inside ^= straddles & (spots[:, 0] < (x1 - x0) * (spots[:, 1] - y0) / (y1 - y0) + x0)
    return inside


def blob(rng: np.random.Generator, x: float, y: float, radius: float, stretch: float = 1.0) -> Points:
    """An uneven round outline."""
    angles = np.linspace(0, 2 * math.pi, 16, endpoint=False)
    reach = radius * (1 + 0.16 * np.sin(2 * angles + rng.uniform(0, 6)) + 0.12 * np.sin(3 * angles + rng.uniform(0, 6)))
    return np.stack([x + stretch * reach * np.cos(angles), y + reach * np.sin(angles) / stretch], axis=1)


__all__ = ["blob", "crown", "grove", "shoelace", "tree"]
