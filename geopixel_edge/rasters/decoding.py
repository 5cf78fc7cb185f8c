"""A Pillow image, opened or decoded, becomes RGB bytes: as stored, with missing pixels white, by the rules of modes."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from .colours import colour_samples, to_rgb
from .nodata import equals_nodata, parse_nodata
from .problems import check_size
from .stretch import FULL_RANGE, Ends, Missing, UInt8Array
from .tiff_plan import TiffPlan
from .tiff_structure import PALETTE, WHITE_IS_ZERO
from .wide_colour import raw_mode, read_wide_colour, rename, wide_to_rgb

_WIDE_PNG = ("RGB;16B", "RGBA;16B", "LA;16B")
_BAD_EXIF = (SyntaxError, ValueError, KeyError, IndexError, TypeError, EOFError, struct.error)
_SHORT_GREY = {"L;2": 85, "L;4": 17}


@dataclass(frozen=True)
class Request:
    """One image to decode: its name in messages, how to open it anew at its frame, and what came with it.

    `onto` is what the percentiles of samples of more than 8 bits become.
    """

    what: str
    again: Callable[[], Image.Image] | None = None
    plan: TiffPlan | None = None
    nodata: str | None = None
    mask: Missing | None = None
    onto: tuple[Ends, ...] = FULL_RANGE


def decode(image: Image.Image, request: Request) -> tuple[UInt8Array, tuple[str, ...]]:
    """RGB bytes (height, width, 3) of a Pillow image, and what was done to it.

    Raises ImageError for a size or mode without a rule, and whatever Pillow raises on bytes that it cannot decode.
    """
    check_size(*image.size, request.what)
    notes = _first_notes(image, request)
    turned = _orientation(image) if request.plan is not None else 1
    if is_wide(image, request.plan) and request.again is not None:
        wide = read_wide_colour(image, request.again, lambda opened: _loaded(opened, request))
        missing = _missing(wide.values, request, notes)
        level = image.info.get("transparency")
        if isinstance(level, tuple):
            missing.append(Missing((wide.values == np.array(level, np.uint16)).all(axis=2), "declared transparent"))
        pixels, said = wide_to_rgb(wide, missing, request.onto)
    else:
        image = _loaded(image, request)
        check_size(*image.size, request.what)
        pixels, said = to_rgb(image, _missing(colour_samples(image), request, notes), request.onto)
    turned = turned if request.plan is not None else _orientation(image)
    if turned != 1:
        notes.append(f"orientation {turned} was not applied: coordinates are those of the stored pixels")
    return pixels, (*notes, *said)


def _first_notes(image: Image.Image, request: Request) -> list[str]:
    several = getattr(image, "is_animated", False) if request.plan is None else request.plan.several_frames
    notes = [f"{request.what} holds several frames; frame {image.tell() + 1} was taken"] if several else []
    if request.plan is not None and 0 in request.plan.shape.extras:
        notes.append(f"{request.plan.shape.extras.count(0)} bands that are declared no colour were left out")
    return notes


def is_wide(image: Image.Image, plan: TiffPlan | None) -> bool:
    """Whether an image that is not decoded yet has colours of 16 bits, in a format that they can be read from."""
    if plan is not None:
        return plan.wide_colour
    return image.format == "PNG" and raw_mode(image) in _WIDE_PNG


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _BAD_EXIF:
        return 1  # the pixels do not depend on EXIF that cannot be read
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _loaded(image: Image.Image, request: Request) -> Image.Image:
    """The image decoded, with its pixels in the order of the file."""
    name = raw_mode(image)
    if request.plan is None:
        image.load()
        if name in _SHORT_GREY and isinstance(image.info.get("transparency"), int):
            image = image.copy()  # Pillow scales these samples to 8 bits, but not the level
            image.info["transparency"] *= _SHORT_GREY[name]
        return image
    if request.plan.raw_mode is not None and name is not None:
        rename(image, request.plan.raw_mode)
    if name is None or _orientation(image) == 1:
        image.load()
        return image
    image.getexif()[ExifTags.Base.Orientation] = 1  # Pillow turns a TIFF by this while it loads
    image.load()
    return image.copy()  # a copy has the size of the pixels, not the turned one


def _missing(samples: npt.NDArray[Any], request: Request, notes: list[str]) -> list[Missing]:
    missing = [request.mask] if request.mask is not None else []
    if request.plan is not None and request.plan.mask is not None:
        missing.append(Missing(request.plan.mask, "outside the mask"))
    text = (request.plan.nodata if request.plan is not None else None) or request.nodata
    if text is None:
        return missing
    nodata = _as_decoded(parse_nodata(text, samples.dtype), request.plan)
    if nodata is None:
        notes.append(f"nodata {text[:40]!r} marks no pixel of {samples.dtype.name}")
        return missing
    if not math.isfinite(nodata):
        return missing  # such pixels are missing anyway
    return [*missing, Missing(equals_nodata(samples, nodata), f"of nodata {text[:40]}")]


def _as_decoded(nodata: float | None, plan: TiffPlan | None) -> float | None:
    """A value of the file as Pillow gives it: short grey samples scaled to 8 bits, inverted where 0 is white."""
    if nodata is None or plan is None or plan.shape.bits > 8 or plan.shape.photometric == PALETTE:
        return nodata
    white = plan.shape.white
    if nodata > white:
        return None
    scaled = nodata * (255 // white)
    return 255 - scaled if plan.shape.photometric == WHITE_IS_ZERO else scaled
