"""A decoded Pillow image becomes RGB bytes; the table of modes in docs/images.md is the rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from ..errors import ImageError
from .stretch import FULL_RANGE, WHITE, Ends, Missing, UInt8Array, stretch, union

WIDE_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}


def to_rgb(
    image: Image.Image, missing: list[Missing], onto: Sequence[Ends] = FULL_RANGE
) -> tuple[UInt8Array, list[str]]:
    """RGB bytes (height, width, 3) of an image of any mode, and what was done to it; missing pixels are white.

    `onto` is what the percentiles of wide samples become.

    Raises ImageError for a mode without a rule and where no pixel has data.
    """
    if image.mode in WIDE_MODES:
        transparent = image.info.get("transparency")
        values = np.asarray(image)
        if isinstance(transparent, int):
            missing = [*missing, Missing(np.equal(values, transparent), "declared transparent")]
        pixels, note = stretch(values, missing, image.mode, onto)
        return pixels, [note]
    pixels, said = _eight_bits(image)
    absent = union(missing)
    if absent is not None:
        if absent.all():
            raise ImageError("every pixel is missing; give an image with data")
        pixels[absent] = WHITE
    return pixels, [text for text in (said, *(each.note() for each in missing)) if text]


def colour_samples(image: Image.Image) -> npt.NDArray[Any]:
    """The samples that nodata is compared with: (height, width[, bands]), without alpha, 1-bit samples as 0 and 255."""
    samples = np.asarray(image)
    if image.mode == "1":
        return samples.astype(np.uint8) * np.uint8(WHITE)
    return samples[..., : samples.shape[2] - 1] if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") else samples


def lay_over_white(rgb: UInt8Array, alpha: npt.NDArray[np.uint16], opaque: int) -> None:
    """Blend RGB bytes in place over white by their alpha, 0..opaque."""
    for row in np.flatnonzero((alpha < opaque).any(axis=1)):
        weight = np.minimum(alpha[row].astype(np.float64) / opaque, 1.0)[:, None]
        rgb[row] = np.rint(rgb[row] * weight + WHITE * (1.0 - weight))


def _eight_bits(image: Image.Image) -> tuple[UInt8Array, str | None]:
    mode = image.mode
    if mode == "RGB":
        return np.array(image), None
    if mode in _PREMULTIPLIED:
        image = image.convert(_PREMULTIPLIED[mode])
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (WHITE,) * 4)
        return np.array(Image.alpha_composite(white, rgba).convert("RGB")), f"mode {mode} was laid over white"
    if mode == "LAB":
        transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), mode, "RGB")
        converted = ImageCms.applyTransform(image, transform)
        if converted is None:
            raise ImageError("mode LAB could not be converted; save it as RGB first")
        return np.array(converted), "mode LAB was converted to sRGB"
    if mode in ("1", "L", "P", "CMYK", "YCbCr", "HSV", "RGBX"):
        return np.array(image.convert("RGB")), f"mode {mode} was converted to RGB"
    raise ImageError(f"mode {mode!r} has no conversion here; save it as 8-bit RGB first")
