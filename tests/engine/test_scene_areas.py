"""Scenes asked in an area of interest alone: of any vector file, in any CRS."""

from __future__ import annotations

import json
import threading
import warnings
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import pytest
import shapely
from rasterio import Affine

from geopixel_edge.errors import OptionError
from geopixel_edge.rasters.area import read_area
from geopixel_edge.rasters.crs import transformed, transformer
from geopixel_edge.scenes.windows import Grid

from ..support.scene_jobs import OVERLAP, UTM, WINDOW, run, write_scene
from ..support.scene_truths import truth_of

Ring = list[tuple[float, float]]

# In pixels of the scene: a triangle, and a bow tie that crosses itself.
TRIANGLE: Ring = [(30, 20), (200, 40), (60, 210), (30, 20)]
BOW_TIE: Ring = [(20, 20), (150, 20), (20, 120), (150, 120), (20, 20)]


def write_area(path: Path, ring: Ring, crs: str, driver: str, kind: str = "Polygon") -> None:
    there = np.column_stack(UTM[1] @ np.array(ring, np.float64).T)
    points = transformed(transformer(UTM[0], crs), there)
    shape = shapely.polygons(points) if kind == "Polygon" else shapely.linestrings(points)
    data = np.array([shapely.to_wkb(shape)], object)
    pyogrio.raw.write(path, data, [], np.array([], object), crs=crs, geometry_type=kind, driver=driver)


@pytest.mark.parametrize(
    ("name", "crs", "driver"),
    [
        ("aoi.geojson", "EPSG:4326", "GeoJSON"),
        ("aoi.gpkg", "EPSG:3857", "GPKG"),
        ("aoi.fgb", "EPSG:32639", "FlatGeobuf"),
        ("aoi.shp", "EPSG:32640", "ESRI Shapefile"),
    ],
)
@pytest.mark.parametrize("ring", [TRIANGLE, BOW_TIE], ids=["triangle", "bow-tie"])
def test_only_windows_and_objects_that_meet_the_area_count(
    ring: Ring, name: str, crs: str, driver: str, tmp_path: Path
) -> None:
    masks = write_scene(tmp_path / "s.tif", 380, 330, seed=6)
    write_area(tmp_path / name, ring, crs, driver)
    found = run(tmp_path / "s.tif", tmp_path / "o.geojson", aoi=tmp_path / name)
    area = shapely.make_valid(shapely.polygons(ring))
    grid = Grid(380, 330, WINDOW, OVERLAP)
    boxes = [shapely.box(x, y, x + w, y + h) for x, y, w, h in map(grid.box, range(len(grid)))]
    meeting = sum(bool(area.intersects(box)) for box in boxes)
    assert found.windows - found.empty == meeting < len(grid) - 1
    for phrase, mask in masks.items():
        inside = {part.box for part in truth_of(mask) if covers(part.box, mask, area)}
        assert {one.bbox for one in found.objects if one.phrase == phrase} >= {
            box for box in inside if max(box[2:]) <= OVERLAP - 8
        }
    assert all(shapely.box(x, y, x + w, y + h).intersects(area) for x, y, w, h in (one.bbox for one in found.objects))
    assert json.loads((tmp_path / "o.geojson").read_text("utf-8"))["geopixel_edge"]["record"]["aoi_file"] == name


def covers(box: tuple[int, int, int, int], mask: np.ndarray, area: Any) -> bool:
    x, y, w, h = box
    rows, columns = np.nonzero(mask[y : y + h, x : x + w])
    return bool(shapely.contains_xy(area, columns + x + 0.5, rows + y + 0.5).any())


def test_another_area_is_another_job(tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 380, 330)
    write_area(tmp_path / "aoi.geojson", TRIANGLE, "EPSG:4326", "GeoJSON")
    run(tmp_path / "s.tif", tmp_path / "o.geojson", aoi=tmp_path / "aoi.geojson", keep_job=True)
    with pytest.raises(OptionError, match=r"aoi was .*--restart"):
        run(tmp_path / "s.tif", tmp_path / "o.geojson")


def test_a_scene_across_the_antimeridian_meets_an_area_on_either_side(tmp_path: Path) -> None:
    where = ("EPSG:4326", Affine(1e-5, 0, 179.9985, 0, -1e-5, -17.0))
    write_scene(tmp_path / "s.tif", 300, 200, where=where)
    for west, windows in ((-179.9990, "right"), (179.9986, "left")):
        box = shapely.box(west, -17.002, west + 2e-4, -17.0)
        (tmp_path / "aoi.geojson").write_text(shapely.to_geojson(box))
        found = run(tmp_path / "s.tif", tmp_path / f"{windows}.geojson", aoi=tmp_path / "aoi.geojson")
        assert 0 < found.windows - found.empty < found.windows


