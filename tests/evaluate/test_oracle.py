"""The figures against those of the original scorers, on every case."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from evaluate.check import check
from evaluate.cli import CASES, main
from evaluate.errors import DataError
from evaluate.metrics.java import Java


def test_every_case_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--no-java"]) == 0
    assert "of 101 cases, 0 wrong" in capsys.readouterr().out


@pytest.mark.long
def test_texts_through_java_are_right() -> None:
    if shutil.which("java") is None:
        pytest.skip("no Java")
    java = Java.find()
    assert isinstance(java, Java), java
    try:
        found = check(CASES, java)
    finally:
        java.close()
    assert [one for one in found if not one.right] == []
    assert any(one.figure == "METEOR" for one in found)
    assert any(one.figure == "tokens" for one in found)


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("gcg_000", ("published", "miou"), 0.5),
        ("gcg_000", ("published", "true_positives"), 3),
        ("gcg_064", ("strict", "recall"), 0.5),
        ("cap_000", ("published", "CIDEr"), 5.5489747),
        ("rrsis_000", ("published", "P@0.5"), 0.5),
        ("fill_000", ("published", "masks"), None),
        ("refer_000", ("published", "splits"), {"train": [], "val": [], "test": []}),
    ],
)
def test_a_wrong_figure_is_seen(name: str, path: tuple[str, str], value: object, tmp_path: Path) -> None:
    case = json.loads((CASES / f"{name}.json").read_text())
    whole = case[path[0]][path[1]]
    case[path[0]][path[1]] = [{"size": [48, 64], "counts": "P`0"}] * len(whole) if value is None else value
    (tmp_path / f"{name}.json").write_text(json.dumps(case))
    assert main(["check", str(tmp_path), "--no-java"]) == 1
    shutil.copy(CASES / f"{name}.json", tmp_path)
    assert main(["check", str(tmp_path), "--no-java"]) == 0


def scored(case: dict[str, Any], tmp_path: Path, *more: str) -> Any:
    """The report of a folder of the original's files."""
    for kind in ("masks", "captions"):
        file = f"test_gcg_coco_{kind.removesuffix('s')}_gt.json"
        (tmp_path / file).write_text(json.dumps(case[f"gt_{kind}"]))
    (tmp_path / "predictions").mkdir()
    for image, record in case["predictions"].items():
        (tmp_path / "predictions" / f"{image}.json").write_text(json.dumps(record))
    (tmp_path / "table.json").write_text(json.dumps(case["similarity"]))
    files = ["--predictions", str(tmp_path / "predictions"), "--truth", str(tmp_path)]
    table = ["--similarity", f"table:{tmp_path / 'table.json'}", "--out", str(tmp_path / "out")]
    assert main(["score", *files, *table, *more]) == 0
    return json.loads((tmp_path / "out" / "report.json").read_text())


@pytest.mark.long
@pytest.mark.parametrize("name", ["e2e_000", "e2e_001", "e2e_003"])
def test_captions_of_the_originals_files_score_to_its_figures(name: str, tmp_path: Path) -> None:
    if shutil.which("java") is None:
        pytest.skip("no Java")
    case = json.loads((CASES / f"{name}.json").read_text())
    found, wanted = scored(case, tmp_path)["captions"], case["published"]["captions"]
    assert found["CIDEr"]["value"] == pytest.approx(wanted["CIDEr"], abs=1e-9)
    assert found["METEOR"]["value"] == wanted["METEOR"]


@pytest.mark.parametrize("name", ["e2e_000", "gcg_064", "gcg_000"])
def test_a_folder_of_the_originals_files_scores_to_its_figures(name: str, tmp_path: Path) -> None:
    case = json.loads((CASES / f"{name}.json").read_text())
    found = scored(case, tmp_path, "--no-java")["parts"]["overall"]
    for ours, theirs in (("AP50", "ap50"), ("mIoU", "miou"), ("recall", "recall")):
        assert found["published"]["as given"][ours] == pytest.approx(case["published"][theirs], abs=1e-12)
    for ours, theirs in (("mIoU", "miou"), ("recall", "recall")):
        assert found["strict"][ours]["value"] == pytest.approx(case["strict"][theirs], abs=1e-12)


def test_a_folder_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no case"):
        check(tmp_path, None)
    (tmp_path / "a.json").write_text('{"kind": "other"}')
    with pytest.raises(DataError, match="kind='other' is unknown"):
        check(tmp_path, None)
