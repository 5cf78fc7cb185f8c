"""GDAL behind one door: which drivers may open what, its options, and what becomes of its warnings and failures."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import GeoPixelError, ImageError
from .extra import load_rasterio
from .problems import printable, too_little_memory
from .quiet import no_warnings

# A file's first bytes choose among these alone: other drivers, such as VRT, follow paths and URLs that a file names.
_TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_DRIVERS = {
    **dict.fromkeys(_TIFF_HEADS, "GTiff"),
    b"\0\0\0\x0cjP  ": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
}
# In bytes: rasterio hands the number on as such, GDAL's own megabytes would be a cache of 64 bytes.
CACHE_BYTES = 64 * 1024 * 1024
_OPTIONS = {"GDAL_CACHEMAX": CACHE_BYTES, "CPL_VSIL_CURL_ALLOWED_FILENAME": "none", "GDAL_HTTP_MAX_RETRY": "0"}
_LOGGER = "rasterio._env"
_MAX_WARNINGS = 4


class _Ear(logging.Filter):
    """GDAL's warnings reach Python's logging: those of a thread within `gdal` are kept here and go no further."""

    def __init__(self) -> None:
        super().__init__()
        self.local = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        heard: list[str] | None = getattr(self.local, "heard", None)
        if heard is None:
            return True
        if record.levelno >= logging.WARNING:
            heard.append(record.getMessage())
        return False


_ear = _Ear()


class _Hook:
    """rasterio decodes GDAL's messages as UTF-8 in a callback: of bytes that are none, quoted from a damaged file,
    Python would print a traceback. Within `gdal` it is dropped; all else goes to the hook that was there."""

    def __init__(self, before: Callable[[Any], Any]) -> None:
        self.before = before

    def __call__(self, unraisable: Any) -> None:
        within = getattr(_ear.local, "heard", None) is not None
        if not (within and isinstance(unraisable.exc_value, UnicodeDecodeError)):
            self.before(unraisable)


def _hook() -> None:
    if not isinstance(sys.unraisablehook, _Hook):
        sys.unraisablehook = _Hook(sys.unraisablehook)


@contextmanager
def gdal(what: str, warned: list[str] | None = None) -> Iterator[Any]:
    """rasterio, within GDAL's options; its failures become this package's errors, its warnings go to `warned`.

    ImageError for a file that cannot be decoded, ResourceError for want of memory; both begin with `what`.
    """
    rasterio = load_rasterio()
    from rasterio.session import DummySession

    logger, outer = logging.getLogger(_LOGGER), getattr(_ear.local, "heard", None)
    logger.addFilter(_ear)
    _hook()
    heard: list[str] = []
    _ear.local.heard = heard
    try:
        with no_warnings(), rasterio.Env(session=DummySession(), **_OPTIONS):
            yield rasterio
    except GeoPixelError:
        raise
    except MemoryError:
        raise too_little_memory(what) from None
    except (rasterio.errors.RasterioError, rasterio._err.CPLE_BaseError, OSError, ValueError) as error:
        raise _cannot_read(what, error, heard) from None
    finally:
        _ear.local.heard = outer
        if warned is not None:
            warned += _sentences(heard)


def open_dataset(path: Path, what: str, warned: list[str]) -> Any:
    """The rasterio dataset of a regular file, by an allow-listed driver. Raises as `gdal`."""
    driver = driver_of(path, what)
    if driver is None:
        raise ImageError(f"{what} is no TIFF, JPEG 2000, PNG or JPEG; is it damaged or wrongly named?")
    _check_sidecars(path, what)
    with gdal(what, warned) as rasterio:
        dataset = rasterio.open(path, driver=driver, sharing=False)
        if dataset.count < 1:
            dataset.close()
            raise ImageError(f"{what} has no band of pixels; is it a container of several? give one of them")
        if "OVERVIEW_FILE" in dataset.tags(ns="OVERVIEWS"):
            dataset.close()
            raise ImageError(f"{what} names another file for its overviews; write it again with gdal_translate -of COG")
        return dataset


def driver_of(path: Path, what: str) -> str | None:
    """The driver for a file by its first bytes; None for a file of another kind. ImageError where none can be read."""
    try:
        with path.open("rb") as stream:
            head = stream.read(12)
    except OSError as error:
        raise ImageError(f"{what} cannot be opened ({type(error).__name__}); correct its permissions") from None
    return next((driver for start, driver in _DRIVERS.items() if head.startswith(start)), None)


def _check_sidecars(path: Path, what: str) -> None:
    """Masks and overviews beside a file are opened by GDAL itself, with any driver: they have to be TIFFs."""
    for suffix in (".msk", ".ovr", ".msk.ovr"):
        beside = path.with_name(path.name + suffix)
        try:
            with beside.open("rb") as stream:
                head = stream.read(4)
        except OSError:
            continue
        if head not in _TIFF_HEADS:
            raise ImageError(f"{what}: {beside.name!r} beside it is no TIFF; correct or remove it")


def _cannot_read(what: str, error: Exception, heard: list[str]) -> GeoPixelError:
    told = " ".join([str(error), str(error.__cause__ or ""), *heard]).lower()
    if "memory" in told and any(word in told for word in ("out of", "cannot allocate", "not enough", "alloc")):
        return too_little_memory(what)
    if "missing codec" in told or "not supported by" in told:
        return ImageError(f"{what} has a compression that this GDAL was built without; write it with LZW or deflate")
    if "not recognized as being in a supported file format" in told or "no such file" in told:
        return ImageError(f"{what} is no TIFF, JPEG 2000, PNG or JPEG that GDAL opens; is it damaged or wrongly named?")
    return ImageError(f"{what} cannot be decoded by GDAL; the file is truncated or damaged, copy it again")


def _sentences(heard: list[str]) -> list[str]:
    """GDAL's warnings as notes: each once, bounded in number and length."""
    different = list(dict.fromkeys(printable(" ".join(text.split())) for text in heard))
    more = [f"GDAL warned {len(different) - _MAX_WARNINGS} times more"] if len(different) > _MAX_WARNINGS else []
    return [f"GDAL warned: {text}" for text in different[:_MAX_WARNINGS]] + more
