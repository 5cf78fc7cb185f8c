"""Every script of examples/ as a reader runs it: in a folder of their own, with the engine in the package."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from geopixel_edge import Pipeline

from ..support.documented import ROOT

EXAMPLES = ROOT / "examples"
SCENE = EXAMPLES / "scene.png"
QUESTION = "Describe this image with interleaved segmentation masks."
SEGMENT = "Could you provide a segmentation mask for {} in this image?"
TESTED = (
    "01_ask.py",
    "02_stream.py",
    "03_follow_up.py",
    "04_batch.py",
    "05_supervision_and_coco.py",
    "06_many_images.py",
    "07_on_ray.py",
)


def run(script: str, folder: Path, *arguments: str) -> str:
    """What a script prints; its imports find this checkout."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    command = [sys.executable, str(EXAMPLES / script), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_script_is_tested_here() -> None:
    assert sorted(path.name for path in EXAMPLES.glob("[0-9]*.py")) == list(TESTED)


def test_ask_and_save(tmp_path: Path) -> None:
    printed = run("01_ask.py", tmp_path)
    answer = Pipeline()(SCENE, QUESTION)
    assert printed.splitlines()[0] == answer.text
    assert len(re.findall(r": \d+ px at \(", printed)) == len(answer.regions) > 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "answer.json",
        "report.html",
        "overlay.png",
        "regions.geojson",
    }


def test_stream(tmp_path: Path) -> None:
    printed = run("02_stream.py", tmp_path)
    answer = Pipeline()(SCENE, QUESTION)
    for region in answer.regions:
        assert f"[{region.phrase}]" in printed
        assert f"({region.area_px} px)" in printed
    assert f"\n{len(answer.token_ids)} tokens, eos; the first after " in printed


def test_follow_up(tmp_path: Path) -> None:
    lines = run("03_follow_up.py", tmp_path).splitlines()
    assert re.fullmatch(r"the bridge: \d+ px", lines[0])
    assert lines[2] == "the swimming pool: nothing like it"
    answer = Pipeline()(SCENE, QUESTION)
    assert lines[3] == answer.text
    known, whole = map(int, re.findall(r"\d+", lines[4]))
    assert 0 < known < whole == answer.timings.prompt_tokens


def test_batch_answers_as_single_questions_do(tmp_path: Path) -> None:
    lines = run("04_batch.py", tmp_path).splitlines()
    found = [tuple(map(int, re.findall(r"\d+", line))) for line in lines]
    assert [(x, y) for x, y, _, _ in found] == [(0, 0), (320, 0), (0, 320), (320, 320)]
    pipe, scene = Pipeline(), Image.open(SCENE).convert("RGB")
    for x, y, area_px, masks in found:
        tile = scene.crop((x, y, x + 320, y + 320))
        regions = pipe(tile, SEGMENT.format("the bridge"), max_new_tokens=64).regions
        assert masks == len(regions)
        assert abs(area_px - sum(region.area_px for region in regions)) <= 0.01 * area_px + 2


def test_supervision_and_coco(tmp_path: Path) -> None:
    printed = run("05_supervision_and_coco.py", tmp_path)
    document = json.loads((tmp_path / "out" / "coco.json").read_text(encoding="utf-8"))
    saved = json.loads((tmp_path / "out" / "answer.json").read_text(encoding="utf-8"))
    assert len(document["annotations"]) == len(saved["regions"]) > 0
    assert [one["area"] for one in document["annotations"]] == [one["area_px"] for one in saved["regions"]]
    if importlib.util.find_spec("supervision") is None:
        assert "supervision is not installed" in printed
    else:
        assert len(re.findall(r"\[\d+, \d+, \d+, \d+\]", printed)) == len(saved["regions"])


def test_many_images(tmp_path: Path) -> None:
    shutil.copy(SCENE, tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not an image, not asked about")
    lines = [json.loads(line) for line in run("06_many_images.py", tmp_path, str(tmp_path)).splitlines()]
    found = {line.pop("image"): line for line in lines}
    assert found.keys() == {"good.png", "bad.png"}
    assert found["good.png"]["regions"][0]["area_px"] > 0
    assert "bad.png" in found["bad.png"]["error"]


@pytest.mark.long
def test_on_ray(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        shutil.copy(SCENE, tmp_path / name)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    lines = run("07_on_ray.py", tmp_path, ".", "answers.parquet", "2").splitlines()
    assert [line.split()[0] for line in lines] == ["1/4", "2/4", "3/4", "4/4"]
    found = {row["id"]: row for row in pq.read_table(tmp_path / "answers.parquet").to_pylist()}
    assert found.keys() == {"a.png", "b.png", "c.png", "bad.png"}
    assert "bad.png" in found["bad.png"]["error"]
    answer = Pipeline(threads=1)(SCENE, QUESTION)
    for name in ("a.png", "b.png", "c.png"):
        assert found[name]["response"] == answer.response
        assert found[name]["masks"] == [region.mask.to_coco() for region in answer.regions] != []
