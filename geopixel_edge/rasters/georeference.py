"""Where an open dataset is, from what GDAL found in the file and beside it."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ..errors import GeoReferenceError, OptionError
from .pixel_map import Affine, Gcps, PixelMap, Rpc
from .place import Place, make_place

_MAX_PRJ_BYTES = 65_536
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # what rasterio gives where a file has no transform


@dataclass(frozen=True)
class Ground:
    """What a sensor's rational polynomials lay the picture on: ground at `height_m`, or a height model's file `dem`.

    Heights are metres above the ellipsoid. None in both: the height that the polynomials are about.
    """

    height_m: float | None = None
    dem: str | None = None


def place_of(dataset: Any, path: Path, what: str, notes: list[str], ground: Ground | None = None) -> Place:
    """The place of an open rasterio dataset: its transform, else its control points, else its polynomials.

    A CRS that cannot be read is left out with a note. GeoReferenceError for a map that places nothing and for a .prj
    beside a world file that is no CRS.
    """
    size = (int(dataset.width), int(dataset.height))
    numbers = tuple(float(value) for value in dataset.transform[:6])
    points, of_points = dataset.gcps
    pixel_map: PixelMap | None
    if numbers != _IDENTITY:
        pixel_map, crs = Affine(*numbers), _wkt(dataset.crs, notes) or _prj_beside(path, what)
    elif points:
        pixel_map = Gcps(tuple((float(one.col), float(one.row), float(one.x), float(one.y)) for one in points))
        crs = _wkt(of_points or dataset.crs, notes)
    elif dataset.rpcs is not None:
        pixel_map, crs = _on_ground(_rpc(dataset.rpcs, what), ground, what), "EPSG:4326"
    else:
        pixel_map, crs = None, None
    if ground is not None and not isinstance(pixel_map, Rpc):
        name = "dem" if ground.dem else "rpc_height"
        raise OptionError(f"{name}: {what} has no rational polynomials that heights matter to; leave it out")
    place = make_place(size, pixel_map, crs, what)
    used = place.operation()
    if used is not None and used.ballpark:
        notes.append(
            f"the datum of its CRS has no known shift to WGS84: longitudes and latitudes may be off ({used.name})"
        )
    if place.georeferencing == "gcps":
        residual = "" if place.residual_px is None else f", which miss it by {place.residual_px:.2g} px (RMS)"
        notes.append(f"placed approximately, by {len(points)} ground control points{residual}")
    if isinstance(pixel_map, Rpc):
        if pixel_map.dem is not None:
            from .height_model import check_height_model

            check_height_model(place, pixel_map, pixel_map.dem, what)
        where = "a height model" if pixel_map.dem else f"flat ground at {pixel_map.height_m:g} m"
        notes.append(f"placed approximately, by rational polynomials on {where}")
    return place


def _on_ground(rpc: Rpc, ground: Ground | None, what: str) -> Rpc:
    if ground is None:
        return rpc
    height_m = rpc.height_m if ground.height_m is None else ground.height_m
    if ground.dem is None:
        return msgspec.structs.replace(rpc, height_m=height_m)
    from .height_model import height_model

    return msgspec.structs.replace(rpc, height_m=height_m, dem=height_model(ground.dem))


def _wkt(crs: Any, notes: list[str]) -> str | None:
    """WKT2 of a rasterio CRS; None, with a note, where there is no text of it that pyproj reads."""
    if not crs:
        return None
    from .crs import wkt_of

    text = wkt_of(crs)
    if text is None:
        notes.append("its CRS cannot be read and was left out")
    return text


def _prj_beside(path: Path, what: str) -> str | None:
    """The text of the .prj beside a world file, where both are there."""
    if world_file(path) is None:
        return None
    for beside in (path.with_suffix(".prj"), path.with_suffix(".PRJ")):
        try:
            if not stat.S_ISREG(beside.stat().st_mode):
                continue
            with beside.open("rb") as stream:
                data = stream.read(_MAX_PRJ_BYTES + 1)
        except OSError:
            continue
        text = data.decode("utf-8-sig", "replace").strip("\0 \r\n\t")
        if text:
            from .crs import horizontal_wkt

            try:
                return horizontal_wkt(text)
            except GeoReferenceError:
                raise GeoReferenceError(
                    f"{what}: {beside.name!r} beside it is no CRS; write WKT into it, or remove it"
                ) from None
    return None


def world_file(path: Path) -> Path | None:
    """The world file beside an image, under one of the names that GDAL looks for; None without one."""
    extension = path.suffix.lstrip(".")
    if not extension:
        return None
    endings = (f"{extension[0]}{extension[-1]}w", f"{extension}w", "wld")
    for ending in endings:
        for name in (ending, ending.lower(), ending.upper()):
            beside = path.with_suffix("." + name)
            if beside.is_file():
                return beside
    return None


def _rpc(rpcs: Any, what: str) -> Rpc:
    values = {**rpcs.to_dict(), "kind": "rpc", "height_m": rpcs.height_off}
    try:
        found = msgspec.convert(values, Rpc)
    except msgspec.ValidationError:
        raise GeoReferenceError(f"{what}: its rational polynomials are incomplete; correct or remove them") from None
    lengths = {
        len(found.line_num_coeff),
        len(found.line_den_coeff),
        len(found.samp_num_coeff),
        len(found.samp_den_coeff),
    }
    if lengths != {20}:
        raise GeoReferenceError(f"{what}: its rational polynomials need 20 coefficients each; correct or remove them")
    return found
