"""Datasets that are damaged or lie: a DatasetError that names the file and the entry, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from geopixel_edge.errors import GeoPixelError
from geopixel_edge.masks import Mask
from synthetic.tags import phrases_of
from training.dataset import load_dataset
from training.errors import DatasetError
from training.write import write_dataset

RLE = Mask.from_array(np.eye(16, 20, dtype=bool)).to_coco()
Entry = dict[str, Any]


def entry(answer: str = "<p> it </p> [SEG] .") -> Entry:
    turns = [{"from": "human", "value": "Where?"}, {"from": "bot", "value": answer}]
    return {"id": "e7", "image": "train/a.png", "conversations": turns, "segmentation": [RLE]}


def place(root: Path, entries: Any) -> Path:
    (root / "train").mkdir()
    Image.fromarray(np.zeros((16, 20, 3), np.uint8)).save(root / "train" / "a.png")
    index = root / "train.json"
    index.write_text(json.dumps(entries))
    return index


def test_the_sound_entry_is_read(tmp_path: Path) -> None:
    assert load_dataset(place(tmp_path, [entry()]))[0].masks[0].area_px == 16


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no valid JSON"),
        (b'[{"id": 1', "no valid JSON"),
        (b"\xff\xfe\x00", "no valid JSON"),
        (b"[" * 100_000, "no valid JSON"),
        (b"{}", "list of entries"),
        (b"7", "list of entries"),
        (b"[]", "empty"),
    ],
)
def test_a_corrupt_index(tmp_path: Path, content: bytes, said: str) -> None:
    index = tmp_path / "train.json"
    index.write_bytes(content)
    with pytest.raises(DatasetError, match=said) as caught:
        load_dataset(index)
    assert "train.json" in str(caught.value)


def test_no_dataset_at_all(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        load_dataset(tmp_path / "none.json")
    with pytest.raises(DatasetError, match="the split is empty"):
        load_dataset(tmp_path)
    with pytest.raises(DatasetError, match="would be empty; give at least one"):
        write_dataset(tmp_path, [])


def without(key: str) -> Callable[[Entry], Any]:
    return lambda one: {name: value for name, value in one.items() if name != key}


def having(**changes: Any) -> Callable[[Entry], Any]:
    return lambda one: one | changes


def turns(*pairs: tuple[Any, Any]) -> Callable[[Entry], Any]:
    return having(conversations=[{"from": side, "value": text} for side, text in pairs])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: None, "no object"),
        (lambda one: [one], "no object"),
        (without("image"), "no `image`"),
        (having(image=3), "no `image`"),
        (without("conversations"), "conversations"),
        (having(conversations=[]), "conversations"),
        (having(conversations="hello"), "conversations"),
        (turns(("human", "Where?")), "conversations"),
        (turns(("bot", "x"), ("human", "y")), "turn 0"),
        (turns(("human", "Where?"), ("bot", None)), "turn 1"),
        (without("segmentation"), "neither"),
        (having(segmentation=RLE), "neither"),
        (having(segmentation=None, polygons=[[]]), "neither"),
    ],
)
def test_an_entry_of_another_shape(tmp_path: Path, change: Callable[[Entry], Any], said: str) -> None:
    with pytest.raises(DatasetError, match=said) as caught:
        load_dataset(place(tmp_path, [entry(), change(entry())]))
    assert "train.json: entry 1" in str(caught.value)


def other_size() -> dict[str, Any]:
    return Mask.from_array(np.ones((20, 16), bool)).to_coco()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (having(image="train/none.png"), "missing"),
        (having(image="../train/a.png"), "leaves the dataset"),
        (having(image="/etc/hostname"), "leaves the dataset"),
        (having(image="train.json"), "cannot be read"),
        (having(segmentation=[]), "1 .SEG. but there are 0 masks"),
        (having(segmentation=[RLE, RLE]), "1 .SEG. but there are 2 masks"),
        (having(segmentation=[other_size()]), "16 x 20 px, its image 20 x 16"),
        (having(segmentation=[None]), "mask 0 is damaged"),
        (having(segmentation=[{"size": [16, 20]}]), "damaged"),
        (having(segmentation=[{"size": [16, 20], "counts": "\x01\x02"}]), "damaged"),
        (having(segmentation=[{"size": [16, 20], "counts": [3, 5]}]), "damaged"),
        (having(segmentation=[{"size": [1 << 40, 2], "counts": "0"}]), "damaged"),
        (having(segmentation=None, polygons="train/none.json"), "missing"),
        (turns(("human", "Where?"), ("bot", "<p> a </p> and <p> b </p> [SEG]")), "phrase 'a' has no"),
        (turns(("human", "Where?"), ("bot", "It is <p> here </p> .")), "phrase 'here' has no"),
    ],
)
def test_an_entry_whose_files_or_masks_do_not_fit(tmp_path: Path, change: Callable[[Entry], Any], said: str) -> None:
    dataset = load_dataset(place(tmp_path, [change(entry())]))
    with pytest.raises(DatasetError, match=said) as caught:
        dataset[0]
    assert "train.json" in str(caught.value)
    assert "leaves" in said or "entry id 'e7'" in str(caught.value)
    assert dataset.usable()[0] == []


@pytest.mark.parametrize(
    ("polygons", "said"),
    [
        ("none", "no list `polygons`"),
        ([], "there are 0 masks"),
        ([[]], "no polygon"),
        ([None], "no list of polygons"),
        ([[[[1, "x"], [2, 2]]]], "no list of polygons"),
        ([[[[1, 2, 3]]]], "list of .x, y."),
        ([[[1, 2]]], "list of .x, y."),
        ([[[[1e30, 1], [2, 2]]]], "list of .x, y."),
        ([[[]]], "list of .x, y."),
    ],
)
def test_polygons_that_are_none(tmp_path: Path, polygons: Any, said: str) -> None:
    index = place(tmp_path, [without("segmentation")(entry()) | {"polygons": "train/a.json"}])
    (tmp_path / "train" / "a.json").write_text(json.dumps({"polygons": polygons}))
    with pytest.raises(DatasetError, match=said) as caught:
        load_dataset(index)[0]
    assert "'e7'" in str(caught.value)


def test_a_truncated_image(tmp_path: Path) -> None:
    index = place(tmp_path, [entry()])
    path = tmp_path / "train" / "a.png"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DatasetError, match=r"a\.png"):
        load_dataset(index)[0].pixels()


def test_a_folder_with_another_file(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"id": 1}')
    with pytest.raises(DatasetError, match="gcg_description"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("<p> a", "phrase 'a' has no"),
        ("</p> [SEG]", "a </p> closes nothing"),
        ("[SEG]", "has no phrase"),
        ("<p> </p> [SEG]", "a phrase is empty"),
        ("<p> a <p> b </p> [SEG]", "phrase 'a' has no"),
        ("<p> a </p> [SEG] [SEG]", "has no phrase"),
    ],
)
def test_tags_that_do_not_pair(answer: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        phrases_of(answer)


def test_dataset_errors_are_the_package_s_own() -> None:
    assert issubclass(DatasetError, GeoPixelError)
    assert DatasetError.exit_code == 3
