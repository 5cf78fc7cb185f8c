"""Layers of scenes read back by GDAL: every object where it is, in every form, and the way they are published."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely
from rasterio import Affine

from geopixel_edge.errors import OptionError, OutputError, QueryError
from geopixel_edge.scenes.phrases import comparing

from ..support.scene_jobs import UTM, dump, run, write_scene
from ..support.scene_truths import Bits, truth_of

TURNED = Affine.translation(251_000, 2_711_000) * Affine.rotation(17) * Affine.scale(0.3, -0.3)
PLACES = {
    "utm": UTM,
    "turned": ("EPSG:32640", TURNED),
    "degrees": ("EPSG:4326", Affine(5e-6, 0, 54.30000013, 0, -4.5e-6, 24.51)),
    "antimeridian": ("EPSG:3832", Affine(0.5, 0, 3_339_584.7, 0, -0.5, -1_907_839.1)),
    "nowhere": None,
}


def in_pixels(path: Path, where: tuple[str, Affine] | None, layer: str = "objects") -> tuple[list[Any], dict[str, Any]]:
    """The shapes of a vector file in pixels of the scene, and its columns."""
    info, _, shapes, data = pyogrio.raw.read(path, layer=layer)
    turn = ~where[1] if where else Affine.identity()

    def back(q: np.ndarray) -> np.ndarray:
        return np.column_stack(turn * (q[:, 0], q[:, 1]))

    found = [shapely.transform(shapely.from_wkb(shape), back) for shape in shapes]
    return found, {**dict(zip(info["fields"], data, strict=True)), "crs": info["crs"], "kind": info["geometry_type"]}


def covered(shape: Any, size: tuple[int, int]) -> Bits:
    """The pixels whose centres a shape covers."""
    height, width = size
    y, x = np.mgrid[:height, :width] + 0.5
    return np.asarray(shapely.contains_xy(shape, x, y))


@pytest.mark.parametrize("name", PLACES)
def test_every_object_is_where_it_is(name: str, tmp_path: Path) -> None:
    where = PLACES[name]
    masks = write_scene(tmp_path / "s.tif", 200, 180, seed=3, where=where)
    outs = [tmp_path / f"o{end}" for end in (".gpkg", ".fgb", ".geojson", ".tif")]
    found = run(tmp_path / "s.tif", outs)
    for out in outs[:2]:
        shapes, columns = in_pixels(out, where)
        for phrase, mask in masks.items():
            mine = [one for one, called in zip(shapes, columns["phrase"], strict=True) if called == phrase]
            assert len(mine) == len(truth_of(mask))
            assert np.array_equal(covered(shapely.union_all(shapely.set_precision(mine, 1e-4)), mask.shape), mask)
        assert all(shapely.is_valid(shapes))
        assert columns["kind"] == "MultiPolygon"
        assert where is None or columns["crs"] == where[0]
        areas = sorted(columns["area_px"].tolist())
        assert areas == sorted(one.area_px for one in found.objects)
        assert math.isclose(sum(areas), sum(shapely.area(shapes)), rel_tol=1e-5)
    with rasterio.open(outs[3]) as cog:
        assert cog.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        classes = json.loads(cog.tags(1)["classes"])
        for number, phrase in classes.items():
            assert np.array_equal(cog.read(1) == int(number), masks[phrase])
        assert where is None or cog.transform.almost_equals(where[1], 1e-9)


def test_geojson_is_in_degrees_and_orders_its_rings(tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 200, 180, seed=3)
    found = run(tmp_path / "s.tif", tmp_path / "o.geojson")
    document = json.loads((tmp_path / "o.geojson").read_text("utf-8"))
    assert "crs" not in document
    west, south, east, north = document["bbox"]
    assert 54 < west < east < 55
    assert 24 < south < north < 25
    for feature, one in zip(dump(tmp_path / "o.geojson"), found.objects, strict=True):
        assert (feature["id"], feature["properties"]["area_px"]) == (one.id, one.area_px)
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.is_valid
        assert all(part.exterior.is_ccw for part in shape.geoms)
        assert not any(hole.is_ccw for part in shape.geoms for hole in part.interiors)


def test_the_geopackage_has_windows_a_record_and_a_style(tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif")
    found = run(tmp_path / "s.tif", tmp_path / "o.gpkg")
    windows, columns = in_pixels(tmp_path / "o.gpkg", UTM, "windows")
    assert len(windows) == found.windows
    assert (columns["state"] == "empty").sum() == found.empty > 0
    record = json.loads(pyogrio.read_info(tmp_path / "o.gpkg", layer="objects")["dataset_metadata"]["geopixel_edge"])
    assert (record["window"], record["phrases"]) == (128, ["ships", "planes"])
    _, style = in_pixels_of_table(tmp_path / "o.gpkg")
    assert "categorizedSymbol" in style["styleQML"][0]
    with closing(sqlite3.connect(tmp_path / "o.gpkg")) as base:
        assert base.execute(AS_QGIS_ASKS).fetchall() == [(style["styleQML"][0], "objects")]
    item = json.loads((tmp_path / "o.gpkg.stac.json").read_text("utf-8"))
    assert item["properties"]["proj:code"] == "EPSG:32640"
    assert item["assets"]["objects"]["file:size"] == (tmp_path / "o.gpkg").stat().st_size


# What QGIS selects where it opens a layer; a column that is not there leaves the layer without its style.
AS_QGIS_ASKS = """
SELECT styleQML, styleName FROM (
  SELECT id, f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML, styleSLD,
         useAsDefault, description, owner, ui, update_time FROM layer_styles
  WHERE f_table_schema = '' AND f_table_name = 'objects' AND f_geometry_column = 'geom'
  ORDER BY CASE WHEN useAsDefault THEN 1 ELSE 2 END, update_time DESC LIMIT 1)
