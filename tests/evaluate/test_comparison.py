"""Two runs beside each other in every figure of their reports, over the images that both answered."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluate.cli import CASES, main
from evaluate.data import glamm
from evaluate.metrics import ranking
from evaluate.metrics.bootstrap import Ratio, Sampled, Whole, paired
from evaluate.metrics.coco import coco_stats

AS_PUBLISHED = [f"{name}, published, {way}" for way in ("pycocotools", "fill") for name in ("AP50", "mIoU", "recall")]
STRICT = ["AP50", "mIoU", "recall", "precision", "F1", "AP50, all scores 1"]


def comparison_of(out: Path) -> Any:
    return json.loads((out / "comparison.json").read_text())


def test_every_figure_is_paired_over_what_both_answered(
    geopixeld: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(geopixeld, data)
    gone = sorted((data / "test").glob("*.png"))[1]
    gone.unlink()
    asked = ["rsgcg", "bundled", "--data", str(data), "--allow-missing"]
    runs = [tmp_path / "a", tmp_path / "b"]
    assert main([*asked, "--out", str(runs[0]), "--max-new-tokens", "60"]) == 0
    assert main([*asked, "--out", str(runs[1]), "--max-new-tokens", "20", "--limit", "1"]) == 0
    assert main(["compare", *map(str, runs), "--no-java", "--out", str(tmp_path / "out")]) == 0
    found = comparison_of(tmp_path / "out")
    only = json.loads((runs[0] / "run.json").read_text())["fingerprint"]
    assert found["first"]["fingerprint"] == found["second"]["fingerprint"] == only
    assert found["images"] == 1
    told = {one["what"]: one["count"] for one in found["exclusions"]}
    assert told["image missing, left out"] == 1
    assert told["image not answered in the second run, left out"] == 1
    assert set(found["figures"]) == {"CIDEr (simple tokeniser)", *STRICT, *AS_PUBLISHED}
    assert found["similarity"] == "words"
    # One image: what was missing is no pair of zeros beside it.
    assert main(["score", str(runs[1]), "--no-java", "--partial"]) == 0
    report = json.loads((runs[1] / "report.json").read_text())
    kept = next(name for name, one in report["per_image"].items() if name != gone.stem)
    assert found["figures"]["mIoU"]["second"] == pytest.approx(report["per_image"][kept]["mIoU"])
    page = (tmp_path / "out" / "comparison.html").read_text()
    shown = capsys.readouterr().out
    for text in ("1 of image missing, left out", "1 of image not answered in the second run, left out"):
        assert text in shown
        assert text in page
    for name in ("recall (words)", "precision (words)", "F1 (words)", "recall, published, fill (words)"):
        assert f"<td>{name}</td>" in page


def test_rrsisd_is_paired_by_image(referred: Path, tmp_path: Path) -> None:
    assert main(["compare", str(referred), str(referred), "--out", str(tmp_path)]) == 0
    found = comparison_of(tmp_path)
    report = json.loads((referred / "report.json").read_text())
    for name, one in report["strict"].items():
        assert found["figures"][name]["first"] == pytest.approx(one["value"])
        assert found["figures"][name]["difference"] == {"value": 0.0, "interval": [0.0, 0.0]}
    for size, figures in report["published"].items():
        for name, value in figures.items():
            assert found["figures"][f"{name}, published, {size}"]["first"] == pytest.approx(value)
    assert found["images"] == 3
    assert "similarity" not in found


def test_images_are_drawn_and_not_their_expressions() -> None:
    """Nine expressions of one image and one of another: a draw has one of both images twice, or each once."""
    images = ["a"] * 9 + ["b"]
    values = np.array([0.0] * 9 + [1.0])
    found = Ratio.by_image(images, values, np.ones(10))
    assert found.value() == pytest.approx(0.1)
    assert set(found.draws().round(3)) == {0.0, 0.1, 1.0}


def test_differences_are_of_the_same_draws() -> None:
    values = np.random.default_rng(3).random(40)
    moved = paired(Ratio.mean(values), Ratio.mean(values + 0.25))
    assert moved["difference"]["value"] == pytest.approx(0.25)
    assert moved["difference"]["interval"] == pytest.approx([0.25, 0.25])
    assert (moved["better"], moved["worse"]) == (40, 0)
    slow = [Sampled(list(values + more), lambda ones: float(np.mean(ones))) for more in (0, 0.25)]
    moved = paired(*slow)
    assert moved["difference"]["interval"] == pytest.approx([0.25, 0.25])
    assert moved["better"] is None
    assert paired(Whole(0.25), Whole(0.5))["difference"] == {"value": 0.25, "interval": None}
    assert paired(Whole(None), Whole(0.5))["difference"] == {"value": None, "interval": None}


def test_the_published_ranking_gives_cocos_figure() -> None:
    counted = 0
    for path in sorted(CASES.glob("*.json")):
        case = json.loads(path.read_text())
        if case["kind"] != "gcg":
            continue
        judged = glamm.judged(glamm.truths(case["gt_masks"], case["gt_captions"]), case["predictions"])
        found = ranking.published_average_precision(ranking.ranked_as_published(judged))
        try:
            wanted = coco_stats(judged)[1]
        except IndexError:
            assert found is None
            continue
        assert found == (None if wanted == -1 else pytest.approx(wanted, abs=1e-12))
        counted += 1
    assert counted > 40


def test_every_figure_that_counts_by_similarity_names_it_and_has_an_interval(asked: Path, referred: Path) -> None:
    report = json.loads((asked / "report.json").read_text())
    page = (asked / "report.html").read_text().partition("<h2>Settings")[0]
    for name in ("recall", "precision", "F1"):
        assert f"<td>{name} (words)</td>" in page
        assert f"<td>{name}</td>" not in page
    assert page.count("<th>recall (words)</th>") == len(report["groups"]) == 4
    assert ">recall (words) by size<" in page
    for groups in report["groups"].values():
        for one in groups.values():
            low, high = one["intervals"]["recall"]
            assert low <= one["recall"] <= high
    for part in report["parts"].values():
        for raster, figures in part["published"].items():
            for name in ("AP50", "mIoU", "recall"):
                within = part["published_intervals"][raster][name]
                assert (within is None) == (figures[name] is None)
                assert within is None or within[0] <= figures[name] <= within[1]
    told = json.loads((referred / "report.json").read_text())
    assert set(told["groups"]) == {"class", "size", "things per phrase", "quarter"}
    for size, figures in told["published"].items():
        for name, value in figures.items():
            low, high = told["published_intervals"][size][name]
            assert low <= value <= high


def test_nothing_wanted_is_no_figure_and_labels_that_lack_are_counted(
    geopixeld: Path, asked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = tmp_path / "gt"
    assert main(["truth", "--data", str(geopixeld), "--out", str(truth)]) == 0
    score = ["score", "--predictions", str(asked / "predictions"), "--truth", str(truth), "--no-java"]
    captions = json.loads((truth / "test_gcg_coco_caption_gt.json").read_text())
    captions["annotations"][0]["labels"].pop()
    (truth / "test_gcg_coco_caption_gt.json").write_text(json.dumps(captions))
    assert main([*score, "--out", str(tmp_path / "short")]) == 0
    (told,) = json.loads((tmp_path / "short" / "report.json").read_text())["exclusions"]
    assert "another number of labels than of masks" in told["what"]
    assert told["images"] == [captions["annotations"][0]["image_id"]]
    masks = json.loads((truth / "test_gcg_coco_mask_gt.json").read_text())
    masks["annotations"].clear()
    (truth / "test_gcg_coco_mask_gt.json").write_text(json.dumps(masks))
    capsys.readouterr()
    assert main([*score, "--out", str(tmp_path / "none")]) == 0
    assert "-100.00" not in capsys.readouterr().out
    report = json.loads((tmp_path / "none" / "report.json").read_text())
    assert report["parts"]["overall"]["published"]["as given"]["AP50"] is None
