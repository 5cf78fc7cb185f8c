"""Colours of 16 bits at full precision, from a Pillow that keeps one byte of two: decode twice, once for each byte."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, ImageFile

from ..errors import ImageError
from .colours import lay_over_white
from .stretch import FULL_RANGE, Ends, Missing, UInt8Array, stretch

OPAQUE = 65_535
# Under the name of the other byte order Pillow keeps the other byte. N is this machine's own order.
_OTHER_BYTE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_RAW_MODES = {"RGB;16", "RGBX;16", "RGBA;16", "LA;16"}


@dataclass(frozen=True)
class WideColour:
    """uint16 samples as stored: grey (height, width) or RGB (height, width, 3), and alpha (height, width) if any."""

    values: npt.NDArray[np.uint16]
    alpha: npt.NDArray[np.uint16] | None
    opaque: int = OPAQUE


def raw_mode(image: Image.Image) -> str | None:
    """Pillow's name of the samples in the file while they are not decoded, None afterwards."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return None
    names = tiles[0][3]
    name = names[0] if isinstance(names, tuple) and names else names
    return name if isinstance(name, str) else None


def rename(image: Image.Image, name: str) -> None:
    """Have Pillow decode the samples of an image that is not decoded yet under another name."""
    if not isinstance(image, ImageFile.ImageFile):
        raise ImageError("it has no file to decode; give a path")
    tiles = []
    for tile in image.tile:
        names = (name, *tile[3][1:]) if isinstance(tile[3], tuple) else name
        tiles.append(type(tile)(tile[0], tile[1], tile[2], names))
    image.tile = tiles


def read_wide_colour(
    image: Image.Image, again: Callable[[], Image.Image], load: Callable[[Image.Image], Image.Image]
) -> WideColour:
    """The samples of a PNG or TIFF of 16-bit colour; `again` opens the file anew and `load` decodes it as stored.

    Raises ImageError where this Pillow has another way with such files.
    """
    name = raw_mode(image) or ""
    if name[:-1] not in _RAW_MODES or name[-1] not in _OTHER_BYTE:
        raise ImageError(f"Pillow {PIL.__version__} decodes its 16-bit colours as {name!r}; save it with 8 bits")
    if name == "LA;16B":
        rename(image, "RGBA")  # the four bytes of a pixel
        pairs = np.asarray(load(image)).view(">u2").astype(np.uint16)  # (height, width, 2)
        return WideColour(pairs[..., 0], pairs[..., 1])
    samples: npt.NDArray[np.uint16] = np.asarray(load(image)).astype(np.uint16)
    samples *= 256
    second = again()
    rename(second, name[:-1] + _OTHER_BYTE[name[-1]])
    samples |= np.asarray(load(second))
    alpha = samples[..., 3] if samples.shape[2] == 4 else None
    if alpha is None or image.format != "TIFF":
        return WideColour(samples[..., :3], alpha)
    return WideColour(samples[..., :3], alpha, 255 if alpha.max() <= 255 else OPAQUE)  # some TIFFs have alpha of 8 bits


def wide_to_rgb(
    wide: WideColour, missing: list[Missing], onto: Sequence[Ends] = FULL_RANGE
) -> tuple[UInt8Array, list[str]]:
    """RGB bytes (height, width, 3) by one stretch over all bands, and what was done; transparent pixels are missing."""
    mode = "RGB;16" if wide.values.ndim == 3 else "LA;16"
    if wide.alpha is None:
        pixels, note = stretch(wide.values, missing, mode, onto)
        return pixels, [note]
    missing = [*missing, Missing(wide.alpha == 0, "of alpha 0")]
    pixels, note = stretch(wide.values, missing, mode, onto)
    if not ((wide.alpha > 0) & (wide.alpha < wide.opaque)).any():
        return pixels, [note]
    lay_over_white(pixels, wide.alpha, wide.opaque)
    return pixels, [note, "it was laid over white by its alpha"]
