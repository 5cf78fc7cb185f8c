"""A run's folder whose files do not belong together, or are no answers: named, and asked again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from evaluate.cli import main
from evaluate.errors import RunError
from evaluate.runs.ledger import Run

from ..support.edited import Change, edited


@pytest.fixture
def run(asked: Path, tmp_path: Path) -> Path:
    shutil.copytree(asked, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def refer_run(referred: Path, tmp_path: Path) -> Path:
    shutil.copytree(referred, tmp_path / "run")
    return tmp_path / "run"


def first(run: Path, folder: str) -> Path:
    return sorted((run / folder).glob("*.json"))[0]


def refused(run: Path, told: str) -> None:
    with pytest.raises(RunError, match=told):
        Run.open(run).prediction(first(run, "predictions").stem)
    assert main(["score", str(run), "--no-java"]) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update(caption="another"),
        lambda record: record["phrases"].append("another"),
        lambda record: record["pred_masks"].reverse(),
    ],
)
def test_a_prediction_is_what_its_answer_says(change: Change, run: Path) -> None:
    edited(first(run, "predictions"), change)
    refused(run, "is not what answers/")


def test_a_prediction_without_its_masks_is_not_what_its_answers_say(refer_run: Path) -> None:
    edited(first(refer_run, "predictions"), lambda record: record["expressions"][0].update(pred_masks=[], scores=[]))
    refused(refer_run, "is not what answers/")


def test_an_expression_that_is_not_answered_is_asked_again(refer_run: Path, referred: Path, rrsisd: Path) -> None:
    for folder, name in (("predictions", "expressions"), ("answers", "answers")):
        edited(first(refer_run, folder), lambda record, name=name: record[name].pop())  # type: ignore[misc]
    assert main(["score", str(refer_run)]) == 3
    splits = ["--split", "train", "val", "test"]
    assert main(["rrsisd", "bundled", "--data", str(rrsisd), "--out", str(refer_run), *splits]) == 0
    assert main(["score", str(refer_run)]) == 0
    assert (refer_run / "report.json").read_bytes() == (referred / "report.json").read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said["answers"].clear(),
        lambda said: said["answers"].append(said["answers"][0]),
        lambda said: said["answers"][0].pop("scores"),
        lambda said: said["answers"][0].update(scores=None),
        lambda said: said["answers"][0].update(scores=["high"] * len(said["answers"][0]["masks"])),
        lambda said: said["answers"][0].update(scores=[float("nan")] * len(said["answers"][0]["masks"])),
        lambda said: said["answers"][0].update(scores=[]),
        lambda said: said["answers"][0].update(key=[1]),
        lambda said: said["answers"][0].update(response=1),
        lambda said: said["answers"][0].update(phrases=[1]),
        lambda said: said["answers"][0].update(masks=[1] * len(said["answers"][0]["masks"])),
    ],
)
def test_answers_that_are_none_are_named(change: Change, run: Path) -> None:
    edited(first(run, "answers"), change)
    refused(run, "torn")
    name = first(run, "predictions").stem
    assert not Run.open(run).finished(name, [""])
    assert not (run / "predictions" / f"{name}.json").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["expressions"][0].update(key=[1]),
        lambda record: record["expressions"][0].update(scores=None),
        lambda record: record["expressions"].append(record["expressions"][0]),
    ],
)
def test_an_expression_that_is_none_is_named(change: Change, refer_run: Path) -> None:
    edited(first(refer_run, "predictions"), change)
    refused(refer_run, "without key, masks or scores, or twice")


def test_a_prediction_nested_without_end_is_torn(run: Path) -> None:
    first(run, "predictions").write_text("[" * 100_000)
    refused(run, "torn or no JSON")
    assert not Run.open(run).finished(first(run, "predictions").stem, [""])


@pytest.mark.parametrize("name", ["data", "question", "splits"])
def test_a_run_that_does_not_say_what_was_asked(name: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (None, 7):
        edited(run / "run.json", lambda key, wrong=wrong: key.update({name: wrong}))  # type: ignore[misc]
        assert main(["score", str(run), "--no-java"]) == 3
        assert f"has {name}={wrong}; it is damaged" in capsys.readouterr().err
