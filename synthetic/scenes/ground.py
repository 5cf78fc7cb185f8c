"""Ground and water as arrays, at the final size: noise, grass, sand, soil, sea and river."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .canvas import SCALE, Canvas

Floats = NDArray[np.float32]
# Base, and what it drifts to in large patches.
GRASS = (
    ((84, 98, 56), (124, 122, 78)),
    ((72, 92, 54), (104, 110, 66)),
    ((116, 116, 74), (148, 136, 94)),
    ((96, 106, 62), (142, 130, 86)),
)
SAND = (((204, 178, 138), (184, 152, 112)), ((192, 160, 122), (214, 192, 156)), ((178, 146, 112), (198, 170, 134)))
SEAS = ((24, 62, 84), (28, 78, 92), (34, 60, 66), (20, 50, 78))
RIVERS = ((56, 76, 66), (74, 84, 66), (44, 70, 76), (92, 88, 68))


def noise(rng: np.random.Generator, side_px: int, cell_px: float, octaves: int = 3) -> Floats:
    """Fractal noise about -1..1 with features of `cell_px`; float32 (side_px, side_px)."""
    cells = side_px / cell_px
    count = math.ceil(cells) + 3
    total = rng.standard_normal((count, count), dtype=np.float32) * np.float32(0.5)
    for octave in range(1, octaves):
        if cell_px < 2.0 * 2**octave:
            break
        count, cells = 2 * count, 2 * cells
        total = np.array(Image.fromarray(total).resize((count, count), Image.Resampling.BILINEAR))
        total += rng.standard_normal((count, count), dtype=np.float32) * np.float32(0.5 * 0.55**octave)
    method = Image.Resampling.BICUBIC if side_px > 3 * count else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(total).resize((side_px, side_px), method, box=(1, 1, 1 + cells, 1 + cells)))


def world(canvas: Canvas) -> tuple[Floats, Floats]:
    """World coordinates in metres of every pixel of the picture; two float32 (side_px, side_px)."""
    axis = (np.arange(canvas.side_px, dtype=np.float32) + 0.5 - canvas.side_px / 2) * np.float32(canvas.gsd)
    cos, sin = (np.float32(f(math.radians(canvas.turn))) for f in (math.cos, math.sin))
    return axis[None] * cos + axis[:, None] * sin, axis[:, None] * cos - axis[None] * sin


def land(canvas: Canvas, tones: tuple[tuple[int, int, int], tuple[int, int, int]], rough: float = 0.09) -> Floats:
    """Open ground of two tones in patches; float32 (side, side, 3)."""
    rng, side = canvas.rng, canvas.side_px
    drift = np.clip(0.5 + 0.75 * noise(rng, side, rng.uniform(90, 260), 4), 0, 1)
    first, second = (np.array(tone, np.float32) for tone in tones)
    drift = drift[..., None]
    picture: Floats = drift * (second - first)
    picture += first
    picture *= 1 + np.float32(rough) * noise(rng, side, 5, 2)[..., None]
    return picture


def dunes(canvas: Canvas, ground: Floats) -> Floats:
    """Wind ripples and dark gravel over sand."""
    rng, side = canvas.rng, canvas.side_px
    x, y = world(canvas)
    warp = noise(rng, side, 120, 3) * 26
    wave = np.sin((x * 0.4 + y + warp) * np.float32(2 * math.pi / rng.uniform(14, 40)))
    patch = np.clip(noise(rng, side, 180, 2) + 0.2, 0, 1)
    gravel = np.clip(noise(rng, side, 40, 3) - 0.35, 0, 1)
    return ground * (1 + 0.06 * wave * patch - 0.28 * gravel)[..., None]


def water(canvas: Canvas, tone: tuple[int, int, int], calm: float) -> Floats:
    """Deep water with wind waves; `calm` 0..1 takes them away; float32 (side, side, 3)."""
    rng, side = canvas.rng, canvas.side_px
    x, y = world(canvas)
    warp = noise(rng, side, 60, 3) * 8
    waves = np.zeros_like(x)
    for metres, degrees in ((9.0, 62), (5.5, 75), (3.4, 50)):
        radians = math.radians(degrees)
        along = (x * np.float32(math.cos(radians)) + y * np.float32(math.sin(radians))) + warp * np.float32(metres / 9)
        if metres > 2.5 * canvas.gsd:
            waves += np.sin(along * np.float32(2 * math.pi / metres))
    crests = (2.0 * waves + 3.0 * noise(rng, side, 5, 2)) * (0.8 + 0.6 * noise(rng, side, 170, 2)) * (1 - calm)
    glints = 8 * np.clip(noise(rng, side, 3, 2) + waves / 6 - 1.1, 0, 3) * (1 - calm)
    base = np.array(tone, np.float32) + 7 * noise(rng, side, 220, 2)[..., None]
    return base + (crests + glints)[..., None]


def shore(
    canvas: Canvas,
    dry: Floats,
    wet: Floats,
    depth_m: Floats,
    beach_m: float,
    shallow_m: float,
    natural: Floats | None = None,
) -> Floats:
    """Join land and water where `depth_m`, metres into the water, changes sign; with a beach, shallows and surf.

    `natural`, 0..1 per pixel, says where these may be. Returns the picture, float32 (side, side, 3).
    """
    rough = depth_m + 2.2 * noise(canvas.rng, canvas.side_px, 22, 3)
    tint = np.array([112, 154, 138], np.float32)
    if shallow_m:
        part = np.clip(1 - rough / shallow_m, 0, 1)
        part = 0.75 * part * part * (1 if natural is None else natural)
        wet += part[..., None] * (tint - wet)
        foam = np.clip(1 - np.abs(rough - 0.9) / 1.1, 0, 1) * (1 if natural is None else natural)
        wet += foam[..., None] * np.float32(60)
    if beach_m:
        sand = np.array([208, 192, 154], np.float32) * (1 - 0.22 * np.clip(1 + rough / 3, 0, 1))[..., None]
        part = np.clip((rough + beach_m) / (0.4 * beach_m), 0, 1) * (1 if natural is None else natural)
        dry += part[..., None] * (sand - dry)
    return np.where((rough > 0)[..., None], wet, dry)


def lay(canvas: Canvas, ground: Floats) -> None:
    """Put the ground on the canvas, under everything."""
    picture = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
    size = (canvas.side_px * SCALE,) * 2
    canvas.image.paste(picture.resize(size, Image.Resampling.BILINEAR), (0, 0))
