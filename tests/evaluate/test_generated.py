"""Generated scenes as a data set: written once, in the task's layout, whole or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from evaluate.cli import main
from evaluate.data.generated import folder_of
from evaluate.data.geopixeld import GeoPixelD
from evaluate.data.rrsisd import RrsisD
from evaluate.errors import DataError
from evaluate.files import aside_of, clear_leftovers
from geopixel_edge.errors import OptionError


def test_scenes_are_asked_and_scored_by_name(tmp_path: Path) -> None:
    run = tmp_path / "run"
    asked = ["--data", "scenes:7-8,128", "--out", str(run), "--max-new-tokens", "30", "--limit", "1"]
    assert main(["rsgcg", "bundled", *asked]) == 0
    written = {path: path.stat().st_mtime_ns for path in (run / "data").rglob("*")}
    assert main(["rsgcg", "bundled", *asked]) == 0
    assert {path: path.stat().st_mtime_ns for path in (run / "data").rglob("*")} == written
    assert main(["score", str(run), "--no-java", "--partial"]) == 0
    assert json.loads((run / "report.json").read_text())["dataset"] == "GeoPixelD test"


def test_each_task_has_its_layout(tmp_path: Path) -> None:
    data = GeoPixelD(folder_of(Path("scenes:7-8,128"), "rsgcg", tmp_path / "a"))
    assert [item.image_id for item in data.items] == ["P7_0_128_0_128", "P8_0_128_0_128"]
    refer = RrsisD(folder_of(Path("scenes:7-7,128"), "rrsisd", tmp_path / "b"), ("train", "val", "test"))
    assert len(refer.items) == 1
    assert folder_of(tmp_path, "rsgcg", tmp_path / "c") == tmp_path
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("scenes:", "names no scenes"),
        ("scenes:1", "names no scenes"),
        ("scenes:2-1", "holds no scene"),
        ("scenes:0-100000", "over 100000"),
        ("scenes:1-2,64", "size=64"),
    ],
)
def test_what_is_no_scene_is_named_and_nothing_written(words: str, told: str, tmp_path: Path) -> None:
    with pytest.raises((DataError, OptionError), match=told):
        folder_of(Path(words), "rsgcg", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_other_scenes_need_another_folder(tmp_path: Path) -> None:
    folder_of(Path("scenes:7-7,128"), "rsgcg", tmp_path)
    with pytest.raises(DataError, match=r"is not of data='scenes:8-8,128'; choose another --out"):
        folder_of(Path("scenes:8-8,128"), "rsgcg", tmp_path)


def test_what_ended_half_way_is_no_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        folder_of(Path("scenes:7-7,128"), "rsgcg", tmp_path)
    assert list(tmp_path.iterdir()) == []
    left = aside_of(tmp_path / "data")
    left = left.with_name(left.name.replace(f"-{os.getpid()}-", "-4194304999-"))
    (left / "test").mkdir(parents=True)
    clear_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []
