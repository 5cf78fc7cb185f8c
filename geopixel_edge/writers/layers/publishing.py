"""Layers out: every file is made aside, and all are renamed at once when they are whole."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from ... import limits
from ...errors import OptionError, OutputError
from ...rasters.extra import load_pyogrio
from ...rasters.raster import Raster
from .feature import Feature, Layer, LayerWriter, WindowFeature
from .geojson import GeoJson
from .gpkg import Gpkg, cannot_write
from .page import Page, page_beside

_CHUNK = 4_096
KINDS = (".gpkg", ".geojson", ".fgb", ".parquet", ".tif", ".png")


def check_outputs(paths: Sequence[str | os.PathLike[str]], source: Path, page: bool = False) -> tuple[Path, ...]:
    """The outputs as absolute paths, if layers about the file `source` may be written there.

    OptionError for a name of no known kind or one given twice; OutputError for a folder that is not there or one that
    cannot be written, a directory of the name, and where the scene itself would be replaced.
    RuntimeUnavailableError where a kind needs a library that is not installed.
    """
    if not paths:
        raise OptionError(f"out names no file; give one that ends in {' '.join(KINDS)}")
    found = []
    for given in paths:
        path = Path(os.path.abspath(os.fspath(given)))
        if path.suffix.lower() not in KINDS or path.name == path.suffix:
            raise OptionError(f"out={str(given)!r} is of no known kind; give a name that ends in {' '.join(KINDS)}")
        if path in found:
            raise OptionError(f"out={str(given)!r} is given twice; give each output once")
        _check_place(path, source)
        _check_libraries(path.suffix.lower())
        found.append(path)
    if page:
        page_beside(found[0])
    return tuple(found)


def _check_place(path: Path, source: Path) -> None:
    what = f"out={str(path)!r}"
    if not path.parent.is_dir():
        raise OutputError(f"{what}: {str(path.parent)!r} is no folder; make it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{what}: {str(path.parent)!r} cannot be written; choose another place")
    if path.is_dir():
        raise OutputError(f"{what} is a directory; give the name of a file")
    with contextlib.suppress(FileNotFoundError):
        if path.samefile(source):
            raise OutputError(f"{what} is the scene itself; choose another name")


def _check_libraries(suffix: str) -> None:
    if suffix in (".gpkg", ".fgb"):
        load_pyogrio()
    elif suffix == ".parquet":
        from .parquet import load_pyarrow

        load_pyarrow()
    elif suffix in (".tif", ".png"):
        from ...rasters.extra import load_rasterio

        load_rasterio()


def publish(
    paths: Sequence[Path],
    layer: Layer,
    features: Iterable[Feature],
    windows: Iterable[WindowFeature],
    ids: bool,
    raster: Raster | None = None,
) -> tuple[Path, ...]:
    """Write every output and a STAC item beside each; returns the paths of all, outputs first.

    With `raster`, the scene, also a page beside the first output.

    Features are taken once, a few thousand at a time. OutputError leaves earlier files as they were, and nothing else.
    What a process that was killed here left aside is removed: whoever publishes holds the ledger of `paths[0]`.
    """
    token = uuid.uuid5(uuid.NAMESPACE_OID, os.fsdecode(paths[0])).hex
    _remove_asides(paths, token)
    asides = {path: _aside(path, token) for path in paths}
    try:
        writers = [_writer(path, aside, layer, ids) for path, aside in asides.items()]
        if raster is not None:
            shown = page_beside(paths[0])
            writers.append(Page(_aside(shown, token), layer, raster))
        rest = iter(features)
        while chunk := list(islice(rest, _CHUNK)):
            for writer in writers:
                writer.add(chunk)
        for writer in writers:
            writer.finish(windows)
        asides |= {**_sidecars(paths, layer, token), **_items(paths, asides, layer, token)}
        asides |= {} if raster is None else {shown: _aside(shown, token)}
        _exchange(asides)
    finally:
        _remove_asides(paths, token)
    return tuple(asides)


def _remove_asides(paths: Sequence[Path], token: str) -> None:
    for folder in {path.parent for path in paths}:
        for left in folder.glob(f".*{token}.partial*"):
            with contextlib.suppress(OSError):
                left.unlink()


def _aside(path: Path, token: str) -> Path:
    return path.with_name(f".{path.stem}.{token}.partial{path.suffix}")


def _writer(path: Path, aside: Path, layer: Layer, ids: bool) -> LayerWriter:
    suffix = path.suffix.lower()
    if suffix == ".gpkg":
        return Gpkg(aside, layer)
    if suffix == ".geojson":
        return GeoJson(aside, layer)
    if suffix == ".fgb":
        from .flatgeobuf import FlatGeobuf

        return FlatGeobuf(aside, layer)
    if suffix == ".parquet":
        from .parquet import Parquet

        return Parquet(aside, layer)
    from .mask import MaskCog, MaskPng

    return MaskPng(aside, layer, ids) if suffix == ".png" else MaskCog(aside, layer, ids)


def check_picture(paths: Sequence[Path], size_px: tuple[int, int], ids: bool) -> None:
    """OptionError where a .png is asked for what it cannot hold."""
    for path in paths:
        if path.suffix.lower() == ".png" and (ids or size_px[0] * size_px[1] > limits.MAX_IMAGE_PIXELS):
            raise OptionError(
                f"out={path.name!r}: a PNG holds classes alone, of {limits.MAX_IMAGE_PIXELS} px at most; give a .tif"
            )


def _sidecars(paths: Sequence[Path], layer: Layer, token: str) -> dict[Path, Path]:
    """The world file and the .prj of each PNG, made aside."""
    from .mask import prj_file, world_file

    found = {}
    for path in paths if layer.place.map is not None else ():
        for suffix, text in ((".pgw", world_file(layer.place)), (".prj", prj_file(layer.place))):
            if path.suffix.lower() == ".png" and text is not None:
                beside = path.with_suffix(suffix)
                aside = _aside(beside, token)
                try:
                    aside.write_text(text, "ascii", "backslashreplace")
                except OSError as error:
                    raise cannot_write(beside, error) from None
                found[beside] = aside
    return found


def _items(paths: Sequence[Path], asides: dict[Path, Path], layer: Layer, token: str) -> dict[Path, Path]:
    """A STAC item for each output, made aside."""
    from .stac import item_of

    found = {}
    for path in paths:
        item = path.with_name(path.name + ".stac.json")
        aside = path.with_name(f".{path.name}.{token}.partial.stac.json")
        try:
            aside.write_bytes(item_of(path, asides[path], layer))
        except OSError as error:
            raise cannot_write(item, error) from None
        found[item] = aside
    return found


def _exchange(asides: dict[Path, Path]) -> None:
    """Every file to its name, on the disk before and after."""
    for path, aside in asides.items():
        try:
            with aside.open("rb") as stream:
                os.fsync(stream.fileno())
        except OSError as error:
            raise cannot_write(path, error) from None
    for path, aside in asides.items():
        try:
            os.replace(aside, path)
        except OSError as error:
            raise cannot_write(path, error) from None
    for folder in {path.parent for path in asides}:
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
