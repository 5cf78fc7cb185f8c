"""Files and Pillow images are opened here: which steps each takes, and what each failure of Pillow means."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from ..errors import GeoPixelError, ImageError
from .decoding import Request, decode, is_wide
from .problems import cannot_decode, check_size, over_pillows_limit
from .quiet import no_warnings
from .sidecars import mask_beside, nodata_beside
from .stretch import FULL_RANGE, Ends, UInt8Array
from .tiff_plan import TiffPlan, inspect, inspect_decoded, not_identified
from .tiff_tags import is_tiff
from .unreadable import not_read, webp_pixels

Decoded = tuple[UInt8Array, tuple[str, ...]]
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")


@dataclass
class _OpenFile:
    """A frame of an open file; the stream stays its caller's."""

    stream: BinaryIO
    frame: int
    what: str
    path: Path | None
    onto: tuple[Ends, ...] = FULL_RANGE
    image: Image.Image | None = None

    def open(self) -> Image.Image:
        """Open the frame, with nothing of its pixels decoded."""
        self.stream.seek(0)
        image = Image.open(self.stream, formats=FORMATS)
        if self.frame:
            image.seek(self.frame)
        return image

    def pixels(self) -> int:
        """How many pixels there are to hold in memory."""
        return webp_pixels(self.stream) * 2 if self.image is None else self.image.width * self.image.height

    def decode(self) -> Decoded:
        """Inspect, open and decode the frame."""
        self.stream.seek(0)
        plan = inspect(self.stream, self.frame, self.what) if is_tiff(self.stream.read(4)) else None
        try:
            self.image = self.open()
        except UnidentifiedImageError:
            raise self._unidentified(plan) from None
        if plan is not None and not plan.agrees(self.image.mode):
            raise not_identified(plan, self.what)
        check_size(*self.image.size, self.what)
        return decode(self.image, self._request(self.image, plan))

    def _unidentified(self, plan: TiffPlan | None) -> ImageError:
        return not_read(self.stream, FORMATS, self.what) if plan is None else not_identified(plan, self.what)

    def _request(self, image: Image.Image, plan: TiffPlan | None) -> Request:
        if plan is None and is_wide(image, None) and self.frame > 0:
            raise ImageError(f"{self.what}: frame {self.frame + 1} of an animation of 16-bit colour; save it alone")
        if self.path is None:
            return Request(self.what, self.open, plan, onto=self.onto)
        size = (plan.shape.width_px, plan.shape.height_px) if plan is not None else image.size
        nodata, mask = nodata_beside(self.path, self.what), mask_beside(self.path, *size, self.what)
        return Request(self.what, self.open, plan, nodata, mask, self.onto)


def from_stream(
    stream: BinaryIO, frame: int, what: str, path: Path | None = None, onto: tuple[Ends, ...] = FULL_RANGE
) -> Decoded:
    """RGB bytes (height, width, 3) of frame `frame` (0 is the first) of an open file, and what was done.

    `path` is where files that belong to it are looked for; `onto` is what wide samples are stretched to. Raises
    ImageError, or ResourceError for want of memory.
    """
    file = _OpenFile(stream, frame, what, path, onto)
    with no_warnings():
        return _told(file.decode, what, file.pixels)


def from_pillow(image: Image.Image, what: str, onto: tuple[Ends, ...] = FULL_RANGE) -> Decoded:
    """RGB bytes (height, width, 3) of a Pillow image at its current frame, and what was done.

    A TIFF or a PNG of 16-bit colour that is not decoded yet is read from its file; the image itself stays as it was.
    Raises as `from_stream`.
    """
    check_size(*image.size, what)
    lazy = isinstance(image, ImageFile.ImageFile) and bool(image.tile)
    file = image.fp if isinstance(image, ImageFile.ImageFile) else None
    if lazy and (file is None or file.closed):
        raise _closed(what)
    if lazy and (isinstance(image, TiffImagePlugin.TiffImageFile) or is_wide(image, None)):
        stream = cast(BinaryIO, file)
        place = stream.tell()
        try:
            return from_stream(stream, image.tell(), what, onto=onto)
        finally:
            stream.seek(place)

    def decoded() -> Decoded:
        plan = None
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            plan = inspect_decoded(image.tag_v2, bool(getattr(image, "is_animated", False)), what)
        return decode(image, Request(what, plan=plan, onto=onto))

    with no_warnings():
        return _told(decoded, what, lambda: image.width * image.height, image)


def path_behind(image: Image.Image) -> Path | None:
    """The absolute path of the file that a Pillow image was opened from, None where it has none."""
    for name in (getattr(image, "filename", None), getattr(getattr(image, "fp", None), "name", None)):
        if isinstance(name, (str, bytes, os.PathLike)) and os.fspath(name):
            return Path(os.path.abspath(os.fsdecode(name)))
    return None


def _told(
    steps: Callable[[], Decoded],
    what: str,
    pixels: Callable[[], int],
    image: Image.Image | None = None,
) -> Decoded:
    """Run the steps; each failure becomes one of this package's errors that names the image, of so many pixels."""
    try:
        return steps()
    except GeoPixelError as error:
        raise error if what in str(error) else type(error)(f"{what}: {error}") from None
    except Image.DecompressionBombError as error:
        raise over_pillows_limit(what, error) from None
    except Exception as error:  # Pillow's readers raise nearly any class on hostile bytes; all mean the same here
        if image is not None and "closed" in str(error):
            raise _closed(what) from None
        raise cannot_decode(what, error, pixels()) from None


def _closed(what: str) -> ImageError:
    return ImageError(f"{what} was closed and cannot be decoded; open it again")
