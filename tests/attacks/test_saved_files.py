"""The directory of a saved answer: what real answers leave there is read back whole, everything else is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from geopixel_edge import Pipeline, limits
from geopixel_edge.answer import Answer
from geopixel_edge.errors import OutputError
from tests.support.answers import sample

IMAGES = Path(__file__).parents[1] / "data" / "tiny-geopixel" / "images"


@pytest.fixture(scope="module")
def small() -> Pipeline:
    return Pipeline(device="cpu")


@pytest.mark.parametrize("kind", ["file", "opened", "array", "several", "text"])
def test_a_model_s_answer_is_read_back_whole(small: Pipeline, tmp_path: Path, kind: str) -> None:
    path = IMAGES / "square.png"
    with Image.open(path) as opened:
        image: Any = {
            "file": path,
            "opened": opened,
            "array": np.asarray(opened.convert("RGB")),
            "several": [path, IMAGES / "tiny.png"],
            "text": None,
        }[kind]
        query = "Where? <ImageHere> <ImageHere>" if kind == "several" else "Where is the ship?"
        made = small(image, query, hd_num=1, max_new_tokens=40)
    made.save(tmp_path / "one")
    loaded = Answer.load(tmp_path / "one")
    assert loaded.to_dict() == made.to_dict()
    known = kind in ("file", "opened")
    if made.image is not None:
        assert made.image.path == (path.resolve() if known else None)
        assert [made.image.sha256] == made.provenance["image_sha256"]
    loaded = loaded.with_image(image) if kind == "array" else loaded
    loaded.save(tmp_path / "two")
    for file in (tmp_path / "one").iterdir():
        assert (tmp_path / "two" / file.name).read_bytes() == file.read_bytes()


def cut(root: Path) -> None:
    data = (root / "answer.json").read_bytes()
    (root / "answer.json").write_bytes(data[: len(data) // 2])


def huge(root: Path) -> None:
    with (root / "answer.json").open("r+b") as stream:
        stream.truncate(limits.MAX_ANSWER_BYTES + 1)


def written(text: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / "answer.json").write_text(text, "utf-8")

    return change


def other_kind(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def swap(root: Path) -> None:
        (root / "answer.json").unlink()
        make(root / "answer.json")

    return swap


FILES: list[tuple[str, Callable[[Path], None], str]] = [
    ("gone", other_kind(lambda path: None), "cannot be read (No such file"),
    ("empty", written(""), "is no JSON document"),
    ("cut", cut, "is no JSON document"),
    ("binary", other_kind(lambda path: path.write_bytes(b"\xff\xfe\0")), "is no JSON document"),
    ("huge", huge, f"has {limits.MAX_ANSWER_BYTES + 1} bytes, over {limits.MAX_ANSWER_BYTES}"),
    ("deep lists", written("[" * 1_000_000), "is no JSON document (nested too deeply)"),
    ("deep objects", written('{"a":' * 1_000_000), "is no JSON document (nested too deeply)"),
    ("many digits", written('{"schema": ' + "9" * 10_000 + "}"), "is no JSON document"),
    ("not a number", written('{"schema": NaN}'), "NaN is no JSON number"),
    ("a list", written("[]"), "answer.json is a list, not a dict"),
    ("another schema", written('{"schema": "x"}'), "answer.json: schema='x' is not"),
    ("a directory", other_kind(os.mkdir), "no regular file"),
    ("a pipe", other_kind(os.mkfifo), "no regular file"),
    ("a link to itself", other_kind(lambda path: path.symlink_to(path)), "cannot be read"),
    ("a device", other_kind(lambda path: path.symlink_to("/dev/zero")), "no regular file"),
]


@pytest.mark.parametrize(("kind", "change", "told"), FILES, ids=[row[0] for row in FILES])
def test_a_file_that_is_no_answer(tmp_path: Path, kind: str, change: Callable[[Path], None], told: str) -> None:
    sample().save(tmp_path)
    change(tmp_path)
    with pytest.raises(OutputError) as raised:
        Answer.load(tmp_path)
    assert told in str(raised.value)
    assert str(raised.value).startswith(f"directory={str(tmp_path)!r}")


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("absent", "cannot be read (No such file"),
        ("saved/answer.json", "is no directory"),
        ("", "is no directory"),
        ("nul\0byte", "cannot be read (embedded null"),
        (7, "directory=7 is not a path"),
        (b"saved", "directory=b'saved' is not a path"),
        (None, "directory=None is not a path"),
    ],
)
def test_a_path_that_is_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any, told: str) -> None:
    monkeypatch.chdir(tmp_path)
    sample().save("saved")
    with pytest.raises(OutputError) as raised:
        Answer.load(place)
    assert told in str(raised.value)


def test_a_pipe_in_the_place_of_an_answer_does_not_stop_saving(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "answer.json")
    with pytest.raises(OutputError, match=r"answer\.json is there and is no earlier answer's"):
        sample().save(tmp_path)


@pytest.mark.parametrize("told", [["overlay.png", "../../etc/passwd"], [None, {}], "all", {"overlay.png": 1}])
def test_a_list_of_files_names_no_others(tmp_path: Path, told: object) -> None:
    sample().save(tmp_path)
    document = json.loads((tmp_path / "answer.json").read_text())
    (tmp_path / "answer.json").write_text(json.dumps({**document, "files": told}))
    (tmp_path / "kept").write_text("mine")
    if isinstance(told, list):  # answer.json itself is not on it
        with pytest.raises(OutputError, match="is no earlier answer's"):
            sample().save(tmp_path)
    else:
        assert len(sample().save(tmp_path)) == 4
    assert (tmp_path / "kept").read_text() == "mine"
