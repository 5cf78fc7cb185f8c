"""What light, air and sensor add to a drawn scene: grain, rows, uneven light, haze, blur and noise."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from .canvas import Canvas
from .ground import noise, world
from .palette import GRAIN

GROUND_GRAIN = 0.03


def texture(canvas: Canvas, owners: NDArray[np.int32], pixels: NDArray[np.float32]) -> None:
    """Multiply in, in place, each thing's own grain and the rows of fields, roofs and planks."""
    grain = np.full(len(canvas.things) + 1, GROUND_GRAIN, np.float32)
    rows = np.zeros((len(canvas.things) + 1, 3), np.float32)
    for number, thing in enumerate(canvas.things, 1):
        grain[number] = GRAIN[thing.class_name]
        if thing.rows:
            degrees, period, strength = thing.rows
            wave = 2 * math.pi / max(period, 2.6 * canvas.gsd)
            rows[number] = -math.sin(math.radians(degrees)) * wave, math.cos(math.radians(degrees)) * wave, strength
    speckle = 0.8 * noise(canvas.rng, canvas.side_px, 7, 2) + 0.5 * noise(canvas.rng, canvas.side_px, 50, 2)
    speckle += 0.45 * canvas.rng.standard_normal(owners.shape, dtype=np.float32)
    gain = 1 + grain[owners] * speckle
    striped = np.flatnonzero((rows[:, 2] > 0)[owners].ravel())
    if len(striped):
        x, y = (part.ravel()[striped] for part in world(canvas))
        along, across, strength = rows[owners.ravel()[striped]].T
        gain.ravel()[striped] += strength * np.sin(along * x + across * y)
    pixels *= gain[..., None]


def expose(canvas: Canvas, pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Uneven light, haze, colour cast, softness and sensor noise; uint8 (side, side, 3)."""
    rng, side = canvas.rng, canvas.side_px
    haze = float(rng.uniform(0.0, 0.20)) if rng.random() < 0.7 else float(rng.uniform(0.2, 0.3))
    light = (1 + 0.05 * noise(rng, side, 400, 2)) * np.float32(rng.uniform(0.88, 1.08) * (1 - haze))
    veil = np.array([176, 186, 198], np.float32) * haze
    cast = 1 + rng.uniform(-0.03, 0.03, 3).astype(np.float32)
    pixels *= light[..., None]
    pixels *= cast
    pixels += veil + np.float32(rng.uniform(0.8, 3.2)) * rng.standard_normal((side, side, 1), dtype=np.float32)
    picture = Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))
    softness = float(rng.uniform(0.0, 0.6))
    if softness > 0.3:
        picture = picture.filter(ImageFilter.BoxBlur(softness))
    return np.asarray(picture)


def develop(canvas: Canvas, owners: NDArray[np.int32]) -> NDArray[np.uint8]:
    """The drawn canvas as the camera would have seen it; uint8 (side, side, 3)."""
    small = canvas.image.resize((canvas.side_px,) * 2, Image.Resampling.BOX)
    pixels = np.array(small, np.float32)
    texture(canvas, owners, pixels)
    return expose(canvas, pixels)
