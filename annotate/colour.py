"""The colour of a thing in a picture: one of ten names, or none where people could differ.

The names stand for the paints of `synthetic.scenes.palette` as they look through haze and in more or less light.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from synthetic.scenes import palette

from .geometry import eroded
from .items import Instance

F64 = NDArray[np.float64]
NAMES = tuple(palette.COLOURS)
_HAZE = (0.0, 0.08, 0.16, 0.24, 0.30)  # parts of the light that the air scatters in
_LIGHT = (0.9, 1.0, 1.08)
_VEIL = np.array([176.0, 186.0, 198.0])  # what hazy air adds, RGB
LIGHTNESS_WEIGHT = 0.5  # light changes more than paint does
MIN_AREA_PX = 100  # below it the border's mixed pixels are most of a thing
MIN_MARGIN = 8.0  # by which the nearest name must win, in CIELAB with lightness at its weight
MIN_AGREEING = 0.65  # part of the pixels that must look like that name, so that a thing of two paints has none
_MAX_PIXELS = 200


def lab(rgb: NDArray[np.floating] | NDArray[np.uint8]) -> F64:
    """sRGB 0..255 (..., 3) to CIELAB under D65, float64."""
    linear = np.asarray(rgb, np.float64) / 255
    linear = np.where(linear > 0.04045, ((linear + 0.055) / 1.055) ** 2.4, linear / 12.92)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = linear @ to_xyz.T / (0.95047, 1.0, 1.08883)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


@cache
def _anchors() -> tuple[F64, NDArray[np.intp]]:
    """How each name may look, CIELAB (n, 3), and the number of the name."""
    tables = (palette.COLOURS, palette.ROOFS, palette.CROPS, palette.COURTS, palette.TANKS, palette.PIERS)
    seen: list[F64] = []
    numbers: list[int] = []
    for number, name in enumerate(NAMES):
        for paint in sorted({table[name] for table in tables if name in table}):
            for haze in _HAZE:
                seen += [np.clip(np.array(paint) * light * (1 - haze) + _VEIL * haze, 0, 255) for light in _LIGHT]
        numbers += [number] * (len(seen) - len(numbers))
    return lab(np.array(seen)), np.array(numbers)


def _distances(colours: F64) -> F64:
    """float64 (n, names): how far CIELAB colours (n, 3) are from each name."""
    anchors, numbers = _anchors()
    scale = np.array([LIGHTNESS_WEIGHT, 1.0, 1.0])
    apart = np.sqrt((((colours[:, None] - anchors[None]) * scale) ** 2).sum(axis=2))
    return np.stack([apart[:, numbers == number].min(axis=1) for number in range(len(NAMES))], axis=1)


def _seen(image: NDArray[np.uint8], instance: Instance) -> F64:
    """CIELAB (n, 3) of the pixels of a thing without its border, every so many if there are more than _MAX_PIXELS."""
    x, y, width, height = instance.mask.bbox
    inside = eroded(instance.crop)
    pixels = image[y : y + height, x : x + width][inside if inside.any() else instance.crop]
    return lab(pixels[:: -(-len(pixels) // _MAX_PIXELS)])


def nearest(image: NDArray[np.uint8], instance: Instance) -> tuple[str, float]:
    """The name nearest to the median colour of a thing without its border, and by how much it wins."""
    middle = _distances(np.median(_seen(image, instance), axis=0)[None])[0]
    best, second = np.sort(middle)[:2]
    return NAMES[int(middle.argmin())], float(second - best)


def colour_of(image: NDArray[np.uint8], instance: Instance) -> str | None:
    """The colour that nobody would name otherwise, or None."""
    if instance.area_px < MIN_AREA_PX:
        return None
    name, margin = nearest(image, instance)
    if margin < MIN_MARGIN:
        return None
    agreeing = np.mean(_distances(_seen(image, instance)).argmin(axis=1) == NAMES.index(name))
    return name if agreeing >= MIN_AGREEING else None
