"""Runs of the bundled engine over miniature data: killed, resumed, shared out, scored, compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from evaluate.cli import main
from evaluate.data.geopixeld import GeoPixelD
from evaluate.runs.compare import edit_distance
from evaluate.runs.ledger import Run

SHORT = ["--max-new-tokens", "60"]


def report_of(run: Path) -> bytes:
    return (run / "report.json").read_bytes()


def rsgcg(data: Path, out: Path, *more: str) -> int:
    return main(["rsgcg", "bundled", "--data", str(data), "--out", str(out), *SHORT, *more])


def score(*runs: Path, out: Path | None = None) -> int:
    place = ["--out", str(out)] if out else []
    return main(["score", *map(str, runs), "--no-java", *place])


def test_a_report_has_every_figure_and_fetches_nothing(asked: Path, referred: Path) -> None:
    found = json.loads(report_of(asked))
    assert found["images"] == 3
    assert found["partial"] is False
    assert set(found["parts"]) == {"overall", "uni-target", "multi-target"}
    assert set(found["parts"]["overall"]["published"]) == {"pycocotools", "fill"}
    assert 0 < found["parts"]["overall"]["strict"]["mIoU"]["value"] < 1
    assert len(found["curve"]) == 101
    assert set(found["groups"]) == {"class", "size", "things per phrase", "quarter"}
    told = json.loads(report_of(referred))
    assert set(told["published"]) == {"native", "480"}
    assert 0 < told["strict"]["P@0.5"]["value"] <= 1
    for run in (asked, referred):
        page = (run / "report.html").read_text(encoding="utf-8")
        assert page.count("<svg") == (2 if run == asked else 1)  # precision and recall, sizes
        values = found["per_image"] if run == asked else told["per_expression"]
        assert page.count("<figure>") == min(12, len(values)) >= 3
        assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_two_shards_are_one_run(geopixeld: Path, asked: Path, tmp_path: Path) -> None:
    shards = [tmp_path / "one", tmp_path / "two"]
    for number, out in enumerate(shards, 1):
        assert rsgcg(geopixeld, out, "--shard", f"{number}/2") == 0
    counts = [len(Run.open(out).ids()) for out in shards]
    assert sum(counts) == 3
    assert min(counts) > 0
    assert score(*shards, out=tmp_path / "merged") == 0
    assert report_of(tmp_path / "merged") == report_of(asked)
    assert (tmp_path / "merged" / "report.html").read_bytes() == (asked / "report.html").read_bytes()


def test_an_incomplete_run_is_scored_only_as_one(
    geopixeld: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rsgcg(geopixeld, tmp_path / "run", "--limit", "1") == 0
    assert score(tmp_path / "run") == 7
    assert "2 images" in capsys.readouterr().err
    assert main(["score", str(tmp_path / "run"), "--no-java", "--partial"]) == 0
    assert json.loads(report_of(tmp_path / "run"))["partial"] is True
    assert "no figure here is one of the whole split" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_a_finished_image_is_not_asked_again_and_a_torn_one_is(geopixeld: Path, asked: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(asked, run)
    first, second, *_ = Run.open(run).ids()
    kept = (run / "answers" / f"{first}.json").stat().st_mtime_ns
    torn = run / "predictions" / f"{second}.json"
    whole = torn.read_bytes()
    torn.write_bytes(whole[: len(whole) // 2])
    assert score(run) == 3
    assert rsgcg(geopixeld, run) == 0
    assert torn.read_bytes() == whole
    assert (run / "answers" / f"{first}.json").stat().st_mtime_ns == kept


def test_predictions_and_truth_in_the_originals_files_give_the_same_published_figures(
    geopixeld: Path, asked: Path, tmp_path: Path
) -> None:
    assert main(["truth", "--data", str(geopixeld), "--out", str(tmp_path / "gt")]) == 0
    files = ["--predictions", str(asked / "predictions"), "--truth", str(tmp_path / "gt")]
    assert main(["score", *files, "--no-java", "--out", str(tmp_path / "out")]) == 0
    theirs, ours = json.loads(report_of(tmp_path / "out")), json.loads(report_of(asked))
    for part in ("overall", "multi-target"):
        assert theirs["parts"][part]["published"]["as given"] == ours["parts"][part]["published"]["fill"]
    assert theirs["captions"] == ours["captions"]


def test_our_files_go_through_the_originals_own_scorer(geopixeld: Path, asked: Path, tmp_path: Path) -> None:
    """As groundingLMM's script reads both folders: COCO, loadRes and COCOeval of pycocotools, every score 1."""
    tools = [pytest.importorskip(f"pycocotools.{name}") for name in ("coco", "cocoeval")]
    assert main(["truth", "--data", str(geopixeld), "--out", str(tmp_path)]) == 0
    truth = tools[0].COCO(str(tmp_path / "test_gcg_coco_mask_gt.json"))
    captions = tools[0].COCO(str(tmp_path / "test_gcg_coco_caption_gt.json"))
    found = []
    for image in truth.getImgIds():
        record = json.loads((asked / "predictions" / f"{image}.json").read_text())
        assert set(record) == {"image_id", "caption", "phrases", "pred_masks"}
        masks = [{"image_id": image, "category_id": 1, "segmentation": rle} for rle in record["pred_masks"]]
        found += [{**one, "score": 1.0} for one in masks]
        (caption,) = captions.imgToAnns[image]
        assert len(caption["labels"]) == len(truth.imgToAnns[image])
    judge = tools[1].COCOeval(truth, truth.loadRes(found), "segm")
    judge.params.catIds = [1]
    for step in (judge.evaluate, judge.accumulate, judge.summarize):
        step()
    ours = json.loads(report_of(asked))["parts"]["overall"]["published"]["fill"]["AP50"]
    assert 0 < judge.stats[1] < 1
    assert judge.stats[1] == pytest.approx(ours, abs=1e-12)


