"""Answers with a place: coordinates in text, files and other forms, by the truth of every georeferenced fixture."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import shapely.geometry

from geopixel_edge.answer import Answer, Region
from geopixel_edge.errors import OutputError
from geopixel_edge.image_ref import ImageRef
from geopixel_edge.images import load_image
from geopixel_edge.rasters.given import GivenPlace
from geopixel_edge.rasters.region_place import region_place
from geopixel_edge.timings import Timings

from ..support.geo_fixtures import FIXTURES, FOLDER, MAPPED, block

PLACED = [name for name in MAPPED if "geojson" in FIXTURES[name]["region"]]


def answer_about(name: str, given: GivenPlace | None = None) -> Answer:
    """An answer about a fixture that points at its manifest's region."""
    image = load_image(FOLDER / name, given=given)
    mask = block((image.width_px, image.height_px), tuple(FIXTURES[name]["region"]["bbox_px"]))
    place = region_place(image.place, mask.polygons()) if image.place else None
    region = Region("a ship", (6, 12), mask, 0.9, place)
    more: dict[str, Any] = {"image": ImageRef.of(image), "query": "Where?", "notes": image.notes}
    return Answer("Here: a ship.", "Here: <p> a ship </p> [SEG].", [1, 2], (region,), "eos", Timings(), **more)


@pytest.mark.parametrize("name", PLACED)
def test_regions_geojson_is_the_manifests(name: str) -> None:
    entry, found = FIXTURES[name], answer_about(name)
    truth, data = entry["region"], found.to_geojson()
    (feature,) = data["features"]
    drawn, right = shapely.geometry.shape(feature["geometry"]), shapely.geometry.shape(truth["geojson"])
    tolerance = 1.5e-7 if entry["georef"] == "transform" else truth["tol_px"] * max(entry["gsd_m"]) / 100_000
    if max(entry["gsd_m"]) > 1000:
        tolerance = 1e-4  # its truth has other vertices, and straight edges are curves
    assert shapely.hausdorff_distance(drawn.boundary, right.boundary) <= tolerance
    assert drawn.is_valid
    assert len(drawn.geoms) == len(shapely.get_parts(right))
    assert all(part.exterior.is_ccw for part in drawn.geoms)
    west, south, east, north = feature["bbox"]
    assert data["bbox"] == feature["bbox"]
    assert (west > east) == (entry["kind"] == "antimeridian")
    assert (south, north) == pytest.approx(drawn.bounds[1::2], abs=1e-9)
    assert "crs" not in data
    assert data["geopixel_edge"]["georeferenced"] is True
    assert feature["properties"]["area_m2"] == pytest.approx(truth["area_m2"], rel=1e-3)


@pytest.mark.parametrize("name", [name for name in MAPPED if name not in PLACED])
def test_without_longitude_and_latitude_geojson_has_pixels_and_says_why(name: str) -> None:
    found = answer_about(name)
    data = found.to_geojson()["geopixel_edge"]
    assert data["coordinates"] == "pixel"
    assert data["georeferenced"] is False
    assert "no known relation" in data["reason"] or "no CRS" in data["reason"]
    assert found.located_text() == found.text
    engineering = FIXTURES[name]["kind"] == "local_engineering"
    place = found.regions[0].place
    assert (place is not None) == engineering
    if place is not None:
        assert place.area_m2 is None
        corners = np.array(FIXTURES[name]["region"]["crs_corners"])
        assert place.crs_bbox == pytest.approx((*corners.min(axis=0), *corners.max(axis=0)))


def test_the_text_and_the_report_tell_coordinates(tmp_path: Path) -> None:
    found = answer_about("rotated_1.tif")
    place = found.regions[0].place
    assert place is not None
    assert place.centroid is not None
    assert place.area_m2 is not None
    lon, lat = place.centroid
    told = (
        f"({abs(lat):.4f} {'S' if lat < 0 else 'N'}, {abs(lon):.4f} {'W' if lon < 0 else 'E'}; {place.area_m2:,.0f} m2)"
    )
    assert found.located_text() == f"Here: a ship {told}."
    assert found.text == "Here: a ship."
    found.save(tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count(told[1:-1]) == 2  # behind the phrase, and in the table
    assert 'class="scale"' in page
    assert 'class="north"' in page
    data = json.loads((tmp_path / "out" / "regions.geojson").read_bytes())
    assert data == found.to_geojson()


@pytest.mark.parametrize(
    "name", ["rotated_1.tif", "gcps_1.tif", "rpc_1.tif", "antimeridian_1.tif", "no_epsg_projection_1.tif"]
)
def test_an_answer_with_a_place_travels(name: str, tmp_path: Path) -> None:
    found = answer_about(name)
    found.save(tmp_path)
    for again in (Answer.load(tmp_path), pickle.loads(pickle.dumps(found)), Answer.from_dict(found.to_dict())):
        assert again.place == found.place
        assert again.regions[0].place == found.regions[0].place
        assert again.to_geojson() == found.to_geojson()
        assert np.array_equal(again.image.pixels(), load_image(FOLDER / name).pixels)  # type: ignore[union-attr]


def test_a_document_whose_place_is_another_images_is_refused() -> None:
    document = answer_about("rotated_1.tif").to_dict()
    document["image"]["place"]["size_px"] = [5, 5]
    with pytest.raises(OutputError, match=r"image\.place\.size_px"):
        Answer.from_dict(document)
    document["image"]["place"]["map"]["a"] = "wide"
    with pytest.raises(OutputError, match=r"image\.place\.map"):
        Answer.from_dict(document)


def test_wide_rasters_are_read_again_as_they_were() -> None:
    found = answer_about("uint16_bgrn_interp_1.tif")
    assert found.image is not None
    again = Answer.from_dict(found.to_dict())
    assert again.image is not None
    assert np.array_equal(again.image.pixels(), found.image.pixels())
