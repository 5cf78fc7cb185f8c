"""A client's bytes become an image, in a worker: through the one door over all readers, under a name of ours."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from PIL import Image

from .. import limits
from ..errors import GeoPixelError, ImageError
from ..images import LoadedImage, open_images
from ..rasters.given import given_place
from ..rasters.scene_stretch import Ends
from .jobs import Picture

# The first bytes decide, whatever the client called the file or its type.
_KINDS = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"II+\0", ".tif"),
    (b"MM\0+", ".tif"),
    (b"\0\0\0\x0cjP  ", ".jp2"),
    (b"\xff\x4f\xff\x51", ".j2k"),
    (b"BM", ".bmp"),
)


def kind_of(data: bytes) -> str:
    """The suffix of an image's format by its first bytes; ImageError for others, archives among them."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    for start, suffix in _KINDS:
        if data.startswith(start):
            return suffix
    raise ImageError(
        f"image: {len(data)} bytes that begin with {data[:8].hex(' ') or 'nothing'} are no PNG, JPEG, TIFF, "
        "JPEG 2000, WebP or BMP; send one of these"
    )


def digest_of(picture: Picture) -> str:
    """What makes two uploads the same opened image: their bytes, place and bands."""
    digest = hashlib.sha256(picture.data)
    digest.update(msgspec.json.encode([picture.bounds, picture.crs, picture.bands]))
    return digest.hexdigest()[:32]


def check_pixels(pictures: Sequence[Picture]) -> None:
    """The headers of a request's files, before any is decoded: ImageError where all together have too many pixels.

    A bomb of many small files ends here as one large one does.
    """
    left = limits.MAX_IMAGE_PIXELS
    for picture in pictures:
        width_px, height_px = (0, 0) if picture.id else _size_of(picture.data)
        left -= width_px * height_px
        if left < 0:
            raise ImageError(
                f"image of {width_px} x {height_px} px: the request's images have over {limits.MAX_IMAGE_PIXELS:,} "
                "pixels in all; send them in several requests, or cut them"
            )


def load_upload(picture: Picture, learnt: Sequence[Ends] | None) -> LoadedImage:
    """Decode an upload. ImageError, OptionError or GeoReferenceError, with no path of this machine in them."""
    given = given_place(picture.bounds, picture.crs)
    with TemporaryDirectory(prefix="geopixel-edge-") as folder:
        path = Path(folder) / f"upload{kind_of(picture.data)}"
        path.write_bytes(picture.data)
        try:
            (image,) = open_images(path, picture.bands, given, learnt)
        except GeoPixelError as error:
            raise type(error)(str(error).replace(str(path), path.name).replace(folder, "")) from None
    return replace(image, path=None, name="image")


def _size_of(data: bytes) -> tuple[int, int]:
    """Width and height from the header alone; 0 x 0 where Pillow does not know, and the reader itself checks."""
    kind_of(data)
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except Image.DecompressionBombError:
        raise ImageError(f"image has over {limits.MAX_IMAGE_PIXELS:,} pixels; cut it into scenes") from None
    except (OSError, ValueError, SyntaxError, TypeError, EOFError):
        return 0, 0
