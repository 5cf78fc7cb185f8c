"""Datasets: what is written is read back, and GeoPixelD's own layout is read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from synthetic.questions import conversation, referring
from synthetic.scenes import EVALUATION_SEED, GENERATOR_VERSION, make_scene
from synthetic.tags import phrases_of
from training.dataset import load_dataset
from training.errors import DatasetError
from training.write import main, write_dataset

SIZE_PX = 128
ANSWER = "A court. The <p> tennis court-1 </p> [SEG] at right, <p> tennis court-2 </p> [SEG] , and trees."
# Two masks: a square of 5 x 4 pixels with its borders, and a triangle with a single pixel apart.
POLYGONS = [[[[2, 1], [6, 1], [6, 4], [2, 4]]], [[[10, 10], [14, 10], [10, 14]], [[0, 15]]]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), range(3), "train", SIZE_PX, 3)


def geopixeld(root: Path) -> Path:
    """The layout of the original's documentation: an index beside its folder, paths from above both."""
    folder = root / "data" / "GeoPixelD" / "train"
    folder.mkdir(parents=True)
    Image.fromarray(np.full((16, 20, 3), 90, np.uint8)).save(folder / "P0224_0_800_0_800.png")
    single = {
        "id": 0,
        "img": "data/GeoPixelD/train/P0224_0_800_0_800.png",
        "gcg_description": ANSWER,
        "polygons": POLYGONS,
    }
    (folder / "P0224_0_800_0_800.json").write_text(json.dumps(single))
    turns = [{"from": "human", "value": "What is here?"}, {"from": "bot", "value": ANSWER}]
    entry = {
        "id": 0,
        "conversations": turns,
        "image": single["img"],
        "polygons": "data/GeoPixelD/train/P0224_0_800_0_800.json",
    }
    index = root / "data" / "GeoPixelD.json"
    index.write_text(json.dumps([entry]))
    return index


def test_what_is_written_is_read_back(written: Path) -> None:
    dataset = load_dataset(written)
    samples = list(dataset)
    assert dataset.usable() == (list(range(len(dataset))), [])
    at = 0
    for seed in range(3):
        scene = make_scene(seed, SIZE_PX)
        for example in (conversation(scene), *referring(scene, 3)):
            sample = samples[at]
            at += 1
            assert sample.turns == ((example.question, example.answer),)
            assert sample.phrases == example.phrases
            for mask, truth in zip(sample.masks, example.masks(scene), strict=True):
                assert np.array_equal(mask.to_array(), truth)
            assert np.array_equal(sample.pixels(), scene.image)
            assert (sample.width_px, sample.height_px) == (SIZE_PX, SIZE_PX)
            assert sample.facts["seed"] == seed
            assert sample.facts["task"] == example.task
            assert sample.facts["generator_version"] == GENERATOR_VERSION
    assert at == len(samples)


def test_masks_are_coco_run_lengths_that_pycocotools_reads(written: Path) -> None:
    for entry in json.loads(written.read_text()):
        for rle in entry["segmentation"]:
            assert rle["size"] == [SIZE_PX, SIZE_PX]
            assert coco.decode(rle).any()


def test_writing_again_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    again = write_dataset(tmp_path, range(3), "train", SIZE_PX, 3)
    assert again.read_bytes() == written.read_bytes()
    assert not list(tmp_path.glob("*.tmp"))


def test_the_original_layout_is_read(tmp_path: Path) -> None:
    (sample,) = load_dataset(geopixeld(tmp_path))
    assert sample.turns == (("What is here?", ANSWER),)
    assert sample.phrases == ("tennis court-1", "tennis court-2")
    square, triangle = (mask.to_array() for mask in sample.masks)
    wanted = np.zeros((16, 20), bool)
    wanted[1:5, 2:7] = True
    assert np.array_equal(square, wanted)
    assert triangle.sum() == 15 + 1
    assert triangle[10, 10:15].all()
    assert triangle[15, 0]


def test_a_folder_of_single_files_is_read(tmp_path: Path) -> None:
    (sample,) = load_dataset(geopixeld(tmp_path).parent / "GeoPixelD" / "train")
    assert sample.turns[0][1] == ANSWER
    assert [mask.area_px for mask in sample.masks] == [20, 16]
    assert "interleaved" in sample.turns[0][0]


def test_several_turns_share_the_masks_in_order(tmp_path: Path) -> None:
    index = geopixeld(tmp_path)
    (entry,) = json.loads(index.read_text())
    values = ("Where is the first?", "It is <p> a </p> [SEG] .", "And the other?", "Here: <p> b </p> [SEG]")
    entry["conversations"] = [{"from": ("human", "bot")[at % 2], "value": value} for at, value in enumerate(values)]
    index.write_text(json.dumps([entry]))
    (sample,) = load_dataset(index)
    assert sample.turns == (values[:2], values[2:])
    assert sample.phrases == ("a", "b")


def test_unusable_entries_are_listed_and_the_rest_stays_usable(tmp_path: Path) -> None:
    index = geopixeld(tmp_path)
    (entry,) = json.loads(index.read_text())
    index.write_text(json.dumps([entry, entry | {"id": "gone", "image": "no.png"}]))
    good, bad = load_dataset(index).usable()
    assert good == [0]
    assert len(bad) == 1
    assert "'gone'" in str(bad[0])


@pytest.mark.parametrize(
    ("answer", "phrases"),
    [("Nothing here.", []), ("<p> a b </p> [SEG]", ["a b"]), ("<p>a</p>[SEG].<p>b</p> [SEG]", ["a", "b"])],
)
def test_phrases(answer: str, phrases: list[str]) -> None:
    assert phrases_of(answer) == phrases


def test_a_training_split_takes_no_evaluation_seed(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=str(EVALUATION_SEED)):
        write_dataset(tmp_path, [3, EVALUATION_SEED], "train", SIZE_PX)
    index = write_dataset(tmp_path, [EVALUATION_SEED], "test", SIZE_PX, 1)
    assert load_dataset(index)[0].facts["seed"] == EVALUATION_SEED


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--scenes", "1", "--size", "128", "--questions", "1"]
    assert main([str(tmp_path / "made"), *options]) == 0
    assert len(load_dataset(capsys.readouterr().out.strip())) == 2
    assert main([str(tmp_path / "made"), "--scenes", "0"]) == 3
    assert "empty" in capsys.readouterr().err
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert main([str(blocked / "under"), *options]) == 3
    assert "cannot be written" in capsys.readouterr().err
