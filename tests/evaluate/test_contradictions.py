"""Data whose files say different things of one image: a named error, never the last one that was read."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from PIL import Image

from evaluate.cli import main
from evaluate.data.geopixeld import GeoPixelD
from evaluate.data.glamm import load_json, truths
from evaluate.data.miniature import write_miniature
from evaluate.data.rrsisd import ANNOTATIONS, REFERENCES, RrsisD
from evaluate.errors import DataError

from ..support.edited import Change, edited

SPLITS = ("train", "val", "test")


def test_an_image_larger_than_its_name_says_is_named(copy: Path) -> None:
    """Its polygons would all lie within it, at a quarter of its objects' size."""
    path = sorted((copy / "test").glob("*.png"))[0]
    with Image.open(path) as image:
        image.resize((256, 256)).save(path)
    with pytest.raises(DataError, match=r"has 256 x 256 px and by its name 128 x 128") as caught:
        GeoPixelD(copy).truth(path.stem, "fill")
    assert path.name in str(caught.value)
    for end in (".png", ".json"):
        path.with_suffix(end).rename(path.with_name(f"scene{end}"))
    edited(path.with_name("scene.json"), lambda record: record.pop("img"))
    assert GeoPixelD(copy).size("scene") == (256, 256)  # nothing states another size


def test_annotations_that_changed_places_are_named(copy: Path) -> None:
    one, other, *_ = sorted((copy / "test").glob("*.json"))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    with pytest.raises(DataError, match=rf"{one.name} is of img='{other.stem}.png'"):
        GeoPixelD(copy).truth(one.stem, "fill")


def test_the_originals_ids_count_records_and_its_pictures_may_have_a_path(copy: Path) -> None:
    path = sorted((copy / "test").glob("*.json"))[0]
    edited(path, lambda record: record.update(id=3, img=f"data/GeoPixelD/test/{path.stem}.png"))
    assert GeoPixelD(copy).truth(path.stem, "fill")[0].masks


def test_a_changed_picture_of_as_many_bytes_is_another_data_set(copy: Path) -> None:
    before = GeoPixelD(copy).fingerprint
    path = sorted((copy / "test").glob("*.png"))[0]
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    assert GeoPixelD(copy).fingerprint != before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda all: all["images"].append(all["images"][0]), "images: id 1 is no id, or occurs twice"),
        (lambda all: all["images"].append({**all["images"][0], "id": "1"}), "id '1' is no id, or occurs twice"),
        (lambda all: all["images"].append(7), "images is no list of records"),
        (lambda all: all["images"][0].pop("file_name"), "id 1 has no text file_name"),
        (lambda all: all["categories"].append(all["categories"][0]), "categories: id 1 is no id, or occurs twice"),
        (lambda all: all.update(categories=None), "categories is no list of records"),
        (lambda all: all["annotations"].append(all["annotations"][0]), "annotation id 1 is no whole number, or occurs"),
        (lambda all: all["annotations"][0].update(image_id=[1]), r"annotation 1 has image_id=\[1\]"),
        (lambda all: all["annotations"][0].update(image_id=2), "is of image 1, its annotation of 2"),
        (lambda all: all["annotations"][0].update(segmentation=[["a"] * 6]), "a polygon that is not of numbers"),
    ],
)
def test_instances_that_contradict_themselves(change: Change, told: str, refer_copy: Path) -> None:
    edited(refer_copy / ANNOTATIONS, change)
    with pytest.raises(DataError, match=told):
        _ = RrsisD(refer_copy, SPLITS).items


def test_a_reference_names_its_own_picture(refer_copy: Path) -> None:
    records = pickle.loads((refer_copy / REFERENCES).read_bytes())
    records[0]["file_name"] = "00001_7.jpg"  # as the layout's other data sets write it
    (refer_copy / REFERENCES).write_bytes(pickle.dumps(records, 2))
    assert len(RrsisD(refer_copy, SPLITS).items) == 3
    records[0]["file_name"] = "00002.jpg"
    (refer_copy / REFERENCES).write_bytes(pickle.dumps(records, 2))
    with pytest.raises(DataError, match=r"names the file '00002.jpg', its image is '00001.jpg'"):
        _ = RrsisD(refer_copy, SPLITS).items


def test_one_empty_split_of_several_is_named(
    refer_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [one for one in pickle.loads((refer_copy / REFERENCES).read_bytes()) if one["split"] != "test"]
    (refer_copy / REFERENCES).write_bytes(pickle.dumps(records, 2))
    command = ["rrsisd", "bundled", "--data", str(refer_copy), "--out", str(tmp_path / "run")]
    assert main([*command, "--split", "train", "test"]) == 3
    assert "split='test' is empty" in capsys.readouterr().err


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """groundingLMM's truth of two images, masks and captions."""
    root = tmp_path_factory.mktemp("truth")
    write_miniature(root / "data", "geopixeld", 2, side_px=128)
    assert main(["truth", "--data", str(root / "data"), "--out", str(root)]) == 0
    masks, captions = ((root / f"test_gcg_coco_{kind}_gt.json").read_text() for kind in ("mask", "caption"))
    return masks, captions


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda masks: masks["annotations"].append(masks["annotations"][0]), "annotation id 1 is no id, or occurs"),
        (lambda masks: masks["annotations"][0].pop("id"), "annotation id None is no id"),
        (lambda masks: masks["annotations"][0].update(image_id=[1]), r"of image \[1\], which is not listed"),
        (lambda masks: masks["annotations"][0].update(area="x"), "area='x' is no number of pixels"),
        (lambda masks: masks["images"][0].update(height=None), "has height=None"),
        (
            lambda masks: masks["images"].extend([{"id": 1, "height": 8, "width": 8}, {"id": "1"}]),
            "image id '1' is no id, or occurs twice",
        ),
    ],
)
def test_truth_that_contradicts_itself(change: Change, told: str, documents: tuple[str, str]) -> None:
    masks, captions = (json.loads(text) for text in documents)
    assert len(truths(masks, captions)) == 2
    change(masks)
    with pytest.raises(DataError, match=told):
        truths(masks, captions)


def test_captions_of_no_image(documents: tuple[str, str]) -> None:
    masks, captions = (json.loads(text) for text in documents)
    captions["annotations"][0]["image_id"] = [1]
    with pytest.raises(DataError, match="lacks image_id, caption or labels"):
        truths(masks, captions)


def test_a_file_that_is_nested_without_end_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match="torn or no JSON"):
        load_json(tmp_path / "a.json")