"""


def in_pixels_of_table(path: Path) -> tuple[None, dict[str, Any]]:
    """The columns of the table of styles."""
    info, _, _, data = pyogrio.raw.read(path, layer="layer_styles", read_geometry=False)
    return None, dict(zip(info["fields"], data, strict=True))


def test_a_job_that_is_published_again_gives_the_same_bytes(tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 200, 180)
    out = [tmp_path / name for name in ("o.gpkg", "o.fgb", "o.tif", "o.geojson", "o.parquet")]
    written = []
    for _ in range(2):
        run(tmp_path / "s.tif", out, keep_job=True)
        written.append([path.read_bytes() for path in out])
        time.sleep(1.1)  # files that carry their own time would differ
    assert written[0] == written[1]


def test_geoparquet_says_its_crs_and_its_boxes(tmp_path: Path) -> None:
    import pyarrow.parquet

    write_scene(tmp_path / "s.tif", 200, 180)
    found = run(tmp_path / "s.tif", tmp_path / "o.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "o.parquet")
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["columns"]["geometry"]["crs"]["id"]["code"] == 32640
    assert table["area_px"].to_pylist() == [one.area_px for one in found.objects]
    shapes = shapely.from_wkb(table["geometry"].to_pylist())
    boxes = [list(box.values()) for box in table["bbox"].to_pylist()]
    assert np.allclose(shapely.bounds(shapes), boxes)


def test_a_scene_without_valid_pixels_gives_an_empty_layer(tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 130, 130)
    found = run(tmp_path / "s.tif", [tmp_path / "o.gpkg", tmp_path / "o.geojson"])
    assert (found.objects, found.empty) == ((), found.windows)
    assert any("nothing was asked" in note for note in found.notes)
    assert in_pixels(tmp_path / "o.gpkg", UTM)[0] == []
    assert dump(tmp_path / "o.geojson") == []


@pytest.mark.parametrize("name", ["o.shp", "missing/o.gpkg", "s.tif", "."])
def test_outputs_that_cannot_be_are_refused_before_anything_is_asked(name: str, tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 200, 180)
    with pytest.raises((OptionError, OutputError), match="out="):
        run(tmp_path / "s.tif", tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["s.tif"]


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        ("the largest ship", "largest"),
        ("second from the left", "second"),
        ("cars at the top", "at the top"),
        ("the nearest pier", "nearest"),
        ("red ships", None),
        ("buildings with flat roofs", None),
    ],
)
def test_phrases_that_compare_are_refused_unless_insisted(phrase: str, words: str | None, tmp_path: Path) -> None:
    assert comparing(phrase) == words
    if words:
        write_scene(tmp_path / "s.tif", 200, 180)
        with pytest.raises(QueryError, match="--per-window"):
            run(tmp_path / "s.tif", tmp_path / "o.geojson", phrases=[phrase])


@pytest.mark.parametrize("name", ["utm", "turned", "nowhere"])
def test_a_png_has_its_place_beside_it(name: str, tmp_path: Path) -> None:
    where = PLACES[name]
    masks = write_scene(tmp_path / "s.tif", 200, 180, seed=3, where=where)
    found = run(tmp_path / "s.tif", tmp_path / "o.png")
    beside = [] if where is None else ["o.pgw", "o.prj"]
    assert [path.name for path in found.paths] == ["o.png", *beside, "o.png.stac.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["s.tif", *(path.name for path in found.paths)])
    with rasterio.open(tmp_path / "o.png") as file:
        values = file.read(1)
        assert where is None or file.transform.almost_equals(where[1], 1e-6)
    for number, phrase in enumerate(("ships", "planes"), 1):
        assert np.array_equal(values == number, masks[phrase])
    if where is not None:
        assert "UTM_Zone_40N" in (tmp_path / "o.prj").read_text("ascii")
    with pytest.raises(OptionError, match="classes alone"):
        run(tmp_path / "s.tif", tmp_path / "ids.png", ids=True)
