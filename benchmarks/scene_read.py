"""Layers as a GIS reads them, for `scene_judge`: shapes in the scene's CRS, and what is wrong with the file itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyogrio.raw
import pyproj
import shapely
from numpy.typing import NDArray

from .scene_mosaics import Mosaic, Shapes

Points = NDArray[np.float64]


class Layer(NamedTuple):
    """`shapes` in the scene's CRS, `valid` in the file, `areas_m2` as told or None, and `problems` by check."""

    shapes: Shapes
    valid: NDArray[np.bool_]
    areas_m2: NDArray[np.float64] | None
    problems: dict[str, str]


def read(path: Path, mosaic: Mosaic, layer: str = "objects", phrase: str | None = None) -> Layer:
    """The objects of a .gpkg or .geojson; of one phrase alone where it is given."""
    if path.suffix == ".gpkg":
        return _geopackage(path, mosaic, layer, phrase)
    document = json.loads(path.read_text("utf-8"))
    problems = {"rfc7946": "; ".join(sorted(rfc7946(document)))}
    features = [one for one in document.get("features", []) if one.get("geometry")]
    features = [one for one in features if phrase in (None, one["properties"].get("phrase"))]
    found = _objects([shapely.geometry.shape(one["geometry"]) for one in features])
    told = [one["properties"].get("area_m2") for one in features]
    lonlat = pyproj.Transformer.from_crs(mosaic.crs, 4326, always_xy=True)
    middle = lonlat.transform(*(mosaic.transform @ (mosaic.width_px / 2, mosaic.height_px / 2)))[0]

    def back(points: Points) -> Points:  # longitudes on the scene's side of the antimeridian
        x = points[:, 0] + 360 * np.round((middle - points[:, 0]) / 360)
        return np.column_stack(lonlat.transform(x, points[:, 1], direction="INVERSE"))

    return Layer(shapely.transform(found, back), _good(found), None if None in told else np.array(told), problems)


def _geopackage(path: Path, mosaic: Mosaic, layer: str, phrase: str | None) -> Layer:
    meta, _, data, columns = pyogrio.raw.read(path, layer=layer)
    names = list(meta["fields"])
    keep = np.ones(len(data), np.bool_) if phrase is None else columns[names.index("phrase")] == phrase
    found = shapely.from_wkb(data)[keep]
    crs, right = meta["crs"] and pyproj.CRS(meta["crs"]), pyproj.CRS(mosaic.crs)
    same = bool(crs) and crs.equals(right, ignore_axis_order=True)
    areas = columns[names.index("area_m2")][keep] if "area_m2" in names else None
    problem = "" if same else f"its CRS is {crs and crs.name!r}, the scene's is {right.name!r}"
    return Layer(found, _good(found), areas, {"crs": problem})


def _objects(some: list[Any]) -> Shapes:
    out = np.empty(len(some), object)
    out[:] = some
    return out


def _good(some: Shapes) -> NDArray[np.bool_]:
    kinds = ("Polygon", "MultiPolygon")
    good = [one is not None and one.is_valid and not one.is_empty and one.geom_type in kinds for one in some]
    return np.array(good, np.bool_)


def rfc7946(document: Any) -> set[str]:
    """Every way in which a document is no RFC 7946 collection of polygons, with the section that says so."""
    if not isinstance(document, dict) or document.get("type") != "FeatureCollection":
        return {"not a FeatureCollection (3.3)"}
    members = ("crs", "coordinates", "geometries", "geometry", "properties")
    wrong = {f"member {name!r} at the top (4, 7.1)" for name in members if name in document}
    for feature in document.get("features", []):
        if feature.get("type") != "Feature" or not {"properties", "geometry"} <= set(feature):
            wrong.add("a feature lacks its type, properties or geometry (3.2)")
        shape = feature.get("geometry") or {"type": "Polygon", "coordinates": []}
        if shape["type"] not in ("Polygon", "MultiPolygon"):
            wrong.add(f"a geometry is a {shape['type']}")
            continue
        for polygon in [shape["coordinates"]] if shape["type"] == "Polygon" else shape["coordinates"]:
            for number, ring in enumerate(polygon):
                if told := _ring(np.array([one[:2] for one in ring], np.float64).reshape(-1, 2), number == 0):
                    wrong.add(told)
    return wrong


def _ring(points: Points, outer: bool) -> str | None:
    from_first = points - points[:1]
    if len(points) < 4 or from_first[-1].any():
        return "a ring is open or has fewer than four positions (3.1.6)"
    if not np.isfinite(points).all() or (abs(points) > [180, 90]).any():
        return "a position is no longitude and latitude (4)"
    if (abs(np.diff(points[:, 0])) > 180).any():
        return "a ring crosses the antimeridian uncut (3.1.9)"
    before, after = from_first[:-1], from_first[1:]
    counterclockwise = (before[:, 0] * after[:, 1] - after[:, 0] * before[:, 1]).sum() > 0
    return None if counterclockwise == outer else "a ring breaks the right-hand rule (3.1.6)"
