"""Which answers a report and a comparison show, and in what order."""

from __future__ import annotations

import html
import json
import re
from itertools import cycle
from pathlib import Path

import pytest

from evaluate.runs.compare import CHANGED, Change, most_changed
from evaluate.runs.gallery import EACH, worst_and_best
from evaluate.runs.ledger import Run


def test_the_worst_come_first_then_the_best_and_none_twice() -> None:
    values = {f"i{at:02}": at / 20 for at in range(20)}
    names = [name for name, _ in worst_and_best(values)]
    assert names == [*(f"i{at:02}" for at in range(EACH)), *(f"i{at:02}" for at in range(19, 19 - EACH, -1))]
    assert [name for name, _ in worst_and_best(dict.fromkeys("cab", 0.5), 2)] == ["a", "b", "c"]
    assert worst_and_best({"b": 0.9, "a": 0.1}) == [("a", 0.1), ("b", 0.9)]


def test_a_report_shows_the_worst_and_the_best_with_their_figures(asked: Path, referred: Path) -> None:
    images = {name: one["mIoU"] for name, one in json.loads((asked / "report.json").read_text())["per_image"].items()}
    told = json.loads((referred / "report.json").read_text())["per_expression"]
    for run, values in ((asked, images), (referred, told)):
        titles = re.findall(r"<figcaption><b>(.*?)</b>", (run / "report.html").read_text(encoding="utf-8"))
        shown = worst_and_best(values)
        assert len(titles) == len(shown)
        for title, (name, value) in zip(titles, shown, strict=True):
            assert html.unescape(title).startswith(name.rpartition("/")[0] or name)
            assert title.endswith(f"IoU {100 * value:.1f}")


def test_a_comparison_shows_the_ten_answers_that_changed_most(referred: Path) -> None:
    run = Run.open(referred)
    asked = [(image, answer["key"]) for image in run.ids() for answer in run.answers(image)]
    amounts = [0.3, 0.9, 0.1, 0.0, 0.5, 0.7, 0.2, 0.8, 0.4, 0.6, 1.0, 0.05]
    found = [Change(*one, edit=amount, iou=1.0) for one, amount in zip(cycle(asked), amounts, strict=False)]
    paths = {image: referred / f"{image}.png" for image in run.ids()}
    pictures = most_changed(run, run, found, paths)
    order = sorted((one for one in found if one.edit), key=lambda one: -one.edit)[:CHANGED]
    assert len(pictures) == CHANGED
    for picture, change in zip(pictures, order, strict=True):
        assert picture.title.startswith(f"{change.image_id} {change.key}: {100 * change.edit:.0f} % of the text")
        answer = next(one for one in run.answers(change.image_id) if one["key"] == change.key)
        assert picture.texts == (f"first: {answer['response']}", f"second: {answer['response']}")
    assert most_changed(run, run, [Change(*asked[0], edit=0.0, iou=1.0)], paths) == []


def test_masks_count_as_much_as_words() -> None:
    assert Change("a", "", 0.25, 0.5).amount == pytest.approx(0.75)
    assert Change("a", "", 0.0, 1.0).amount == 0
