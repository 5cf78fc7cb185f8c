"""Masks as SVG paths at the size they are shown."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from ..masks import Mask, Ring

# A browser stays smooth below this many corners in all; a ragged mask is drawn coarser until it fits its share.
MAX_CORNERS = 300_000
MIN_CORNERS_PER_MASK = 600


def svg_path(mask: Mask, shown_size: tuple[int, int], masks: int, corners: int = MAX_CORNERS) -> str:
    """The `d` of one of `masks` masks, in the pixels of an image shown at `shown_size` (width, height); "" if empty.

    All of them together stay below about `corners` corners.
    """
    if not mask.area_px:
        return ""
    allowed = max(MIN_CORNERS_PER_MASK, corners // max(1, masks))
    coarse = 1
    while True:
        size = (-(-shown_size[0] // coarse), -(-shown_size[1] // coarse))
        rings = [ring for polygon in shrunk(mask, *size).polygons() for ring in polygon]
        if coarse >= 64 or sum(map(len, rings)) <= allowed:
            return "".join(_ring(ring, coarse) for ring in rings)
        coarse *= 2


def shrunk(mask: Mask, width_px: int, height_px: int) -> Mask:
    """The mask at a smaller size: pixels at least half covered, or if there is none all that are touched."""
    if (width_px, height_px) == (mask.width_px, mask.height_px):
        return mask
    covered = np.zeros((height_px, width_px), np.uint8)
    x_scale, y_scale = mask.width_px / width_px, mask.height_px / height_px
    x0, x1 = int(mask.x_px / x_scale), min(width_px, int((mask.x_px + mask.w_px) / x_scale) + 1)
    y0, y1 = int(mask.y_px / y_scale), min(height_px, int((mask.y_px + mask.h_px) / y_scale) + 1)
    left, top = int(x0 * x_scale), int(y0 * y_scale)
    right, bottom = min(mask.width_px, int(x1 * x_scale) + 1), min(mask.height_px, int(y1 * y_scale) + 1)
    window = Image.fromarray(mask.window(left, top, right - left, bottom - top).view(np.uint8) * np.uint8(255))
    upper_left = (x0 * x_scale - left, y0 * y_scale - top)
    lower_right = (min(x1 * x_scale - left, right - left), min(y1 * y_scale - top, bottom - top))
    covered[y0:y1, x0:x1] = np.asarray(
        window.resize((x1 - x0, y1 - y0), Image.Resampling.BOX, box=(*upper_left, *lower_right))
    )
    return type(mask).from_array(covered > (127 if (covered > 127).any() else 0))


def _ring(ring: Ring, factor: int) -> str:
    """One closed ring of axis-parallel edges, as relative moves."""
    points = (ring * factor).tolist()
    steps = [f"M{points[0][0]} {points[0][1]}"]
    for (x0, y0), (x1, y1) in itertools.pairwise(points[:-1]):
        steps.append(f"h{x1 - x0}" if y0 == y1 else f"v{y1 - y0}")
    return "".join(steps) + "z"
