"""Images in: a file, a Pillow image or an array becomes RGB bytes, by the rules of docs/images.md.

RGB files give byte for byte what Pillow decodes, as the original does (reference behaviour 1). Whatever else was done
is said in `LoadedImage.notes`; what cannot be read right is refused. The steps are in `geopixel_edge/rasters/`.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from . import limits
from .errors import ImageError, OptionError, RuntimeUnavailableError
from .rasters.colouring import Reading
from .rasters.extra import REMEDY
from .rasters.given import GivenPlace
from .rasters.opening import from_pillow, from_stream, path_behind
from .rasters.place import Place
from .rasters.problems import check_size, printable, too_little_memory
from .rasters.routing import geo_is_there, note_of_lost_place, route_of
from .rasters.scene_stretch import FULL_RANGE, Ends
from .rasters.stretch import UInt8Array
from .rasters.whole import place_alone, read_whole

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".jp2", ".j2k")
Source = str | os.PathLike[str] | Image.Image | npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """RGB pixels: uint8, (height, width, 3), C-contiguous, read-only, owned; `notes` says what was converted.

    `place` is where they are, None where nothing places them; `reading` is how the samples of a raster that GDAL read
    became them, None for other images.
    """

    pixels: UInt8Array = field(repr=False)
    name: str
    notes: tuple[str, ...]
    sha256: str  # hex digest over "{height}x{width}x3:" and the pixel bytes
    path: Path | None = field(default=None, repr=False)  # absolute; None for arrays and images made in memory
    place: Place | None = field(default=None, repr=False)
    reading: Reading | None = field(default=None, repr=False)

    @property
    def height_px(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width_px(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])


ImageSource = Source | LoadedImage
Images = ImageSource | Sequence[ImageSource] | None


@dataclass(frozen=True)
class _Loaded:
    pixels: UInt8Array
    name: str
    notes: tuple[str, ...] = ()
    path: Path | None = None
    place: Place | None = None
    reading: Reading | None = None


def load_image(source: Source, reading: Reading | None = None, given: GivenPlace | None = None) -> LoadedImage:
    """Load a file, a Pillow image or an (height, width, 3) uint8 array; anything unusable is an ImageError.

    `reading` says which bands of a raster are shown and how they are stretched; other images take no bands. `given` is
    where the picture is, whatever its file says.
    The result shares no memory with `source`. Bounds: `limits.MAX_IMAGE_SIDE_PX`, `MAX_IMAGE_PIXELS` and
    `MAX_IMAGE_FILE_BYTES`, all checked before pixels are decoded. Too little memory is a ResourceError.
    """
    reading = reading or Reading()
    try:
        found = _loaded(source, reading)
    except MemoryError:
        kind = "array" if isinstance(source, np.ndarray) else type(source).__name__
        what = f"image={printable(str(source))!r}" if isinstance(source, (str, os.PathLike)) else f"image=<{kind}>"
        raise too_little_memory(what) from None
    found.pixels.flags.writeable = False
    digest = hashlib.sha256(f"{found.pixels.shape[0]}x{found.pixels.shape[1]}x3:".encode())
    digest.update(found.pixels.data)
    kept = (found.path, found.place, found.reading)
    image = LoadedImage(found.pixels, found.name, found.notes, digest.hexdigest(), *kept)
    return image if given is None else placed(image, given)


def placed(image: LoadedImage, given: GivenPlace) -> LoadedImage:
    """The same image at the place that is given; a note where its file says another."""
    place = given.place((image.width_px, image.height_px))
    own = (f"the place given replaces that of {image.name}",) if image.place and image.place.has_crs else ()
    return replace(image, place=place, notes=(*image.notes, *own))


def _loaded(source: object, reading: Reading) -> _Loaded:
    if isinstance(source, (str, os.PathLike)):
        return _from_path(source, reading)
    if reading.bands is not None:
        raise OptionError(f"bands={reading.bands!r} choose among a raster file's bands; give its path, not its pixels")
    if isinstance(source, np.ndarray):
        return _Loaded(_from_array(source), "array")
    if isinstance(source, Image.Image):
        name = printable(os.path.basename(str(getattr(source, "filename", "") or "")) or "image")
        path = path_behind(source)  # Pillow forgets its file once it has decoded it
        pixels, notes = from_pillow(source, f"image=<{type(source).__name__} {name!r}>", reading.onto)
        return _Loaded(pixels, name, notes, path)
    raise ImageError(
        f"image is a {type(source).__name__}; give a path, a Pillow image or an (height, width, 3) uint8 array"
    )


def _from_array(array: npt.NDArray[Any]) -> UInt8Array:
    if isinstance(array, np.ma.MaskedArray):
        raise ImageError("image is a masked array; fill it first, image.filled(255) looks like padding")
    what = f"image=array of shape {array.shape}, dtype {array.dtype}"
    if array.ndim != 3 or array.shape[2] != 3:
        raise ImageError(f"{what}: give shape (height, width, 3), for one band np.repeat(band[..., None], 3, axis=2)")
    if array.dtype != np.uint8:
        raise ImageError(f"{what}: give uint8 with values 0..255, scale other types to that range first")
    check_size(array.shape[1], array.shape[0], what)
    return np.array(array, dtype=np.uint8, order="C", copy=True, subok=False)


def _from_path(source: str | os.PathLike[str], reading: Reading) -> _Loaded:
    what = f"image={printable(str(source))!r}"
    path, size_bytes = _checked(source, what)
    absolute = Path(os.path.abspath(path))
    try:
        # An open stream, not the path: Pillow would map a path's bytes, and a file cut meanwhile kills the process.
        stream = path.open("rb")
    except OSError as error:
        raise ImageError(f"{what} cannot be opened ({type(error).__name__}); correct its permissions") from None
    with stream:
        route, geo = route_of(stream, absolute, what), geo_is_there()
        if route.by_gdal(reading.bands is not None) and geo:
            pixels, said, found = read_whole(absolute, what, reading)
            return _Loaded(pixels, printable(path.name), said, absolute, found, reading)
        if route.kind == "jp2":
            raise RuntimeUnavailableError(f"{what} is a JPEG 2000, which GDAL reads; {REMEDY}")
        if reading.bands is not None:
            raise OptionError(f"bands={reading.bands!r}: {what} is a plain image, its colours are red, green, blue")
        if size_bytes > limits.MAX_IMAGE_FILE_BYTES:
            raise ImageError(f"{what} has {size_bytes} bytes, over {limits.MAX_IMAGE_FILE_BYTES}; cut out a scene")
        pixels, said = from_stream(stream, 0, what, path, reading.onto)
    told = list(said)
    place: Place | None = None
    if route.located and geo:
        place = place_alone(absolute, what, told)
    elif route.located:
        told.append(note_of_lost_place(path))
    return _Loaded(pixels, printable(path.name), tuple(told), absolute, place)


def _checked(source: str | os.PathLike[str], what: str) -> tuple[Path, int]:
    """The path of a regular file of a known extension that is not empty, and its bytes."""
    try:
        path = Path(os.fsdecode(source))
        status = path.stat() if os.fspath(source) else None
    except FileNotFoundError:
        raise ImageError(f"{what} is not there; correct the path") from None
    except (OSError, ValueError, TypeError) as error:
        raise ImageError(f"{what} is not a usable path ({type(error).__name__}); correct it") from None
    if status is None or not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{what} is not a regular file (a directory? a device?); give one image file")
    if path.suffix.lower() not in EXTENSIONS:
        raise ImageError(f"{what} has extension {path.suffix!r}; convert it to one of {' '.join(EXTENSIONS)}")
    if status.st_size == 0:
        raise ImageError(f"{what} is empty (0 bytes); copy it again from its source")
    return path, status.st_size


def open_images(
    images: Images, bands: Sequence[int] | None, given: GivenPlace | None, learnt: Sequence[Ends] | None
) -> list[LoadedImage]:
    """The images of a question, loaded: none, one, or at most `limits.MAX_IMAGES`.

    `bands` and `given` are of one image alone; `learnt` are the percentiles that wide samples are stretched to.
    """
    sources = [] if images is None else list(images) if isinstance(images, (list, tuple)) else [images]
    if images is not None and not 1 <= len(sources) <= limits.MAX_IMAGES:
        raise ImageError(f"image holds {len(sources)} images; give 1 to {limits.MAX_IMAGES}, or None for text alone")
    for name, value in (("bands", bands), ("bounds and transform", given)):
        if value is not None and len(sources) != 1:
            raise OptionError(f"{name} are of one image, and there are {len(sources)}; open it alone")
    chosen = tuple(bands) if isinstance(bands, list) else bands
    reading = Reading(chosen, None, FULL_RANGE if learnt is None else tuple(learnt))  # type: ignore[arg-type]
    loaded = []
    for source in sources:
        if not isinstance(source, LoadedImage):
            loaded.append(load_image(source, reading, given))  # type: ignore[arg-type]
        elif bands is not None:
            raise OptionError(f"bands={bands!r}: {source.name} is loaded already; give its path")
        else:
            loaded.append(source if given is None else placed(source, given))
    return loaded
