"""What GDAL keeps beside an image: `NAME.msk`, a mask, and `NAME.aux.xml`, of which the nodata values are read."""

from __future__ import annotations

import html
import re
import stat
from pathlib import Path

from ..errors import ImageError
from .problems import check_size
from .stretch import Missing
from .tiff_plan import read_mask_file

_NODATA = re.compile(rb"<NoDataValue[^>]*>([^<]*)</NoDataValue>")
_MAX_AUX_BYTES = 16 * 1024 * 1024


def mask_beside(path: Path, width_px: int, height_px: int, what: str) -> Missing | None:
    """The pixels that `PATH.msk` declares missing, or None without such a file.

    Raises ImageError where it is no mask of one band and of the image's size.
    """
    beside = path.with_name(path.name + ".msk")
    if not _is_file(beside):
        return None
    check_size(width_px, height_px, what)
    named = f"{what}: its mask {beside.name!r}"
    try:
        with beside.open("rb") as stream:
            return Missing(read_mask_file(stream, width_px, height_px, named), f"outside the mask {beside.name!r}")
    except OSError as error:
        raise ImageError(f"{named} cannot be read ({type(error).__name__}); correct or remove it") from None


def nodata_beside(path: Path, what: str) -> str | None:
    """The nodata text of `PATH.aux.xml`, or None where it gives none. Raises ImageError where its bands differ."""
    beside = path.with_name(path.name + ".aux.xml")
    if not _is_file(beside):
        return None
    try:
        with beside.open("rb") as stream:
            texts = set(_NODATA.findall(stream.read(_MAX_AUX_BYTES)))
    except OSError as error:
        raise ImageError(f"{what}: {beside.name!r} cannot be read ({type(error).__name__}); correct it") from None
    if len(texts) > 1:
        raise ImageError(f"{what}: {beside.name!r} gives each band another nodata value; set one for all bands")
    return html.unescape(texts.pop().decode("utf-8", "replace")).strip() if texts else None


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False
