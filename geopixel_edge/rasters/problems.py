"""What every step that reads an image says alike: too large, cannot be decoded, too little memory."""

from __future__ import annotations

import errno
import re

import numpy as np

from .. import limits
from ..errors import GeoPixelError, ImageError, ResourceError

_PILLOW_LIMIT = re.compile(r"\((\d+) pixels\) exceeds limit of (\d+)")
_NO_MEMORY = re.compile(r"out of memory|decoder error -9|memory allocation|cannot allocate|insufficient memory", re.I)

_UNKNOWN_KIND = re.compile(r"unsupported|not supported|cannot handle", re.I)


def printable(name: str) -> str:
    """A name that can be written anywhere, at most its last 200 characters."""
    return name.encode("utf-8", "replace").decode("utf-8")[-200:]


def check_size(width_px: int, height_px: int, what: str, remedy: str = "cut it into smaller scenes") -> None:
    """Raise ImageError for an image without pixels or over `limits.MAX_IMAGE_SIDE_PX` and `MAX_IMAGE_PIXELS`."""
    if width_px < 1 or height_px < 1:
        raise ImageError(f"{what} has {width_px} x {height_px} pixels; give an image with at least one pixel")
    if max(width_px, height_px) > limits.MAX_IMAGE_SIDE_PX or width_px * height_px > limits.MAX_IMAGE_PIXELS:
        raise ImageError(
            f"{what} has {width_px} x {height_px} pixels, over the limit of {limits.MAX_IMAGE_SIDE_PX} a side or "
            f"{limits.MAX_IMAGE_PIXELS} in all; {remedy}"
        )


def over_pillows_limit(what: str, error: Exception) -> ImageError:
    """The error for an image that Pillow itself found too large; `Image.MAX_IMAGE_PIXELS` belongs to the caller."""
    found = _PILLOW_LIMIT.search(str(error))
    pixels, limit = found.groups() if found else ("too many", str(limits.MAX_IMAGE_PIXELS))
    return ImageError(f"{what} has {pixels} pixels, over the limit of {limit} in all; cut it into smaller scenes")


def cannot_decode(what: str, error: Exception, pixels: int = 0) -> GeoPixelError:
    """The error for a decoder that failed: ResourceError for want of memory, else ImageError, the file is damaged.

    Some decoders do not say that memory was short: where `pixels` of four bytes cannot be had, it was.
    """
    if _memory_is_short(error, pixels):
        return too_little_memory(what)
    detail = printable(str(error)) or type(error).__name__
    if _UNKNOWN_KIND.search(detail):
        return ImageError(f"{what} is of a kind that is not read here ({detail}); save it as a PNG of 8 bits")
    return ImageError(f"{what} cannot be decoded: {detail}; the file is truncated or damaged, copy it again")


def too_little_memory(what: str) -> ResourceError:
    """The error for an image that this machine's free memory does not hold."""
    return ResourceError(f"{what} needs more memory than there is; free some, or give a smaller image")


def _memory_is_short(error: Exception, pixels: int) -> bool:
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    if _NO_MEMORY.search(str(error)):
        return True
    try:
        np.empty(4 * pixels, np.uint8)
    except MemoryError:
        return True
    return False
