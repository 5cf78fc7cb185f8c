"""Data sets and predictions that are not what they should be: a named error before work starts, or a visible count."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evaluate.cli import main
from evaluate.data.geopixeld import GeoPixelD
from evaluate.data.rrsisd import ANNOTATIONS, IMAGES, REFERENCES, RrsisD
from evaluate.errors import DataError
from geopixel_edge.masks import Mask

from ..support.edited import edited


def first(root: Path) -> Path:
    return sorted((root / "test").glob("*.json"))[0]


# --- GeoPixelD -----------------------------------------------------------------------------------------------------


def test_missing_images_are_listed_or_counted(copy: Path, asked: Path, tmp_path: Path) -> None:
    image = first(copy).with_suffix(".png")
    image.unlink()
    with pytest.raises(DataError, match=rf"1 image \(.*{image.name}\) is missing"):
        _ = GeoPixelD(copy).items
    data = GeoPixelD(copy, allow_missing=True)
    assert len(data.items) == 2
    assert data.exclusions[0].images == (image.stem,)
    shutil.copytree(asked / "predictions", tmp_path / "predictions")
    (tmp_path / "predictions" / f"{image.stem}.json").unlink()
    files_of = ["--predictions", str(tmp_path / "predictions"), "--data", str(copy)]
    assert main(["score", *files_of, "--no-java", "--allow-missing", "--out", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["exclusions"] == [
        {"what": "image missing, counted as unanswered", "count": 1, "images": [image.stem]}
    ]
    assert report["per_image"][image.stem]["mIoU"] == 0
    assert report["partial"] is False


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda record: record["polygons"].pop(), r"\[SEG\], \d+ phrases and \d+ entries of polygons"),
        (lambda record: record.update(gcg_description=record["gcg_description"] + " [SEG]"), r"each phrase needs one"),
        (lambda record: record.pop("gcg_description"), "has no text `gcg_description`"),
        (lambda record: record.update(polygons={}), "has no list `polygons`"),
        (lambda record: record["polygons"].__setitem__(0, []), r"polygons\[0\] has no part"),
        (lambda record: record["polygons"].__setitem__(0, [[[1, 2], [3]]]), r"no list of \[x, y\]"),
        (lambda record: record["polygons"].__setitem__(0, [[[1.5, 2.5]]]), r"no list of \[x, y\] in whole pixels"),
        (
            lambda record: record["polygons"].__setitem__(0, [[[0, 0], [128, 0], [0, 5]]]),
            "leaves the image of 128",
        ),
        (lambda record: record["polygons"].__setitem__(0, [[[0, 0], [-1, 0], [0, 5]]]), "leaves the image"),
    ],
)
def test_what_contradicts_itself_is_named(change: Callable[[Any], object], told: str, copy: Path) -> None:
    edited(first(copy), change)
    with pytest.raises(DataError, match=told) as caught:
        GeoPixelD(copy).truth(first(copy).stem, "fill")
    assert first(copy).name in str(caught.value)


def test_an_image_of_another_size_than_its_polygons_is_named(copy: Path) -> None:
    Image.new("RGB", (40, 30)).save(first(copy).with_suffix(".png"))
    with pytest.raises(DataError, match="leaves the image of 40 x 30 px"):
        GeoPixelD(copy).truth(first(copy).stem, "fill")


def test_empty_splits_and_unknown_ones(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "run")]
    shutil.rmtree(copy / "train")
    (copy / "GeoPixelD.json").unlink()
    assert main(["rsgcg", "bundled", "--data", str(copy), "--split", "train", *out]) == 3
    assert "the split is empty" in capsys.readouterr().err
    assert main(["rsgcg", "bundled", "--data", str(copy), "--split", "val", *out]) == 3
    assert "give one of test, train" in capsys.readouterr().err
    assert main(["rsgcg", "bundled", "--data", str(tmp_path / "nowhere"), *out]) == 3
    assert not (tmp_path / "run").exists()


def test_the_training_split_is_what_the_index_lists(copy: Path) -> None:
    shutil.rmtree(copy / "train")
    shutil.move(copy / "test", copy / "train")
    listed = sorted((copy / "train").glob("*.json"))[:2]
    entries = [{"image": f"train/{path.stem}.png", "polygons": f"train/{path.name}"} for path in listed]
    (copy / "GeoPixelD.json").write_text(json.dumps(entries))
    assert [one.image_id for one in GeoPixelD(copy, "train").items] == [path.stem for path in listed]
    (copy / "GeoPixelD.json").write_text(json.dumps([*entries, entries[0]]))
    with pytest.raises(DataError, match="occurs twice"):
        _ = GeoPixelD(copy, "train").items
    (copy / "GeoPixelD.json").write_text('{"a": 1}')
    with pytest.raises(DataError, match="no list of entries"):
        _ = GeoPixelD(copy, "train").items


# --- RRSIS-D -------------------------------------------------------------------------------------------------------


def references(root: Path) -> list[dict[str, Any]]:
    found = pickle.loads((root / REFERENCES).read_bytes())
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda refs: refs.append(refs[0]), "occurs twice"),
        (lambda refs: refs[0].update(ann_id=10**6), "names an annotation or image that is not in"),
        (lambda refs: refs[0].update(image_id="1"), "image_id='1' is no whole number"),
        (lambda refs: refs[0].update(split="other"), "split='other' is none of"),
        (lambda refs: refs[0].update(sentences=[]), "has no sentences"),
        (lambda refs: refs[0]["sentences"][0].pop("sent"), "without sent_id or sent"),
        (lambda refs: refs.clear(), "or empty"),
    ],
)
def test_references_that_contradict_themselves(change: Callable[[Any], object], told: str, refer_copy: Path) -> None:
    refs = references(refer_copy)
    change(refs)
    (refer_copy / REFERENCES).write_bytes(pickle.dumps(refs, 2))
    with pytest.raises(DataError, match=told):
        _ = RrsisD(refer_copy, ("train", "val", "test")).items


def test_references_are_kept_as_json_of_their_own_pickle(refer_copy: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    before = RrsisD(refer_copy, cache=cache).references
    (kept,) = cache.iterdir()
    assert json.loads(kept.read_text()) == before
    kept.write_text(json.dumps(before[:3]))
    assert len(RrsisD(refer_copy, cache=cache).references) == 3  # read from there
    refs = references(refer_copy)
    refs[0]["sentences"][0]["sent"] = "something else"
    (refer_copy / REFERENCES).write_bytes(pickle.dumps(refs, 4))
    assert RrsisD(refer_copy, cache=cache).references == refs


def test_masks_of_another_size_than_the_image_are_fitted_and_counted(
    refer_copy: Path, referred: Path, tmp_path: Path
) -> None:
    data = RrsisD(refer_copy, ("train", "val", "test"))
    run = tmp_path / "run"
    shutil.copytree(referred, run)
    image = data.items[0].image_id
    path = run / "predictions" / f"{image}.json"
    record = json.loads(path.read_text())
    part = data.parts[data.by_image[image][1][0].ann_id]
    wide = Image.fromarray(part[0].to_array()).resize((256, 256), Image.Resampling.NEAREST)
    rle = Mask.from_array(np.asarray(wide)).to_coco()
    record["expressions"][0].update(pred_masks=[rle], scores=[1.0])
    path.write_text(json.dumps(record))
    answers = run / "answers" / path.name
    edited(answers, lambda said: said["answers"][0].update(masks=[rle], scores=[1.0]))
    assert main(["score", str(run), "--data", str(refer_copy)]) == 0
    report = json.loads((run / "report.json").read_text())
    assert report["exclusions"][0]["images"] == [image]
    assert "resized" in report["exclusions"][0]["what"]
    assert report["per_expression"][f"{image}/{record['expressions'][0]['key']}"] == 1.0


def test_a_missing_picture_of_rrsisd_is_named(refer_copy: Path) -> None:
    picture = next((refer_copy / IMAGES).iterdir())
    picture.unlink()
    with pytest.raises(DataError, match=picture.name):
        _ = RrsisD(refer_copy, ("train", "val", "test")).items
    (refer_copy / ANNOTATIONS).write_text('{"images": [')
    with pytest.raises(DataError, match="torn or no JSON"):
        _ = RrsisD(refer_copy).items


def test_a_question_needs_a_place_for_the_expression(refer_copy: Path, tmp_path: Path) -> None:
    out = ["--data", str(refer_copy), "--out", str(tmp_path / "run")]
    assert main(["rrsisd", "bundled", *out, "--question", "Where is it?"]) == 3
