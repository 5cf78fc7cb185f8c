"""Drafts change no answer of the bundled engine, over as many questions as make that worth saying."""

from __future__ import annotations

import json

import pytest

from benchmarks import draft
from synthetic.scenes import EVALUATION_SEED


@pytest.mark.long
def test_answers_are_equal_and_take_fewer_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert draft.main(["--questions", "300", "--seed", str(EVALUATION_SEED + 300_000), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["questions"], found["equal"]) == (300, 1.0)
    assert found["masks"] > 100
    assert found["least_mask_iou"] >= 0.999
    assert found["acceptance"] > 0.9
    assert found["runs_per_answer"]["drafted"] < 2 < found["runs_per_answer"]["plain"]
