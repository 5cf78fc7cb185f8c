"""What stands in the files of a scene's layers beside its objects, and layers of scenes that no affine map places."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio import Affine

from geopixel_edge.masks import Mask
from geopixel_edge.scenes.asking import Answered
from geopixel_edge.scenes.views import Found

from ..support.geo_fixtures import FIXTURES, FOLDER, block, crs_of
from ..support.scene_jobs import PLANE, SHIP, UTM, run, write_scene
from ..support.scene_oracle import TruthAsker

STANDARD = {-1, 0, 4326}  # the systems that every GeoPackage lists


@pytest.mark.parametrize(
    ("where", "srs"),
    [(UTM, 32640), (("EPSG:4326", Affine(5e-6, 0, 54.3, 0, -4.5e-6, 24.51)), 4326), (None, -1)],
    ids=["utm", "degrees", "nowhere"],
)
def test_a_geopackage_has_an_index_and_one_system_of_its_own(
    where: tuple[str, Affine] | None, srs: int, tmp_path: Path
) -> None:
    write_scene(tmp_path / "s.tif", 200, 180, where=where)
    found = run(tmp_path / "s.tif", tmp_path / "o.gpkg")
    with closing(sqlite3.connect(tmp_path / "o.gpkg")) as base:

        def rows(text: str) -> list[tuple[object, ...]]:
            return base.execute(text).fetchall()

        assert {one for (one,) in rows("SELECT srs_id FROM gpkg_spatial_ref_sys")} == {*STANDARD, srs}
        geometry = "SELECT table_name, srs_id, geometry_type_name FROM gpkg_geometry_columns ORDER BY 1"
        assert rows(geometry) == [("objects", srs, "MULTIPOLYGON"), ("windows", srs, "POLYGON")]
        contents = "SELECT table_name, srs_id FROM gpkg_contents WHERE data_type = 'features' ORDER BY 1"
        assert rows(contents) == [("objects", srs), ("windows", srs)]
        indexed = "SELECT table_name FROM gpkg_extensions WHERE extension_name = 'gpkg_rtree_index' ORDER BY 1"
        assert rows(indexed) == [("objects",), ("windows",)]
        assert rows("SELECT count(*) FROM rtree_objects_geom") == [(len(found.objects),)]
        assert rows("SELECT count(*) FROM rtree_windows_geom") == [(found.windows,)]
        # Of each geometry itself: the header of its blob tells its system, too.
        heads = rows("SELECT geom FROM objects") + rows("SELECT geom FROM windows")
        order = {bytes(blob)[3] & 1 for (blob,) in heads}  # type: ignore[call-overload]
        assert order == {1}  # little-endian
        told = {int.from_bytes(bytes(blob)[4:8], "little", signed=True) for (blob,) in heads}  # type: ignore[call-overload]
        assert told == {srs}


@pytest.mark.parametrize("ids", [False, True])
def test_overviews_of_a_mask_hold_only_values_that_are_there(ids: bool, tmp_path: Path) -> None:
    side = 1_024
    write_scene(tmp_path / "s.tif", side, side, seed=5)
    with rasterio.open(tmp_path / "s.tif", "r+") as file:  # one of each side by side, within pixels of the overview
        for x, y, colour in ((101, 1, SHIP), (111, 801, PLANE)):  # ids go by y: these are far from each other
            strip = np.broadcast_to(np.array(colour, np.uint8)[:, None, None], (3, 861 - y, 10))
            file.write(strip, window=rasterio.windows.Window(x, y, 10, 861 - y))
    found = run(tmp_path / "s.tif", tmp_path / "o.tif", ids=ids, window=512, overlap=128)
    with rasterio.open(tmp_path / "o.tif") as cog:
        levels, whole = cog.overviews(1), cog.read(1)
        assert set(np.unique(whole).tolist()) == {0, *(range(1, len(found.objects) + 1) if ids else (1, 2))}
        assert cog.nodata == 0
    assert levels
    for level, every in enumerate(levels):
        with rasterio.open(tmp_path / "o.tif", overview_level=level) as overview:
            small = overview.read(1)
        under = whole.reshape(side // every, every, side // every, every)
        assert (under == small[:, None, :, None]).any(axis=(1, 3)).all()
        assert small.any()


class Region(TruthAsker):
    """Sees the region of a fixture, which one window shows whole."""

    def __init__(self, mask: Mask) -> None:
        super().__init__({"ships": (0, 0, 0)})
        self._mask = mask

    def ask(self, windows: Sequence[NDArray[np.uint8]], phrases: Sequence[str], describe: bool) -> list[Answered]:
        return [Answered((("ships", Found(self._mask, 0.9)),)) for _ in windows]


@pytest.mark.parametrize("name", ["gcps_1.tif", "rpc_1.tif", "local_engineering_1.tif"])
def test_layers_of_scenes_without_an_affine_map_to_degrees(name: str, tmp_path: Path) -> None:
    entry = FIXTURES[name]
    region, size = entry["region"], (entry["width"], entry["height"])
    outs = [tmp_path / "o.gpkg", tmp_path / "o.geojson"]
    found = run(FOLDER / name, outs, Region(block(size, tuple(region["bbox_px"]))), phrases=["ships"])
    assert [one.bbox for one in found.objects] == [tuple(region["bbox_px"])]
    meta, _, data, columns = pyogrio.raw.read(outs[0], layer="objects")
    there, right = shapely.from_wkb(data[0]), shapely.Polygon(region["crs_corners"])
    pixel = math.sqrt(right.area / pixels_of(region))
    ring = shapely.get_coordinates(there)
    for corner in region["crs_corners"]:
        assert np.linalg.norm(ring - corner, axis=1).min() <= region["tol_px"] * pixel
    assert shapely.hausdorff_distance(there, right) <= (0.5 if entry["georef"] == "gcps" else 0.05) * pixel
    assert rasterio.crs.CRS.from_user_input(meta["crs"]) == rasterio.crs.CRS.from_user_input(crs_of(entry))
    told = dict(zip(meta["fields"], columns, strict=True))
    document = json.loads(outs[1].read_text("utf-8"))
    record = json.loads(pyogrio.read_info(outs[0], layer="objects")["dataset_metadata"]["geopixel_edge"])
    assert record["approximate"] == (entry["georef"] != "transform")
    shown = shapely.geometry.shape(document["features"][0]["geometry"])
    if "geojson" not in region:  # an engineering system: in pixels, and it says so
        assert math.isnan(told["area_m2"][0])
        assert document["geopixel_edge"]["georeferenced"] is False
        x, y, w, h = region["bbox_px"]
        assert shown.bounds == (x, y, x + w, y + h)
    else:
        assert told["area_m2"][0] == pytest.approx(region["area_m2"], rel=0.02)
        lonlat = shapely.geometry.shape(region["geojson"])
        assert shapely.hausdorff_distance(shown, lonlat) <= 0.5 * math.sqrt(lonlat.area / pixels_of(region))


def pixels_of(region: dict[str, list[int]]) -> int:
    """Pixels of a region."""
    return region["bbox_px"][2] * region["bbox_px"][3]
