"""Sources: what is read of them, and what is refused by name before any work starts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from annotate import items
from annotate.annotating import planned
from annotate.cli import main
from annotate.errors import SourceError
from annotate.items import Instance, Item
from annotate.names import PROFILES
from annotate.picture import Picture
from annotate.sources import open_source
from annotate.sources.coco import CocoSource
from evaluate.cli import main as evaluate
from evaluate.data.glamm import truth_names
from evaluate.data.glamm import truths as truths_of
from geopixel_edge.masks import Mask
from training.dataset import load_dataset

from ..support.annotations import coco_of, records

Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A COCO file with two pictures."""
    folder = tmp_path_factory.mktemp("coco")
    return folder, coco_of([2_000_066, 2_000_143], folder)


def test_a_coco_file_becomes_a_data_set(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, found = made
    assert main([str(folder / "instances.json"), str(tmp_path / "out"), "--describer", "rules"]) == 0
    samples = list(load_dataset(tmp_path / "out" / "GeoPixelD" / "GeoPixelD.json"))
    assert [sample.id for sample in samples] == [image["file_name"][:-4] for image in found["images"]]
    shown = {mask for sample in samples for mask in sample.masks}
    truths = {Mask.from_coco(one["segmentation"]) for one in found["annotations"]}
    assert len(shown & truths) > 4
    for sample in samples:
        with Image.open(folder / f"{sample.id}.png") as image:
            assert (sample.pixels() == np.asarray(image)).all()
    data, truth = tmp_path / "out" / "GeoPixelD", tmp_path / "truth"
    assert evaluate(["truth", "--data", str(data), "--split", "train", "--out", str(truth)]) == 0
    documents = [json.loads((truth / name).read_text()) for name in truth_names("train")]
    coco = {image: (one.phrases, one.masks) for image, (one, _) in truths_of(*documents).items()}
    assert coco == {sample.id: (sample.phrases, sample.masks) for sample in samples}


@pytest.mark.parametrize("name", ["data", "mine"])
def test_the_index_opens_as_the_original_opens_it(
    name: str, made: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = made
    assert main([str(folder / "instances.json"), str(tmp_path / name), "--describer", "rules"]) == 0
    samples = list(load_dataset(tmp_path / name / "GeoPixelD" / "GeoPixelD.json"))
    (clone := tmp_path / "clone" / "data").mkdir(parents=True)
    (tmp_path / name / "GeoPixelD").rename(clone / "GeoPixelD")
    monkeypatch.chdir(clone.parent)
    entries = json.loads(Path("data/GeoPixelD/GeoPixelD.json").read_text())
    assert len(entries) == len(samples) == 2
    for entry, sample in zip(entries, samples, strict=True):
        with Image.open(entry["image"]) as image:
            width, height = image.convert("RGB").size
        filled = []
        for parts in json.loads(Path(entry["polygons"]).read_text())["polygons"]:
            mask = np.zeros((height, width), np.uint8)
            for part in parts:
                cv2.fillPoly(mask, [np.array(part, np.int32)], 1)
            filled.append(Mask.from_array(mask.astype(np.bool_)))
        assert tuple(filled) == sample.masks
        assert len(filled) == "".join(turn["value"] for turn in entry["conversations"]).count("[SEG]")


def test_polygons_are_filled_as_pycocotools_fills_them(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    from pycocotools import mask as coco

    folder, found = made
    rings = [[10.0, 10.0, 60.0, 12.0, 50.0, 70.0], [100.0, 100.0, 140.0, 100.0, 140.0, 150.0, 100.0, 150.0]]
    one = {**found["annotations"][0], "segmentation": rings}
    path = tmp_path / "polygons.json"
    path.write_text(json.dumps({**found, "annotations": [one, {**one, "id": 2, "iscrowd": 1}]}))
    (instance,) = (item := CocoSource(path, folder).item(found["images"][0]["file_name"][:-4])).instances
    assert instance.mask == Mask.from_coco(coco.merge(coco.frPyObjects(rings, 320, 320)))
    assert item.dropped == {"crowd": 1}


def test_a_polygon_a_few_pixels_over_the_border_is_cut(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, found = made
    one = {**found["annotations"][0], "segmentation": [[-6, -6, 326, -6, 326, 50, -6, 50]]}
    (path := tmp_path / "over.json").write_text(json.dumps({**found, "annotations": [one], "licenses": None}))
    (instance,) = CocoSource(path, folder).item(found["images"][0]["file_name"][:-4]).instances
    assert instance.mask.bbox == (0, 0, 320, 50)


def first(key: str, **values: Any) -> Change:
    """The first entry of a list with other values."""
    return lambda found: found[key][0].update(values)


def ring(value: object) -> Change:
    """A polygon with this as one of its numbers."""
    return first("annotations", segmentation=[[value, 1, 9, 1, 9, 9]])


def widened(found: dict[str, Any]) -> None:
    """A picture that is listed a pixel wider than it is."""
    found["images"][0]["width"] = 321
    found["annotations"] = [{**found["annotations"][0], "segmentation": [[1, 1, 9, 1, 9, 9]]}]


EMPTY = {"size": [320, 320], "counts": [320 * 320]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (first("annotations", segmentation=None), "annotation 1 has no mask"),
        (first("annotations", segmentation=[]), "annotation 1 has no mask"),
        (first("annotations", segmentation=[[1, 2, 3, 4]]), "annotation 1 has a polygon of fewer than three points"),
        (
            first("annotations", segmentation={"size": [10, 20], "counts": [200]}),
            r"annotation 1 has a mask of size \[10",
        ),
        (first("annotations", segmentation={"size": [320, 320], "counts": [5, 5]}), "annotation 1 has a damaged mask"),
        (first("annotations", segmentation={"size": [320, 320], "counts": "zzzz"}), "annotation 1 has a damaged mask"),
        (ring("a"), "a polygon with 'a' for a number"),
        (ring(None), "a polygon with None for a number"),
        (ring(True), "a polygon with True for a number"),
        (ring(float("nan")), "a polygon with nan for a number"),
        *((ring(far), "x=.*well beyond its picture") for far in (float("inf"), -1e9, 1e300, 10**400, 640, 337, -17)),
        (first("annotations", segmentation=[[1, 1, 1, 640, 9, 9]]), "y=640, well beyond"),
        (lambda found: found.update(licenses=3), "licenses='3' is no list"),
        (first("annotations", category_id=99), "annotation 1 has category_id=99, a class without a name"),
        (first("annotations", image_id=99), "annotation 1 is of image_id=99"),
        (first("categories", name=""), "category 1 has no name"),
        (first("categories", name=None), "category 1 has no name"),
        (first("categories", name="<p>"), "holds brackets"),
        (first("categories", name="ship\ud800"), "holds brackets or what is no text"),
        (first("categories", name="_-_"), "category 1 has no name"),
        (first("annotations", category_id=[1]), r"annotation 1 has category_id=\[1\]"),
        (first("annotations", image_id={}), "annotation 1 is of image_id={}"),
        (lambda found: found["images"][1].update(found["images"][0], id=2), "have the same file_name"),
        (first("images", width=321), r"has a mask of size \[320, 320\]"),
        (widened, "is 320 x 320 px, its entry says 321 x 320"),
        (first("images", width=0), r"images\[0\] has no file_name"),
        (first("images", file_name="none.png"), "'none.png' is not in"),
        (first("images", file_name="../x.png"), "leads out of its folder"),
        (first("images", id=2), "has id 2 twice"),
        (lambda found: found.update(annotations=[]), "no picture has an instance"),
        (lambda found: found.pop("categories"), "has no list categories"),
    ],
)
def test_a_damaged_file_is_refused_before_work_starts(
    change: Change,
    said: str,
    made: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, found = made
    changed = json.loads(json.dumps(found))
    change(changed)
    (path := tmp_path / "instances.json").write_text(json.dumps(changed))
    with pytest.raises(SourceError, match=said):
        CocoSource(path, folder)
    words = [str(path), str(tmp_path / "out"), "--images", str(folder), "--describer", "rules"]
    assert main(words) == 3
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "out").exists()


NAMES = ("C++ (old)", "F-16", "\u8239", "image", "a.b*", "ships", "Small_Vehicle", "harbor|pier", "$1")


@pytest.mark.parametrize("profile", PROFILES)
def test_names_of_any_kind_are_told(profile: str, made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, found = made
    categories = [
        {**one, "name": NAMES[at % len(NAMES)] + " x" * (at // 9)} for at, one in enumerate(found["categories"])
    ]
    (path := tmp_path / "names.json").write_text(
        json.dumps({**found, "categories": categories, "licenses": [{"name": "\ud800"}]})
    )
    words = [str(path), str(tmp_path / "out"), "--images", str(folder), "--describer", "rules", "--profile", profile]
    assert main(words) == 0
    for record in records(tmp_path / "out"):
        assert record["description"].count("[SEG]") > 3
        assert all(one["state"] != "drop" and not one["edits"] for one in record["sentences"] if one["masks"])


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "\ufeff{}"])
def test_what_is_no_coco_file(text: str, tmp_path: Path) -> None:
    (path := tmp_path / "x.json").write_text(text)
    with pytest.raises(SourceError, match=r"x\.json"):
        open_source(str(path))


def test_masks_that_are_empty_or_alike_are_counted(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, found = made
    name = found["images"][0]["id"]
    largest = max((one for one in found["annotations"] if one["image_id"] == name), key=lambda one: one["area"])
    extra = [{**largest, "id": 9_001, "category_id": 5}, {**largest, "id": 9_002, "segmentation": EMPTY}]
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({**found, "annotations": [*found["annotations"], *extra]}))
    summary = annotated_from(path, folder, tmp_path / "out")
    assert summary["left_out"] == {"empty": 1, "tiny": 1}
    assert summary["findings"]["overlap"] >= 1
    assert summary["pictures"]["review"] >= 1


def annotated_from(path: Path, images: Path, out: Path) -> dict[str, Any]:
    """The summary of a run."""
    assert main([str(path), str(out), "--images", str(images), "--describer", "rules", "--profile", "published"]) == 0
    found: dict[str, Any] = json.loads((out / "run.json").read_text())
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_thousands_of_objects_in_a_picture(profile: str) -> None:
    side, things = 800, []
    for number in range(1_500):
        x, y = (number % 50) * 15 + 2, (number // 50) * 25 + 2
        things.append(Instance(number, "car", Mask(side, side, x, y, 6, 4, np.array([0, 24], np.uint32))))
    item = Item("many", np.full((side, side, 3), 90, np.uint8), tuple(things))
    told, _ = planned(Picture(item, profile))  # type: ignore[arg-type]
    assert sum(len(one.unit.members) for one in told) == 1_500
    assert all(one.facts.count_word == "numerous" for one in told)


def test_too_many_objects_are_refused(
    made: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, found = made
    (path := tmp_path / "instances.json").write_text(json.dumps(found))
    monkeypatch.setattr("annotate.sources.coco.MAX_INSTANCES", 3)
    with pytest.raises(SourceError, match="has over 3 instances"):
        CocoSource(path, folder)
    assert items.MAX_INSTANCES >= 10_000