def test_answers_that_are_the_truth_score_one(geopixeld: Path, tmp_path: Path) -> None:
    data = GeoPixelD(geopixeld)
    (tmp_path / "perfect").mkdir()
    for image in data.annotations:
        truth, _ = data.truth(image, "fill")
        record: dict[str, Any] = {"image_id": image, "caption": truth.caption, "phrases": list(truth.phrases)}
        record["pred_masks"] = [mask.to_coco() for mask in truth.masks]
        (tmp_path / "perfect" / f"{image}.json").write_text(json.dumps(record))
    files = ["--predictions", str(tmp_path / "perfect"), "--data", str(geopixeld)]
    assert main(["score", *files, "--no-java", "--out", str(tmp_path / "out")]) == 0
    found = json.loads(report_of(tmp_path / "out"))["parts"]["overall"]
    for name in ("AP50", "mIoU", "recall"):
        assert found["published"]["fill"][name] == pytest.approx(1.0)
        assert found["strict"][name]["value"] == pytest.approx(1.0)
    # The other rasterisation loses half a pixel all round, of the truth alone.
    assert 0.5 < found["published"]["pycocotools"]["mIoU"] < 0.99


def test_a_comparison_finds_what_changed_and_nothing_between_equals(
    geopixeld: Path, asked: Path, tmp_path: Path
) -> None:
    assert main(["compare", str(asked), str(asked), "--no-java", "--out", str(tmp_path / "same")]) == 0
    same = json.loads((tmp_path / "same" / "comparison.json").read_text())
    assert same["agreement"]["same_text"] == same["agreement"]["same_masks"] == 1
    assert same["figures"]["mIoU"]["difference"] == {"value": 0.0, "interval": [0.0, 0.0]}
    more = ["--data", str(geopixeld), "--max-new-tokens", "20", "--limit", "1"]
    assert main(["compare", str(asked), "bundled", *more, "--no-java", "--out", str(tmp_path / "less")]) == 0
    less = json.loads((tmp_path / "less" / "comparison.json").read_text())
    assert less["agreement"]["same_text"] < 1
    assert less["figures"]["mIoU"]["second"] < less["figures"]["mIoU"]["first"]
    assert "<figure>" in (tmp_path / "less" / "comparison.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("first", "second", "steps"),
    [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("same", "same", 0), ("abc", "", 3)],
)
def test_edit_distance(first: str, second: str, steps: int) -> None:
    assert edit_distance(first, second) == edit_distance(second, first) == steps
