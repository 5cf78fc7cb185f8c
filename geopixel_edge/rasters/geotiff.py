"""Rasters through GDAL: bands, stretch and missing pixels are decided once per file, windows are read as asked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from .. import limits
from ..errors import ImageError, OptionError
from . import tiff_tags as tags
from .bands import choose
from .colouring import Colouring, Reading, decide
from .gdal import gdal, open_dataset
from .georeference import Ground, place_of
from .place import Place
from .problems import printable
from .raster import Window
from .samples import Part, SampleReader, Samples
from .scene_stretch import FULL_RANGE, Ends

_ASSOCIATED_ALPHA = 1  # of a TIFF's ExtraSamples


class GeoTiff:
    """A raster that GDAL reads, as `raster.Raster`; one thread's. Made by `open_raster`."""

    def __init__(
        self, path: Path, what: str, dataset: Any, reading: Reading, warned: list[str], ground: Ground | None = None
    ) -> None:
        self.path, self.what, self._dataset = path, what, dataset
        self.width_px, self.height_px = int(dataset.width), int(dataset.height)
        notes: list[str] = []
        chosen = choose([one.name for one in dataset.colorinterp], dataset.descriptions, reading.bands, what)
        self.bands: tuple[int, ...] = chosen.numbers
        self._samples = SampleReader(dataset, chosen)
        page = _first_page(path)
        premultiplied = page is not None and _ASSOCIATED_ALPHA in page.numbers.get(tags.EXTRA_SAMPLES, ())
        self._colouring: Colouring = decide(self._samples, reading, premultiplied, what)
        self.place: Place = place_of(dataset, path, what, notes, ground)
        if len(dataset.subdatasets) > 1:
            notes.append(f"{len(dataset.subdatasets)} pages: the first one was taken")
        if (turned := _orientation(page)) != 1:
            notes.append(f"orientation {turned} was not applied: coordinates are those of the stored pixels")
        notes += [chosen.note] if chosen.note else []
        notes += [_stretch_note(self._samples.dtype.name, self._colouring.ends, reading)] if self.stretch else []
        self._notes, self._warned = notes, warned

    @property
    def stretch(self) -> tuple[Ends, ...] | None:
        """The (low, high) samples of each of `bands` that the stretch starts from; None for 8-bit samples."""
        return self._colouring.ends

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to get from the file to its pixels, and what GDAL warned of while it was opened."""
        return (*self._notes, *self._warned)

    def read(self, x: int, y: int, width: int, height: int) -> Window:
        """The pixels of a window inside the raster. OptionError for another one, ImageError for damaged blocks."""
        if min(x, y) < 0 or min(width, height) < 1 or x + width > self.width_px or y + height > self.height_px:
            raise OptionError(
                f"window={(x, y, width, height)} is not inside {self.what} of {self.width_px} x {self.height_px} px"
            )
        with self._reading():
            return self._shown(self._samples.read((x, y, width, height)))

    def overview(self, longest_side_px: int) -> Window:
        """The whole raster, averaged so that no side exceeds `longest_side_px`; never enlarged.

        A pixel is missing where nearly all of what it covers is.
        """
        if longest_side_px < 1:
            raise OptionError(f"longest_side_px={longest_side_px!r}: give at least 1")
        with self._reading():
            return self._shown(self._samples.decimated(longest_side_px, self._colouring.averages))

    def shrunk(self, box: Part, size: tuple[int, int]) -> Window:
        """The pixels of a part of the raster, averaged to `size` (width, height). Raises as `read`."""
        with self._reading():
            return self._shown(self._samples.read(box, size, self._colouring.averages))

    @property
    def row_bytes(self) -> int:
        """Decoded bytes of a row of the blocks that the file is stored in: of these GDAL keeps `CACHE_BYTES`."""
        rows, columns = self._dataset.block_shapes[0]
        across = -(-self.width_px // columns) * columns
        return int(rows * across * len(self._samples.numbers) * self._samples.dtype.itemsize)

    def stored(self, x: int, y: int, width: int, height: int) -> bool:
        """False where no pixel of a window holds data, as far as that is known without reading any."""
        with self._reading():
            return self._samples.stored((x, y, width, height))

    def close(self) -> None:
        """Let the file go; later reads raise ImageError."""
        self._dataset.close()

    def __enter__(self) -> GeoTiff:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _reading(self) -> Any:
        if self._dataset.closed:
            raise ImageError(f"{self.what} was closed; open it again before it is read")
        return gdal(self.what)

    def _shown(self, samples: Samples) -> Window:
        return Window(self._colouring.rgb(samples), samples.valid)


def open_raster(
    source: str | os.PathLike[str],
    reading: Reading | None = None,
    what: str | None = None,
    *,
    largest: Callable[[int, int], None] | None = None,
    ground: Ground | None = None,
) -> GeoTiff:
    """Open a raster file of any size through GDAL; nothing but its header and its percentiles is read.

    `what` names it in errors; `largest` is called with its width and height first, and may refuse them. `ground` is
    what polynomials of a sensor lay it on.
    Raises ImageError for a file that cannot be used, GeoReferenceError where it says nonsense about its place,
    OptionError for a `reading` it does not have, RuntimeUnavailableError without the extra `geo`.
    """
    path = Path(os.path.abspath(os.fsdecode(source)))
    what = what or f"image={printable(str(source))!r}"
    if not path.is_file():
        raise ImageError(f"{what} is not there, or is no regular file; correct the path")
    _check_blocks(path, what)
    warned: list[str] = []
    dataset = open_dataset(path, what, warned)
    try:
        if largest is not None:
            largest(int(dataset.width), int(dataset.height))
        with gdal(what, warned):
            return GeoTiff(path, what, dataset, reading or Reading(), warned, ground)
    except BaseException:
        dataset.close()
        raise


def _first_page(path: Path) -> tags.Page | None:
    """The tags of a TIFF's first page; None for other files, and where GDAL is to say what is wrong."""
    try:
        with path.open("rb") as stream:
            if tags.is_tiff(stream.read(4)):
                return tags.read_pages(stream)[0]
    except (OSError, tags.DamagedTiff):
        pass
    return None


