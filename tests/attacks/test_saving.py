"""A directory holds one answer, whole; an input, and what no answer wrote, is never replaced."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from geopixel_edge import Answer, OutputError, Pipeline, cli

IMAGES = Path(__file__).parents[1] / "data" / "tiny-geopixel" / "images"
SHORT = ["--hd-num", "1", "--max-new-tokens", "2", "--device", "cpu"]
NAMES = {"answer.json", "report.html", "overlay.png", "regions.geojson"}


@pytest.fixture(scope="module")
def small() -> Pipeline:
    return Pipeline(device="cpu")


def answer(small: Pipeline, image: object) -> Answer:
    return small(image, "Where?", hd_num=1, max_new_tokens=2)  # type: ignore[arg-type]


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_next_answer_replaces_the_last_one_whole(small: Pipeline, tmp_path: Path) -> None:
    answer(small, IMAGES / "tiny.png").save(tmp_path)
    assert contents(tmp_path).keys() == NAMES
    answer(small, None).save(tmp_path)
    assert contents(tmp_path).keys() == {"answer.json", "report.html"}
    answer(small, IMAGES / "square.png").save(tmp_path)
    assert contents(tmp_path).keys() == NAMES
    assert json.loads((tmp_path / "answer.json").read_text())["image_size"] == [640, 640]


def test_other_files_beside_an_answer_stay(small: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for image in (IMAGES / "tiny.png", None):
        answer(small, image).save(tmp_path)
    assert contents(tmp_path)["notes.txt"] == b"mine"


def link(kind: str, own: Path, tmp_path: Path) -> Path:
    """Another name of the image `own`."""
    if kind == "the file":
        return own
    if kind == "a directory's link":
        (tmp_path / "door").symlink_to(own.parent)
        return tmp_path / "door" / own.name
    other = tmp_path / "other.png"
    if kind == "a hard link":
        os.link(own, other)
    else:
        other.symlink_to(own)
    return other


@pytest.mark.parametrize("kind", ["the file", "a symbolic link", "a hard link", "a directory's link"])
@pytest.mark.parametrize("others", [0, 1])
def test_an_image_that_was_asked_about_is_not_replaced(small: Pipeline, tmp_path: Path, kind: str, others: int) -> None:
    own = tmp_path / "own" / "overlay.png"
    answer(small, IMAGES / "square.png").save(own.parent)  # so that the names are an answer's
    before = contents(own.parent)
    images = [*[IMAGES / "tiny.png"] * others, link(kind, own, tmp_path)]
    asked = small(images, "Which? " + "<ImageHere> " * len(images), hd_num=1, max_new_tokens=2)
    with pytest.raises(OutputError, match=r"overlay\.png there is an image that was asked about"):
        asked.save(own.parent)
    assert contents(own.parent) == before


def test_an_opened_pillow_image_is_an_input_too(small: Pipeline, tmp_path: Path) -> None:
    from PIL import Image

    shutil.copy(IMAGES / "tiny.png", tmp_path / "overlay.png")
    before = contents(tmp_path)
    with Image.open(tmp_path / "overlay.png") as image, pytest.raises(OutputError, match=r"overlay\.png"):
        answer(small, image).save(tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_file_that_is_no_answer_s_is_not_replaced(small: Pipeline, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"schema": "something else"}')
    before = contents(tmp_path)
    for image in (IMAGES / "tiny.png", None, np.zeros((8, 8, 3), np.uint8)):
        with pytest.raises(OutputError, match=f"{name} is there and is no earlier answer's"):
            answer(small, image).save(tmp_path)
    assert contents(tmp_path) == before


def test_an_answer_without_an_image_does_not_vouch_for_an_overlay(small: Pipeline, tmp_path: Path) -> None:
    answer(small, None).save(tmp_path)
    (tmp_path / "overlay.png").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=r"overlay\.png is there and is no earlier"):
        answer(small, IMAGES / "tiny.png").save(tmp_path)
    assert contents(tmp_path) == before


def test_a_failure_half_way_brings_the_earlier_answer_back(
    small: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(small, IMAGES / "square.png").save(tmp_path)
    before = contents(tmp_path)
    replace: Callable[[Path, Path], None] = os.replace

    def failing_at(stop: int) -> Callable[[Path, Path], None]:
        calls = iter(range(100))

        def failing(source: Path, target: Path) -> None:
            if next(calls) == stop:
                raise OSError(5, "Input/output error")
            replace(source, target)

        return failing

    for stop in range(6):
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", failing_at(stop))
            with pytest.raises(OutputError, match="Input/output error"):
                answer(small, None).save(tmp_path)
        assert contents(tmp_path) == before


def test_the_command_line_tells_before_it_loads_an_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(IMAGES / "tiny.png", tmp_path / "overlay.png")
    words = ["ask", str(tmp_path / "overlay.png"), "Where?", "--out", str(tmp_path), *SHORT]
    assert cli.main([*words, "--engine", "absent"]) == 6
    out, err = capsys.readouterr()
    assert out == ""
    assert "choose another directory" in err
    assert contents(tmp_path) == {"overlay.png": (IMAGES / "tiny.png").read_bytes()}


def test_folders_made_for_an_answer_that_cannot_be_written_go_again(small: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    for place in ("new/" + "n" * 300, "kept/new/deeper/" + "n" * 300):
        with pytest.raises(OutputError, match="cannot be written"):
            answer(small, None).save(tmp_path / place)
    assert [path.name for path in tmp_path.rglob("*")] == ["kept"]
    answer(small, None).save(tmp_path / "kept" / "new" / "deeper")
    assert (tmp_path / "kept" / "new" / "deeper" / "report.html").is_file()


def test_an_empty_directory_s_name_is_refused(small: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="names no directory"):
        answer(small, None).save("")
    assert list(tmp_path.iterdir()) == []
