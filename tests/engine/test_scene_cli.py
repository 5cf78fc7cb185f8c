"""`geopixel-edge scene` with the engine in the package: a layer, exit codes, and one line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from geopixel_edge.cli import main
from geopixel_edge.errors import InferenceError
from geopixel_edge.scenes.asking import PipelineAsker

FIXTURE = Path(__file__).parents[1] / "data" / "geo" / "rgb_utm_1.tif"


def test_a_layer_comes_out_and_its_counts_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "o.geojson"
    command = ["scene", str(FIXTURE), "ships", "buildings", "--out", str(out), "--window", "256", "--json"]
    assert main(command) == 0
    *lines, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert lines[-1]["progress"]["done"] == lines[-1]["progress"]["total"] == last["windows"]
    features = json.loads(out.read_text("utf-8"))["features"]
    assert sum(last["objects"].values()) == len(features)
    assert last["paths"] == [str(out), f"{out}.stac.json", str(out.with_suffix(".html"))]


def test_windows_that_fail_end_with_seven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise InferenceError("a block gave numbers that are not finite")

    monkeypatch.setattr(PipelineAsker, "ask", fail)
    command = ["scene", str(FIXTURE), "ships", "--out", str(tmp_path / "o.geojson")]
    assert main(command) == 7
    assert "windows failed" in capsys.readouterr().err
    monkeypatch.undo()
    assert main([*command, "--retry-failed"]) == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["ships", "--out", "o.shp"], 3, "of no known kind"),
        (["the largest ship", "--out", "o.geojson"], 3, "--per-window"),
        (["ships", "--out", "o.geojson", "--bands", "9"], 3, "9"),
        (["ships", "--out", "o.geojson", "--stretch", "1"], 3, "stretch="),
        (["ships", "--out", "nowhere/o.geojson"], 6, "is no folder"),
        (["--out", "o.geojson"], 3, "phrases"),
    ],
)
def test_what_is_wrong_is_one_line(
    words: list[str],
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["scene", str(FIXTURE), *words]) == code
    error = capsys.readouterr().err
    assert told in error
    assert len(error.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
