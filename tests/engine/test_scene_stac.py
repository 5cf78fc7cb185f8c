"""STAC items beside layers: valid by the standard's own schemas, offline, and about what they lie beside."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import rasterio
from rasterio import Affine
from referencing import Registry, Resource

from ..support.scene_jobs import UTM, run, write_scene

SCHEMAS = Path(__file__).parents[1] / "data" / "stac"
SPEC = "https://schemas.stacspec.org/v1.1.0/item-spec/json-schema/"
PLACES = {
    "utm": UTM,
    "antimeridian": ("EPSG:3832", Affine(0.5, 0, 3_339_584.7, 0, -0.5, -1_907_839.1)),
    "own": ("+proj=laea +lat_0=24 +lon_0=54 +ellps=GRS80", Affine(0.5, 0, 100.0, 0, -0.5, 200.0)),
    "nowhere": None,
}


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft7Validator:
    known = []
    for path in SCHEMAS.glob("*.json"):
        base = "https://geojson.org/schema/" if path.name[0].isupper() else SPEC
        known.append((base + path.name, Resource.from_contents(json.loads(path.read_text("utf-8")))))
    registry = Registry().with_resources(known)
    item = json.loads((SCHEMAS / "item.json").read_text("utf-8"))
    return jsonschema.Draft7Validator(item, registry=registry, format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize("name", PLACES)
def test_items_are_valid_and_say_what_the_layer_is(
    name: str, schema: jsonschema.Draft7Validator, tmp_path: Path
) -> None:
    where = PLACES[name]
    write_scene(tmp_path / "s.tif", 200, 180, where=where)
    outs = [tmp_path / f"o{end}" for end in (".gpkg", ".geojson", ".fgb", ".tif", ".parquet")]
    run(tmp_path / "s.tif", outs)
    for out in outs:
        item = json.loads(out.with_name(out.name + ".stac.json").read_text("utf-8"))
        schema.validate(item)
        (asset,) = item["assets"].values()
        assert asset["file:checksum"] == "1220" + hashlib.sha256(out.read_bytes()).hexdigest()
        assert re.fullmatch(r"[a-f0-9]+", asset["file:checksum"])
        assert asset["file:size"] == out.stat().st_size
        properties: dict[str, Any] = item["properties"]
        assert properties["proj:shape"] == [180, 200]
        assert all(isinstance(version, str) for version in properties["processing:software"].values())
        assert properties["geopixel_edge:datetime_source"] == "processing"
        if where is None:
            assert item["geometry"] is None
            assert "bbox" not in item
        else:
            assert properties["proj:transform"] == list(where[1])[:6]
            assert (properties["proj:code"] is None) == (name == "own") == ("proj:wkt2" in properties)
            assert item["geometry"]["type"] == ("MultiPolygon" if name == "antimeridian" else "Polygon")


def test_an_item_that_is_wrong_would_be_seen(schema: jsonschema.Draft7Validator, tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 200, 180)
    run(tmp_path / "s.tif", tmp_path / "o.geojson")
    item = json.loads((tmp_path / "o.geojson.stac.json").read_text("utf-8"))
    del item["bbox"]
    with pytest.raises(jsonschema.ValidationError):
        schema.validate(item)


def test_the_time_is_the_scenes_own_where_it_is_known(schema: jsonschema.Draft7Validator, tmp_path: Path) -> None:
    def item() -> dict[str, Any]:
        run(tmp_path / "s.tif", tmp_path / "o.geojson")
        found: dict[str, Any] = json.loads((tmp_path / "o.geojson.stac.json").read_text("utf-8"))
        schema.validate(found)
        properties: dict[str, Any] = found["properties"]
        return properties

    write_scene(tmp_path / "s.tif", 200, 180)
    source = {"stac_version": "1.0.0", "properties": {"datetime": "2024-05-06T09:08:07+02:00"}}
    (tmp_path / "s.json").write_text(json.dumps(source))
    found = item()
    assert found["datetime"] == "2024-05-06T07:08:07Z"
    assert found["geopixel_edge:datetime_source"] == "source STAC item"
    with rasterio.open(tmp_path / "s.tif", "r+") as file:
        file.update_tags(TIFFTAG_DATETIME="2023:04:05 06:07:08")
    found = item()
    assert found["datetime"] == "2023-04-05T06:07:08Z"
    assert found["geopixel_edge:datetime_source"] == "TIFFTAG_DATETIME"
    for text in ("[]", "{", '{"stac_version": "1.0.0", "properties": {"datetime": null}}'):
        (tmp_path / "s.json").write_text(text)
        with rasterio.open(tmp_path / "s.tif", "r+") as file:
            file.update_tags(TIFFTAG_DATETIME="0000:00:00 00:00:00")
        assert item()["geopixel_edge:datetime_source"] == "processing"
