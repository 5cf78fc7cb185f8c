"""Runs and predictions that are torn, of another size, or of another data set or engine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluate import files
from evaluate.cli import main
from evaluate.data.miniature import write_miniature
from evaluate.errors import DataError, RunError
from evaluate.runs.ledger import Run
from geopixel_edge.errors import OutputError

from ..support.edited import edited

ROOT = Path(__file__).parents[2]


def test_a_folder_of_another_run_is_refused(
    geopixeld: Path, asked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["rsgcg", "bundled", "--data", str(geopixeld), "--out", str(asked)]
    assert main([*command, "--max-new-tokens", "61"]) == 3
    assert "max_new_tokens=60, this one has 61" in capsys.readouterr().err
    other = tmp_path / "other"
    write_miniature(other, "geopixeld", 1, seed=7, side_px=128)
    assert main(["rsgcg", "bundled", "--data", str(other), "--out", str(asked), "--max-new-tokens", "60"]) == 3
    assert "fingerprint" in capsys.readouterr().err
    assert main(["score", str(asked), "--data", str(other), "--no-java", "--out", str(tmp_path / "x")]) == 3
    assert "with other files than" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_predictions_of_another_data_set_are_refused(
    asked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    write_miniature(other, "geopixeld", 1, seed=7, side_px=128)
    assert main(["score", "--predictions", str(asked / "predictions"), "--data", str(other), "--no-java"]) == 3
    assert "of no image of this data set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda record: record.pop("phrases"), "lacks image_id, caption, phrases or pred_masks"),
        (lambda record: record.update(pred_masks=[[1, 2, 3]]), "no run lengths"),
        (lambda record: record.update(pred_masks=[{"size": [128, 128], "counts": "!!"}]), "COCO run-length"),
        (lambda record: record.update(image_id="another"), "renamed"),
    ],
)
def test_a_damaged_prediction_is_named(change: Callable[[Any], object], told: str, asked: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(asked, run)
    path = sorted((run / "predictions").glob("*.json"))[0]
    edited(path, change)
    with pytest.raises(RunError, match=told) as caught:
        Run.open(run).prediction(path.stem)
    assert path.name in str(caught.value)


def test_masks_of_another_size_are_no_prediction_of_this_image(
    geopixeld: Path, asked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(asked / "predictions", tmp_path / "predictions")
    path = sorted((tmp_path / "predictions").glob("*.json"))[0]
    edited(path, lambda record: record.update(pred_masks=[{"size": [8, 8], "counts": "P2"}]))
    files_of = ["--predictions", str(tmp_path / "predictions"), "--data", str(geopixeld)]
    assert main(["score", *files_of, "--no-java"]) == 3
    assert "predict at the size of its truth" in capsys.readouterr().err


def test_a_full_disk_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match=r"No space left on device.*what is finished is kept"):
        files.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


def test_what_a_killed_process_left_is_removed_and_what_a_running_one_writes_is_not(tmp_path: Path) -> None:
    code = (
        "import os, signal; from pathlib import Path; from evaluate import files\n"
        "os.replace = lambda *both: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"files.write_json(Path({str(tmp_path / 'a.json')!r}), [1])"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    dead = next(part for part in left.name.split("-") if part.isdigit())
    mine = left.with_name(left.name.replace(f"-{dead}-", f"-{os.getpid()}-"))
    foreign = left.with_name(".b.json.00000000-1-00000000.partial")
    old = left.with_name(".c.json.00000000-1-00000000.partial")
    for path in (mine, foreign, old):
        path.write_text("{")
    os.utime(old, (0, 0))
    Run.begin(tmp_path, {"task": "rsgcg"})
    assert {path.name for path in tmp_path.iterdir()} == {mine.name, foreign.name, "run.json"}


def test_a_miniature_needs_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(DataError, match="not an empty folder"):
        write_miniature(tmp_path, "geopixeld", 1)
    assert [one.name for one in tmp_path.iterdir()] == ["a"]