def _orientation(page: tags.Page | None) -> int:
    found = page.number(tags.ORIENTATION, 1) if page else 1
    return found if 1 <= found <= 8 else 1


def _check_blocks(path: Path, what: str) -> None:
    """Refuse strips and tiles that cannot be decoded in bounded memory; any window needs whole ones.

    GDAL shows a strip of the whole height as rows, so the tags are asked.
    """
    page = _first_page(path)
    if page is None:
        return
    height_px = page.number(tags.HEIGHT, 0)
    width_px = page.number(tags.TILE_WIDTH, page.number(tags.WIDTH, 0))
    rows = page.number(tags.TILE_HEIGHT, min(page.number(tags.ROWS_PER_STRIP, height_px), height_px))
    bits = max(page.numbers.get(tags.BITS, (1,))) * (
        page.number(tags.SAMPLES, 1) if page.number(tags.PLANAR, 1) == 1 else 1
    )
    size = -(-rows * width_px * bits // 8)
    if size > limits.MAX_BLOCK_BYTES:
        raise ImageError(
            f"{what} is stored in blocks of {size} bytes, over {limits.MAX_BLOCK_BYTES}, and a window needs whole "
            "ones; convert it with `gdal_translate -of COG IN.tif OUT.tif`"
        )


def _stretch_note(dtype: str, ends: tuple[Ends, ...] | None, reading: Reading) -> str:
    shown = ", ".join(f"{low:g}..{high:g}" for low, high in ends or ())
    onto = "0..255" if reading.onto == FULL_RANGE else "what the engine learnt from"
    how = "given" if reading.stretch else "2nd..98th percentile"
    return f"{dtype} was stretched from {shown} ({how}) to {onto}"
