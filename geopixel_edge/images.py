"""Images in: a file, a Pillow image or an array becomes RGB bytes, by rules that are written down here.

RGB files give byte for byte what Pillow decodes, as the original does (reference behaviour 1); EXIF orientation in
JPEG, PNG and WebP is not applied. Pillow itself takes the high byte of 16-bit RGB and turns TIFFs by their orientation
tag. Where the original crashes, the rule below applies and `LoadedImage.notes` says so:

- `1`, `L`: the one band three times.
- `P`: through its palette.
- Transparency (`LA`, `La`, `PA`, `RGBA`, `RGBa`, a transparent palette entry or grey level): laid over white, the
  colour the divider pads with, so that pixels without data look like padding.
- `CMYK`, `YCbCr`, `HSV`: Pillow's conversion to RGB. `LAB`: to sRGB by its colour profiles. `RGBX`: X dropped.
- `I;16`, `I;16B`, `I`, `F` (16 or 32 bits): stretched in a straight line so that the 2nd percentile of the finite
  values becomes 0 and the 98th 255 (the least and the greatest value if those percentiles are equal; all 0 if these
  are too), clipped, rounded half to even, then as `L`. Pixels that are not finite hold no data: white.
- Several frames in one file: the first one (of a Pillow image: the current one).
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, UnidentifiedImageError

from . import limits
from .errors import ImageError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
WHITE = 255
STRETCH_PERCENTILES = (2.0, 98.0)

_WIDE_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}
_STRETCH_ROWS = 256
# Warning filters belong to the whole process: only one thread at a time may change and restore them.
_pillow_lock = threading.Lock()

UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """RGB pixels: uint8, (height, width, 3), C-contiguous, read-only, owned; `notes` says what was converted."""

    pixels: UInt8Array = field(repr=False)
    name: str
    notes: tuple[str, ...]
    sha256: str  # hex digest over "{height}x{width}x3:" and the pixel bytes

    @property
    def height_px(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width_px(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])


def load_image(source: str | os.PathLike[str] | Image.Image | npt.NDArray[Any]) -> LoadedImage:
    """Load a file, a Pillow image or an (height, width, 3) uint8 array; anything unusable is an ImageError.

    The result shares no memory with `source`. Bounds: `limits.MAX_IMAGE_SIDE_PX`, `MAX_IMAGE_PIXELS` and
    `MAX_IMAGE_FILE_BYTES`, all checked before pixels are decoded.
    """
    notes: tuple[str, ...]
    if isinstance(source, np.ndarray):
        name, notes = "array", ()
        pixels = _from_array(source)
    elif isinstance(source, Image.Image):
        name = _printable(os.path.basename(str(getattr(source, "filename", "") or "")) or "image")
        pixels, notes = _from_pillow(source, f"image=<{type(source).__name__} {name!r}>")
    elif isinstance(source, (str, os.PathLike)):
        pixels, name, notes = _from_path(source)
    else:
        raise ImageError(
            f"image is a {type(source).__name__}; give a path, a Pillow image or an (height, width, 3) uint8 array"
        )
    pixels.flags.writeable = False
    digest = hashlib.sha256(f"{pixels.shape[0]}x{pixels.shape[1]}x3:".encode())
    digest.update(pixels.data)
    return LoadedImage(pixels, name, notes, digest.hexdigest())


def _printable(name: str) -> str:
    return name.encode("utf-8", "replace").decode("utf-8")[-200:]


def _check_size(width_px: int, height_px: int, what: str) -> None:
    if width_px < 1 or height_px < 1:
        raise ImageError(f"{what} has {width_px} x {height_px} pixels; give an image with at least one pixel")
    if max(width_px, height_px) > limits.MAX_IMAGE_SIDE_PX or width_px * height_px > limits.MAX_IMAGE_PIXELS:
        raise ImageError(
            f"{what} has {width_px} x {height_px} pixels, over the limit of {limits.MAX_IMAGE_SIDE_PX} a side or "
            f"{limits.MAX_IMAGE_PIXELS} in all; cut it into smaller scenes"
        )


def _from_array(array: npt.NDArray[Any]) -> UInt8Array:
    if isinstance(array, np.ma.MaskedArray):
        raise ImageError("image is a masked array; fill it first, image.filled(255) looks like padding")
    what = f"image=array of shape {array.shape}, dtype {array.dtype}"
    if array.ndim != 3 or array.shape[2] != 3:
        raise ImageError(f"{what}: give shape (height, width, 3), for one band np.repeat(band[..., None], 3, axis=2)")
    if array.dtype != np.uint8:
        raise ImageError(f"{what}: give uint8 with values 0..255, scale other types to that range first")
    _check_size(array.shape[1], array.shape[0], what)
    return np.array(array, dtype=np.uint8, order="C", copy=True, subok=False)


def _from_path(source: str | os.PathLike[str]) -> tuple[UInt8Array, str, tuple[str, ...]]:
    what = f"image={_printable(str(source))!r}"
    try:
        path = Path(os.fsdecode(source))
        status = path.stat() if os.fspath(source) else None
    except FileNotFoundError:
        raise ImageError(f"{what} is not there; correct the path") from None
    except (OSError, ValueError, TypeError) as error:
        raise ImageError(f"{what} is not a usable path ({type(error).__name__}); correct it") from None
    name = _printable(path.name)
    if status is None or not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{what} is not a regular file (a directory? a device?); give one image file")
    if path.suffix.lower() not in EXTENSIONS:
        raise ImageError(f"{what} has extension {path.suffix!r}; convert it to one of {' '.join(EXTENSIONS)}")
    if status.st_size == 0:
        raise ImageError(f"{what} is empty (0 bytes); copy it again from its source")
    if status.st_size > limits.MAX_IMAGE_FILE_BYTES:
        raise ImageError(f"{what} has {status.st_size} bytes, over {limits.MAX_IMAGE_FILE_BYTES}; cut out a scene")
    try:
        # An open stream, not the path: Pillow would map a path's bytes, and a file cut meanwhile kills the process.
        with path.open("rb") as stream, _pillow_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(stream, formats=FORMATS) as image:
                pixels, notes = _from_pillow(image, what)
    except UnidentifiedImageError:
        raise ImageError(f"{what} holds none of {', '.join(FORMATS)}; is it damaged or wrongly named?") from None
    except ImageError:
        raise
    except Exception as error:  # Pillow's readers raise nearly any class on hostile bytes; all mean the same here
        raise _cannot_decode(what, error) from None
    return pixels, name, notes


def _cannot_decode(what: str, error: Exception) -> ImageError:
    detail = _printable(str(error)) or type(error).__name__
    return ImageError(f"{what} cannot be decoded: {detail}; the file is truncated or damaged, copy it again")


def _from_pillow(image: Image.Image, what: str) -> tuple[UInt8Array, tuple[str, ...]]:
    _check_size(*image.size, what)
    try:
        notes: list[str] = []
        if getattr(image, "is_animated", False):
            notes.append(f"{what} holds several frames; frame {image.tell() + 1} was taken")
        image.load()
        _check_size(*image.size, what)
        pixels, note = _to_rgb(image)
    except ImageError as error:
        raise error if what in str(error) else ImageError(f"{what}: {error}") from None
    except Exception as error:  # as above: a lazy Pillow image decodes only now
        raise _cannot_decode(what, error) from None
    if note:
        notes.append(note)
    return pixels, tuple(notes)


def _to_rgb(image: Image.Image) -> tuple[UInt8Array, str | None]:
    mode = image.mode
    if mode == "RGB":
        return np.array(image), None
    if mode in _WIDE_MODES:
        return _stretch(np.asarray(image), mode)
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


def _stretch(values: npt.NDArray[Any], mode: str) -> tuple[UInt8Array, str]:
    finite = np.isfinite(values)
    missing = int(values.size - np.count_nonzero(finite))
    if missing == values.size:
        raise ImageError(f"mode {mode!r} holds no finite value; give an image with data")
    known = values if missing == 0 else values[finite]
    low, high = (float(value) for value in np.percentile(known, STRETCH_PERCENTILES, method="nearest"))
    ends = "2nd..98th percentile"
    if low == high:
        low, high, ends = float(known.min()), float(known.max()), "least..greatest value"
    scale = 255.0 / (high - low) if high > low else 0.0
    grey = np.empty(values.shape, np.uint8)
    for top in range(0, values.shape[0], _STRETCH_ROWS):
        rows = slice(top, top + _STRETCH_ROWS)
        block = np.where(finite[rows], values[rows], low).astype(np.float64)
        block = np.rint((np.clip(block, low, high) - low) * scale)
        grey[rows] = np.where(finite[rows], block, WHITE)
    note = f"mode {mode} was stretched from {low:g}..{high:g} ({ends}) to 0..255"
    if missing:
        note += f"; {missing} pixels that are not finite became white"
    return np.repeat(grey[..., None], 3, axis=2), note
