"""An area of interest from a vector file, in a CRS of its own: which outlines of a scene meet it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..errors import GeoReferenceError, OptionError
from . import crs as systems
from .extra import load_pyogrio, load_shapely
from .lonlat import unwrapped
from .place import Place
from .problems import printable
from .quiet import no_warnings

# First bytes of the files that GDAL reads: other drivers, such as VRT, follow paths and URLs that a file names. So does
# that of GeoJSON, with a `crs` that is a link: such text is read here.
_HEADS = (b"SQLite format 3\0", b"fgb\3", b"\0\0\x27\x0a")
_GPKG, _AT = (b"GPKG", b"GP10", b"GP11"), 68  # a GeoPackage's application id
_KINDS = "GeoJSON, GeoPackage, FlatGeobuf or shapefile"


class _NamedCrs(msgspec.Struct):
    type: Literal["name"]
    properties: dict[str, str]


class _Feature(msgspec.Struct):
    type: Literal["Feature"]
    geometry: msgspec.Raw


class _Document(msgspec.Struct):
    """What is read of a GeoJSON file: a collection, a feature, or a geometry."""

    type: str
    crs: Any = msgspec.field(default_factory=lambda: {"type": "name", "properties": {"name": systems.WGS84}})
    features: list[_Feature] = []
    geometry: msgspec.Raw = msgspec.Raw(b"null")


@dataclass(frozen=True, eq=False)
class Area:
    """One shape of polygons in the CRS `wkt`."""

    wkt: str
    shape: Any  # shapely, prepared

    def meets(self, place: Place, rings: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of closed outlines (k, n, 2) in pixel edges of a scene share a point with the area, bool (k,).

        An outline that the area's CRS does not reach is taken to.
        """
        shapely, (count, corners, _) = load_shapely(), rings.shape
        assert place.wkt is not None
        way = systems.transformer(place.wkt, self.wkt)
        there = systems.transformed(way, place.to_crs(rings.reshape(-1, 2))).reshape(count, corners, 2)
        known = np.asarray(np.isfinite(there.reshape(count, -1)).all(axis=1))
        found = np.logical_not(known)
        if systems.crs_of(self.wkt).is_geographic:  # around the globe an outline has several names
            whole = [unwrapped(ring) for ring in there[known]]
            shapes = np.array([shapely.polygons(ring) for ring in whole], object)
            hits = np.zeros(len(shapes), np.bool_)
            for turn in (-360.0, 0.0, 360.0):
                moved = shapely.transform(shapes, lambda points, by=turn: points + np.array([by, 0.0]))
                hits |= shapely.intersects(self.shape, moved)
            found[known] = hits
        else:
            found[known] = shapely.intersects(self.shape, shapely.polygons(there[known]))
        return found


def read_area(path: Path) -> Area:
    """The polygons of a vector file as one shape; what crosses itself is made valid.

    OptionError, which names `aoi`, for a file that is not there or of no known kind, without a CRS, with several
    layers, or with other shapes than polygons.
    """
    what = f"aoi={printable(str(path))!r}"
    is_text = _check_file(path, what)
    shapely, pyogrio = load_shapely(), load_pyogrio()
    broken = (
        *(pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, pyogrio.errors.GeometryError),
        *(shapely.errors.GEOSException, msgspec.DecodeError, RecursionError, OSError, ValueError),
    )
    try:
        with no_warnings():
            crs, shapes = _of_geojson(path, what) if is_text else _by_gdal(path, what)
            whole = _one_shape(shapely, shapes, what)
    except broken:
        raise OptionError(f"{what} cannot be read; is it damaged? give {_KINDS}") from None
    if not crs:
        raise OptionError(f"{what} has no CRS; give a file that says what its coordinates are")
    try:
        return Area(systems.horizontal_wkt(crs), whole)
    except GeoReferenceError as error:
        raise OptionError(f"{what}: {error}") from None


def _by_gdal(path: Path, what: str) -> tuple[str | None, Any]:
    """CRS and shapes of the one layer of a file."""
    pyogrio, shapely = load_pyogrio(), load_shapely()
    layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind]
    if len(layers) != 1:
        raise OptionError(f"{what} has {len(layers)} layers of shapes; give a file with one")
    meta, _, data, _ = pyogrio.raw.read(path, layer=layers[0], columns=[], force_2d=True)
    return meta["crs"], shapely.from_wkb([one for one in data if one is not None])


def _of_geojson(path: Path, what: str) -> tuple[str | None, Any]:
    """CRS and shapes of a GeoJSON file: WGS84 unless it names another, as files before RFC 7946 may."""
    text = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    document = msgspec.json.decode(text, type=_Document)
    if document.type in ("Feature", "FeatureCollection"):
        features = document.features if document.type == "FeatureCollection" else [document]
        texts = [bytes(one.geometry) for one in features if bytes(one.geometry) != b"null"]
    else:
        texts = [text]
    try:
        name = document.crs and msgspec.convert(document.crs, _NamedCrs).properties["name"]
    except (msgspec.ValidationError, KeyError):
        raise OptionError(
            f"{what}: its member `crs` names no CRS; give a name such as 'EPSG:32640' there, or leave `crs` out"
        ) from None
    return name, load_shapely().from_geojson(texts)


def _check_file(path: Path, what: str) -> bool:
    """Whether the file is text, GeoJSON then."""
    try:
        if not path.is_file() or path.stat().st_size > limits.MAX_AREA_BYTES:
            raise OptionError(f"{what} is no file of at most {limits.MAX_AREA_BYTES} bytes that is there")
        with path.open("rb") as stream:
            head = stream.read(128)
    except OSError as error:
        raise OptionError(f"{what} cannot be read ({error.strerror}); correct its permissions") from None
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    known = head.startswith(_HEADS) or text.startswith(b"{")
    if not known or (head.startswith(b"SQLite") and not head.startswith(_GPKG, _AT)):
        raise OptionError(f"{what} is of no known kind; give {_KINDS}")
    return not head.startswith(_HEADS)


def _one_shape(shapely: Any, shapes: Any, what: str) -> Any:
    kinds = {str(shape.geom_type) for shape in shapes if not shape.is_empty}
    if others := sorted(kinds - {"Polygon", "MultiPolygon"}):
        raise OptionError(f"{what} holds a {others[0]}; give polygons alone")
    if not kinds or not np.isfinite(shapely.get_coordinates(shapes)).all():
        raise OptionError(f"{what} holds no polygon of finite coordinates; give one that does")
    whole = shapely.union_all(shapely.make_valid(shapes))
    if not whole.area > 0:
        raise OptionError(f"{what} covers nothing; give a polygon with an area")
    shapely.prepare(whole)
    return whole