def bad_area(kind: str, folder: Path) -> Path:
    path = folder / "aoi.geojson"
    if kind == "line":
        write_area(path, TRIANGLE, "EPSG:4326", "GeoJSON", "LineString")
    elif kind == "elsewhere":
        write_area(path, [(x + 90_000, y) for x, y in TRIANGLE], "EPSG:4326", "GeoJSON")
    elif kind == "flat":
        write_area(path, [(10, 10), (20, 20), (10, 10), (10, 10)], "EPSG:4326", "GeoJSON")
    elif kind == "vrt":
        path.write_text(
            '<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>/etc/passwd</SrcDataSource></OGRVRTLayer>'
        )
    elif kind == "no crs":
        path = folder / "aoi.fgb"
        data = np.array([shapely.to_wkb(shapely.box(0, 0, 1, 1))], object)
        pyogrio.raw.write(path, data, [], np.array([], object), geometry_type="Polygon", driver="FlatGeobuf")
    elif kind == "two layers":
        path = folder / "aoi.gpkg"
        data = np.array([shapely.to_wkb(shapely.box(0, 0, 1, 1))], object)
        for layer in "ab":
            how: dict[str, Any] = {"crs": "EPSG:4326", "geometry_type": "Polygon", "driver": "GPKG"}
            pyogrio.raw.write(path, data, [], np.array([], object), layer=layer, append=layer == "b", **how)
    elif kind == "another database":
        path = folder / "aoi.gpkg"
        path.write_bytes(b"SQLite format 3\0" + bytes(1024))
    elif kind == "damaged":
        path.write_text('{"type": "FeatureCollection", "features": [')
    return path


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("line", "LineString"),
        ("elsewhere", "nothing in common"),
        ("flat", "covers nothing"),
        ("vrt", "no known kind"),
        ("no crs", "has no CRS"),
        ("two layers", "2 layers"),
        ("another database", "no known kind"),
        ("damaged", "cannot be read"),
        ("missing", "that is there"),
    ],
)
def test_an_area_that_cannot_be_used_is_told_before_anything_is_asked(kind: str, told: str, tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 200, 180)
    path = bad_area(kind, tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OptionError, match=told):
        run(tmp_path / "s.tif", tmp_path / "o.geojson", aoi=path)
    assert sorted(tmp_path.iterdir()) == before


def test_an_area_needs_a_scene_with_a_place(tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 200, 180, where=None)
    write_area(tmp_path / "aoi.geojson", TRIANGLE, "EPSG:4326", "GeoJSON")
    with pytest.raises(OptionError, match="the scene has no place"):
        run(tmp_path / "s.tif", tmp_path / "o.geojson", aoi=tmp_path / "aoi.geojson")
    assert read_area(tmp_path / "aoi.geojson").shape.area > 0


def geojson(path: Path, crs: object = None, points: Ring | None = None) -> Path:
    """A collection of one polygon over the scene; `crs` is its member of that name."""
    ring = points or [(54.0, 24.0), (55.0, 24.0), (55.0, 25.0), (54.0, 25.0), (54.0, 24.0)]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    features = [{"type": "Feature", "properties": {"a": None}, "geometry": one} for one in (None, geometry)]
    collection: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    path.write_text(json.dumps(collection if crs is None else {**collection, "crs": crs}), "utf-8")
    return path


def test_no_address_that_an_area_names_is_asked_for(tmp_path: Path) -> None:
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/crs"
        for kind, properties, told in (
            ("link", {"href": url, "type": "proj4"}, "names no CRS"),
            ("url", {"url": url}, "names no CRS"),
            ("name", {"name": url}, "is no coordinate reference system"),
        ):
            path = geojson(tmp_path / "aoi.geojson", {"type": kind, "properties": properties})
            with pytest.raises(OptionError, match=rf"aoi=.*{told}"):
                read_area(path)
        server.shutdown()
    assert not asked


@pytest.mark.parametrize(
    ("name", "told"),
    [("EPSG:999999", "is no coordinate reference system"), ("EPSG:5773", "no horizontal"), (7, "names no CRS")],
)
def test_a_crs_that_is_none_is_not_taken_for_wgs84(name: object, told: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=rf"aoi=.*{told}"):
        read_area(geojson(tmp_path / "aoi.geojson", {"type": "name", "properties": {"name": name}}))
    plain = geojson(tmp_path / "plain.geojson")
    assert read_area(plain).shape.bounds == (54, 24, 55, 25)
    plain.write_text(plain.read_text("utf-8").replace("{", '{"crs": null, ', 1), "utf-8")
    with pytest.raises(OptionError, match="has no CRS"):
        read_area(plain)


def test_rings_that_are_none_are_told_in_one_line_and_nothing_is_printed(tmp_path: Path) -> None:
    open_ring: Ring = [(54.0, 24.0), (55.0, 24.0), (55.0, 25.0), (54.0, 25.0)]
    paths = [geojson(tmp_path / "open.geojson", points=open_ring), tmp_path / "open.shp", tmp_path / "deep.geojson"]
    write_area(tmp_path / "open.shp", TRIANGLE, "EPSG:4326", "ESRI Shapefile")
    data = bytearray((tmp_path / "open.shp").read_bytes())
    data[-8:] = b"\0\0\0\0\0\0\xf8\x7f"  # the last coordinate, NaN: the ring does not end where it began
    (tmp_path / "open.shp").write_bytes(data)
    paths[2].write_text('{"type": "Polygon", "coordinates": ' + "[" * 100_000 + "]" * 100_000 + "}")
    (tmp_path / "esri.geojson").write_text('{"geometryType": "esriGeometryPolygon", "features": []}')
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in (*paths, tmp_path / "esri.geojson"):
            with pytest.raises(OptionError, match=r"aoi=.*(damaged|finite)"):
                read_area(path)
