"""Truth on the left, answer on the right: the pictures of a report."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from geopixel_edge.answer import Region
from geopixel_edge.images import load_image
from geopixel_edge.masks import Mask
from geopixel_edge.writers.overlay import render

GAP_PX, MAX_SIDE_PX, QUALITY = 6, 400, 85


@dataclass(frozen=True)
class Picture:
    """An image with the masks of both sides, what is said about it, and its figure."""

    path: Path
    title: str
    left: tuple[tuple[str, Mask], ...]
    right: tuple[tuple[str, Mask], ...]
    texts: tuple[str, ...] = ()


def data_url(picture: Picture) -> str:
    """Both sides as one JPEG, at most MAX_SIDE_PX high."""
    pixels = load_image(picture.path).pixels
    sides = [_side(pixels, masks) for masks in (picture.left, picture.right)]
    width, height = sides[0].size
    sheet = Image.new("RGB", (2 * width + GAP_PX, height), "white")
    for at, side in enumerate(sides):
        sheet.paste(side, (at * (width + GAP_PX), 0))
    stream = io.BytesIO()
    sheet.save(stream, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _side(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], masks: Sequence[tuple[str, Mask]]) -> Image.Image:
    height, width = pixels.shape[:2]
    regions = [Region(phrase, (0, 0), mask, 1.0) for phrase, mask in masks if _fits(mask, height, width)]
    image = render(pixels, regions, labels=True)
    image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
    return image


def _fits(mask: Mask, height: int, width: int) -> bool:
    return (mask.height_px, mask.width_px) == (height, width)
