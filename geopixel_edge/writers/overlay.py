"""overlay.png: the image with its masks laid over it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .colours import Colour, colour
from .outlines import shrunk

if TYPE_CHECKING:
    from ..masks import Mask
    from ..regions import Region

ALPHA = 0.45
OUTLINE_PER_SIDE = 1 / 700  # of the longer side; at least one pixel
# Large images take minutes at the default level, for a few percent.
COMPRESS_LEVEL = 4
THUMBNAIL_SIDE_PX = 512


def render(
    pixels: NDArray[np.uint8], regions: Sequence[Region], *, alpha: float = ALPHA, labels: bool = False
) -> Image.Image:
    """uint8 (H, W, 3) -> the RGB image with each mask tinted and outlined, the larger ones below.

    `alpha` is the tint's opacity, 0..1; `labels` writes each region's number and phrase at its box.
    """
    canvas = np.array(pixels)
    width_px = max(1, round(max(canvas.shape[:2]) * OUTLINE_PER_SIDE))
    order = sorted(range(len(regions)), key=lambda index: -regions[index].area_px)
    for index in order:
        _lay(canvas, regions[index].mask, colour(index), alpha, width_px)
    image = Image.fromarray(canvas)
    if labels:
        for index, region in enumerate(regions):
            _label(image, region, f"{index + 1} {region.phrase}".strip(), colour(index))
    return image


def encode(pixels: NDArray[np.uint8], regions: Sequence[Region], *, labels: bool = False) -> bytes:
    """The rendered image as PNG."""
    stream = io.BytesIO()
    render(pixels, regions, labels=labels).save(stream, "PNG", compress_level=COMPRESS_LEVEL)
    return stream.getvalue()


def thumbnail(mask: Mask, side_px: int = THUMBNAIL_SIDE_PX) -> bytes:
    """The mask alone as PNG, white on black, its longer side at most `side_px`."""
    scale = min(1.0, side_px / max(mask.width_px, mask.height_px))
    small = shrunk(mask, max(1, round(mask.width_px * scale)), max(1, round(mask.height_px * scale)))
    stream = io.BytesIO()
    Image.fromarray(small.to_array()).save(stream, "PNG")
    return stream.getvalue()


def _lay(canvas: NDArray[np.uint8], mask: Mask, tint: Colour, alpha: float, outline_px: int) -> None:
    if not mask.area_px:
        return
    inside = mask.window(*mask.bbox)
    y, x = slice(mask.y_px, mask.y_px + mask.h_px), slice(mask.x_px, mask.x_px + mask.w_px)
    view = canvas[y, x]
    weight = round(256 * alpha)
    mixed = (view[inside].astype(np.uint16) * (256 - weight) + np.uint16(weight) * np.array(tint, np.uint16)) >> 8
    view[inside] = mixed.astype(np.uint8)
    view[inside & ~_shrink(inside, outline_px)] = tint


def _shrink(inside: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """The mask without its outermost `steps` pixels (4-neighbours)."""
    for _ in range(steps):
        wide = np.pad(inside, 1)
        inside = inside & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return inside


def _label(image: Image.Image, region: Region, text: str, tint: Colour) -> None:
    size_px = max(12, max(image.size) // 60)
    font = ImageFont.load_default(size_px)
    # Pillow's own font has Latin letters only; the number remains for every other script.
    text = text.encode("latin-1", "ignore").decode("latin-1").strip()
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    pad_px = size_px // 4
    width_px, height_px = int(right - left) + 2 * pad_px, int(bottom - top) + 2 * pad_px
    x_px = max(0, min(region.bbox[0], image.width - width_px))
    y_px = max(0, min(region.bbox[1] - height_px, image.height - height_px))
    draw.rounded_rectangle((x_px, y_px, x_px + width_px, y_px + height_px), radius=pad_px, fill=tint)
    draw.text((x_px + pad_px - left, y_px + pad_px - top), text, fill=(16, 20, 28), font=font)
