"""What an answer leaves on disk: overlay.png, regions.geojson, answer.json, report.html."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import resource
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from shapely.geometry import shape

from geopixel_edge.answer import Region
from geopixel_edge.errors import OutputError
from geopixel_edge.json_text import encode_json
from geopixel_edge.writers import geojson, overlay
from geopixel_edge.writers.colours import colour, hex_colour
from tests.support.answers import EMPTY, HEIGHT, MASKS, PIXELS, WIDTH, answer, disc, sample

FILES = {"answer.json", "report.html", "overlay.png", "regions.geojson"}


# --- answer.json ----------------------------------------------------------------------------------------------


def test_answer_json_says_everything(tmp_path: Path) -> None:
    found = sample(notes=("converted",))
    found.save(tmp_path)
    data = json.loads((tmp_path / "answer.json").read_text("utf-8"))
    assert data == json.loads(json.dumps(found.to_dict()))
    assert (data["schema"], data["schema_version"], data["query"]) == ("geopixel-edge/answer", 1, "What is here?")
    assert (data["text"], data["response"], data["token_ids"]) == (found.text, found.response, found.token_ids)
    assert (data["image_size"], data["notes"], data["finish_reason"]) == ([WIDTH, HEIGHT], ["converted"], "eos")
    assert data["timings"]["blocks"]["divider"]["time_s"] == 0.25
    for region, mask in zip(data["regions"], MASKS, strict=True):
        assert (coco.decode(region["segmentation"]).astype(bool) == mask.to_array()).all()
        assert region["area_px"] == mask.to_array().sum() == coco.area(region["segmentation"])
        assert region["bbox"] == list(coco.toBbox(region["segmentation"]))
        assert data["text"][slice(*region["span"])] == region["phrase"]


def test_json_without_numbers_json_lacks_and_with_odd_names() -> None:
    found = sample(notes=("\udce9.png",))
    found.regions = (Region("x", (0, 0), MASKS[0], math.nan), Region("y", (0, 0), MASKS[0], math.inf))
    data = json.loads(encode_json(found.to_dict()))
    assert [region["score"] for region in data["regions"]] == [None, None]
    assert data["notes"] == ["\udce9.png"]
    assert [f["properties"]["score"] for f in geojson.document(found.regions, (WIDTH, HEIGHT))["features"]] == [
        None
    ] * 2


# --- regions.geojson ------------------------------------------------------------------------------------------


def test_geojson_outlines_the_same_pixels() -> None:
    data = json.loads(geojson.encode(sample().regions, (WIDTH, HEIGHT)))
    assert data["type"] == "FeatureCollection"
    assert data["geopixel_edge"] == {
        "coordinates": "pixel",
        "y_axis": "down",
        "crs": None,
        "image_size": [WIDTH, HEIGHT],
        "georeferenced": False,
    }
    assert not {"crs", "coordinates", "geometry", "properties"} & set(data)
    for feature, mask in zip(data["features"], MASKS, strict=True):
        outline = shape(feature["geometry"])
        assert feature["geometry"]["type"] == "MultiPolygon"
        assert outline.is_valid
        assert outline.area == mask.area_px == feature["properties"]["area_px"]
        x_px, y_px, w_px, h_px = feature["properties"]["bbox"]
        assert outline.bounds == (x_px, y_px, x_px + w_px, y_px + h_px)
    assert [feature["properties"]["phrase"] for feature in data["features"]] == ["storage tanks", "storage tanks", ""]


def test_geojson_of_nothing() -> None:
    assert geojson.document([], (5, 5))["features"] == []
    assert geojson.document([Region("", (0, 0), EMPTY, 0.1)], (WIDTH, HEIGHT))["features"][0]["geometry"] is None


# --- overlay.png ----------------------------------------------------------------------------------------------


def test_overlay_tints_and_outlines_its_masks_and_nothing_else() -> None:
    found = sample()
    before = PIXELS.copy()
    drawn = np.asarray(Image.open(io.BytesIO(overlay.encode(PIXELS, found.regions))))
    assert (before == PIXELS).all()
    assert drawn.shape == PIXELS.shape
    outside = ~np.logical_or.reduce([mask.to_array() for mask in MASKS])
    assert (drawn[outside] == PIXELS[outside]).all()
    for index, mask in enumerate(MASKS):
        inside = np.argwhere(mask.to_array())
        assert tuple(drawn[tuple(inside[0])]) == colour(index)
    tint, under = np.array(colour(0)), PIXELS[20, 20].astype(float)
    assert np.abs(drawn[20, 20] - (0.45 * tint + 0.55 * under)).max() <= 1.5


def test_small_masks_lie_on_large_ones() -> None:
    large, small = disc(HEIGHT, WIDTH, 40, 30, 25), disc(HEIGHT, WIDTH, 40, 30, 5)
    for masks in ([small, large], [large, small]):
        found = answer("[SEG] [SEG]", masks, PIXELS)
        drawn = np.asarray(overlay.render(PIXELS, found.regions, alpha=1.0))
        assert tuple(drawn[30, 40]) == colour(masks.index(small))


def test_overlay_labels_fit_the_image() -> None:
    regions = [Region("\u65e5\u672c tanks", (0, 0), MASKS[2], 0.5), Region("", (0, 0), EMPTY, 0.5)]
    plain, labelled = overlay.render(PIXELS, regions), overlay.render(PIXELS, regions, labels=True)
    assert labelled.size == (WIDTH, HEIGHT)
    assert (np.asarray(plain) != np.asarray(labelled)).any()


def test_colours_are_distinct_and_fixed() -> None:
    assert len({colour(index) for index in range(200)}) == 200
    assert (hex_colour(0), hex_colour(1)) == ("#ff6b6b", "#4dabf7")
    assert all(0 <= channel <= 255 for index in range(200) for channel in colour(index))


# --- Saving ---------------------------------------------------------------------------------------------------


def test_save_writes_all_files_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "new" / "out"
    paths = sample().save(str(target))
    assert {path.name for path in paths} == FILES == {path.name for path in target.iterdir()}
    first = {path: path.read_bytes() for path in paths}
    assert {path: path.read_bytes() for path in sample().save(target)} == first
    assert all(path.stat().st_mode & 0o444 == 0o444 & ~current_umask() for path in paths)


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_save_without_an_image(tmp_path: Path) -> None:
    assert {path.name for path in answer("the sea", []).save(tmp_path)} == {"answer.json", "report.html"}


@pytest.mark.parametrize("place", ["file", "file/below", "nul\0byte"])
def test_places_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="cannot be written"):
        sample().save(tmp_path / place)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_directory_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError, match=r"report\.html is a directory"):
        sample().save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_what_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="directory=7 is not a path"):
        sample().save(7)  # type: ignore[arg-type]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    sample(query="first").save(tmp_path / "old")
    kept = {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()}
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, limit[1]))
    try:
        for name in ("old", "new"):
            with pytest.raises(OutputError, match=os.strerror(errno.EFBIG)):
                sample(query="second").save(tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()} == kept
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
