"""A TIFF is inspected before any pixel is decoded: refused by name, or a plan of what decoding must mind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from ..errors import ImageError
from . import tiff_tags as tags
from .problems import cannot_decode, check_size
from .stretch import BoolArray
from .tiff_blocks import blocks_of, mask_obstacle, read_mask
from .tiff_structure import PALETTE, RAW, RGB, WHITE_IS_ZERO, YCBCR, Structure, describe, obstacle, remedy, structure_of
from .tiff_tags import MAX_PAGES, DamagedTiff, Page

_BITS = {1: "1", 2: "L;2", 4: "L;4", 8: "L", 12: "I;12", 16: "I;16", 32: "F;32"}


@dataclass(frozen=True)
class TiffPlan:
    """What decoding one page must mind. `mask` is True where the page's mask declares pixels missing."""

    shape: Structure
    orientation: int = 1
    several_frames: bool = False
    nodata: str | None = None
    mask: BoolArray | None = None

    @property
    def wide_colour(self) -> bool:
        """Whether the page has colours of 16 bits, of which Pillow alone would keep 8."""
        return (self.shape.photometric, self.shape.bits) == (RGB, 16)

    def agrees(self, mode: str) -> bool:
        """Whether Pillow's mode fits: older versions take uncompressed YCbCr for RGB."""
        return (self.shape.photometric, self.shape.compression) != (YCBCR, RAW) or mode == "YCbCr"

    @property
    def raw_mode(self) -> str | None:
        """Pillow's name of the samples where Pillow would take a wrong one: one uncompressed band stored "apart"."""
        if not (self.shape.bands_apart and self.shape.samples == 1 and self.shape.compression == RAW):
            return None
        name, big = _BITS[self.shape.bits], self.shape.big_endian
        if self.shape.photometric == PALETTE:
            return "P" if self.shape.bits == 8 else f"P;{self.shape.bits}"
        if self.shape.bits <= 8:
            inverted = self.shape.photometric == WHITE_IS_ZERO
            return name if not inverted else f"{name}I" if ";" in name else f"{name};I"
        if self.shape.sample_format == 2:
            return f"I;{self.shape.bits}{'BS' if big else 'S'}"
        return name + ("B" * big if self.shape.bits == 16 else "" if self.shape.bits == 12 else "BF" if big else "F")


def inspect(stream: BinaryIO, frame: int, what: str) -> TiffPlan:
    """The plan for page `frame` (0 is the first) of an open TIFF.

    Raises ImageError: over the size limits, a structure that is not read here (with the remedy), a file that is cut.
    """
    try:
        pages = tags.read_pages(stream, frame)
        if frame >= len(pages):
            raise ImageError(f"{what}: page {frame + 1} is beyond the {MAX_PAGES} that are looked at; save it alone")
        page = pages[frame]
        shape = structure_of(page)
        check_size(shape.width_px, shape.height_px, what)
        _refuse(what, shape, obstacle(shape, page))
        blocks = blocks_of(shape, page, stream.seek(0, 2))
        _refuse(what, shape, "blocks of it were never written (a sparse file)" if blocks.sparse else None)
        mask = _mask(stream, pages[frame + 1 :], shape, what)
    except DamagedTiff as error:
        raise cannot_decode(what, error) from None
    frames = [other for other in pages if not other.is_mask and not other.is_reduced]
    several = len([other for other in frames if other is not page]) > 0
    return _plan(shape, page, several, mask)


def inspect_decoded(directory: ImageFileDirectory_v2, several_frames: bool, what: str) -> TiffPlan:
    """The plan for a TIFF that Pillow has decoded already, from the tags it kept; orientation is gone from them.

    Raises ImageError where Pillow decoded a structure that it does not read right.
    """
    page = _page_of(directory)
    try:
        shape = structure_of(page)
        _refuse(what, shape, obstacle(shape, page))
    except DamagedTiff as error:
        raise cannot_decode(what, error) from None
    plan = _plan(shape, page, several_frames, None)
    if plan.wide_colour or plan.raw_mode is not None:
        raise ImageError(f"{what} is a {describe(shape)}, which Pillow has decoded wrongly; give its path instead")
    return plan


def not_identified(plan: TiffPlan, what: str) -> ImageError:
    """The error for a TIFF on the allow-list that this version of Pillow does not know after all."""
    return _refusal(what, plan.shape, "this Pillow does not know it")


def _plan(shape: Structure, page: Page, several: bool, mask: BoolArray | None) -> TiffPlan:
    orientation = page.number(tags.ORIENTATION, 1)
    return TiffPlan(
        shape=shape,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        several_frames=several,
        nodata=page.texts.get(tags.GDAL_NODATA) or None,
        mask=mask,
    )


def _refuse(what: str, shape: Structure, reason: str | None) -> None:
    if reason is not None:
        raise _refusal(what, shape, reason)


def _refusal(what: str, shape: Structure, reason: str) -> ImageError:
    return ImageError(f"{what} is a {describe(shape)}; {reason}; {remedy(shape)}")


def _mask(stream: BinaryIO, following: list[Page], shape: Structure, what: str) -> BoolArray | None:
    """The mask among the pages that follow, up to the next real one."""
    for page in following:
        if page.is_mask:
            mask = structure_of(page)
            _refuse(what, shape, mask_obstacle(shape, mask))
            return read_mask(stream, mask, blocks_of(mask, page, stream.seek(0, 2)))
        if not page.is_reduced:
            return None
    return None


def read_mask_file(stream: BinaryIO, width_px: int, height_px: int, what: str) -> npt.NDArray[np.bool_]:
    """Where the mask file beside an image is zero: bool, (height, width). Raises ImageError where it cannot be read."""
    try:
        pages = tags.read_pages(stream)
        mask = structure_of(pages[0])
        size = (mask.width_px, mask.height_px)
        if size != (width_px, height_px):
            raise ImageError(f"{what} has {size[0]} x {size[1]} pixels, its image {width_px} x {height_px}; remove it")
        reason = mask_obstacle(mask, mask)
        if reason is not None:
            raise ImageError(f"{what} is a {describe(mask)}, which is not read here; {remedy(mask)}")
        return read_mask(stream, mask, blocks_of(mask, pages[0], stream.seek(0, 2)))
    except DamagedTiff as error:
        raise cannot_decode(what, error) from None


def _page_of(directory: ImageFileDirectory_v2) -> Page:
    numbers: dict[int, tuple[int, ...]] = {}
    texts: dict[int, str] = {}
    for tag in directory:
        value = directory[tag]
        if tag in (tags.GDAL_METADATA, tags.GDAL_NODATA):
            texts[tag] = str(value).strip("\0 ")
        elif isinstance(value, int):
            numbers[tag] = (value,)
        elif isinstance(value, tuple) and value and all(isinstance(item, int) for item in value):
            numbers[tag] = value
        elif tag == tags.REFERENCE_LEVELS and isinstance(value, tuple):
            numbers[tag] = tuple(part for item in value for part in (int(item.numerator), int(item.denominator)))
    return Page(directory.prefix == b"MM", False, numbers, texts)
