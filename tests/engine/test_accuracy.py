"""The accuracy benchmark: honest on an engine of random weights, perfect on perfect answers, strict about seeds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.accuracy import judge_conversation, judge_referring, main
from benchmarks.agreement import Text, agreement, read_texts
from evaluate.scorers import score_conversations, score_referring
from geopixel_edge import Answer
from geopixel_edge.answer import Region
from geopixel_edge.errors import OptionError
from geopixel_edge.masks import Mask
from geopixel_edge.timings import Timings
from synthetic.questions import Example, conversation, referring
from synthetic.scenes import EVALUATION_SEED, Scene, make_scene

SMALL = [
    "--scenes",
    "2",
    "--size",
    "128",
    "--questions",
    "2",
    "--hd-num",
    "1",
    "--max-new-tokens",
    "8",
    "--threads",
    "1",
]


def truthful(scene: Scene, example: Example) -> Answer:
    """The answer a perfect model gives."""
    regions = tuple(
        Region(phrase, (0, 0), Mask.from_array(mask), 0.9)
        for phrase, mask in zip(example.phrases, example.masks(scene), strict=True)
    )
    return Answer(example.answer, example.answer, [], regions, "eos", Timings())


def test_a_perfect_model_scores_one_everywhere() -> None:
    told, found = [], []
    for seed in range(EVALUATION_SEED, EVALUATION_SEED + 6):
        scene = make_scene(seed, 192)
        example = conversation(scene)
        told.append(judge_conversation(scene, example, truthful(scene, example)))
        found += [judge_referring(scene, one, truthful(scene, one)) for one in referring(scene, 6)]
    assert all(value == pytest.approx(1.0) for value in score_conversations(told).values())
    assert all(value == 1.0 for value in score_referring(found).values())


def test_a_model_that_shows_everything_everywhere_scores_little() -> None:
    scene = make_scene(EVALUATION_SEED, 192)
    found = []
    for example in referring(scene, 12):
        whole = Region("it", (0, 0), Mask.from_array(np.ones((192, 192), bool)), 1.0)
        answer = Answer("it", "<p> it </p> [SEG]", [], (whole,), "eos", Timings())
        found.append(judge_referring(scene, example, answer))
    scores = score_referring(found)
    assert scores["p50"] is not None
    assert scores["p50"] < 0.2
    assert scores["absent_refused"] == 0


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.err == ""  # no progress bar outside a terminal
    found: dict[str, Any] = json.loads(printed.out)
    return found


def test_random_weights_get_honest_figures_near_zero(
    engine_fp32: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run([str(engine_fp32), *SMALL, "--json", "--out", str(tmp_path / "failures")], capsys)
    assert set(found["referring"]) == {"p50", "p70", "oiou", "miou", "absent_refused"}
    assert set(found["conversation"]) == {"ap50", "miou", "recall", "well_formed"}
    for group, name in (
        ("referring", "p50"),
        ("referring", "miou"),
        ("conversation", "miou"),
        ("conversation", "recall"),
    ):
        assert found[group][name] <= 0.3
    assert found["conversation"]["well_formed"] == 0  # eight tokens never end with the end token
    assert found["latency_s"]["median"] > 0
    assert found["settings"]["seed"] == EVALUATION_SEED
    pictures = sorted((tmp_path / "failures").glob("*.png"))
    assert pictures
    note = pictures[0].with_suffix(".txt").read_text()
    assert "question: " in note
    assert "expected: " in note


@pytest.mark.parametrize(
    ("task", "there", "gone"),
    [("referring", "referring", "conversation"), ("conversation", "conversation", "referring")],
)
def test_one_task_alone(
    engine_fp32: Path, capsys: pytest.CaptureFixture[str], task: str, there: str, gone: str
) -> None:
    found = run([str(engine_fp32), *SMALL, "--scenes", "1", "--task", task, "--json"], capsys)
    assert there in found
    assert gone not in found


def test_the_report_for_people_names_every_figure(engine_fp32: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(engine_fp32), *SMALL, "--scenes", "1"]) == 0
    printed = capsys.readouterr().out
    for name in (
        "referring.p50",
        "referring.absent_refused",
        "conversation.ap50",
        "conversation.well_formed",
        "latency_s.median",
    ):
        assert name in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seed", "999999"], "training seed"),
        (["--seed", "-1"], "training seed"),
        (["--scenes", "0"], "scenes=0"),
        (["--questions", "0"], "questions=0"),
        (["--max-new-tokens", "0"], "max_new_tokens=0"),
        (["--size", "9"], "size_px=9"),
    ],
)
def test_what_would_not_be_honest_or_possible_is_refused(
    engine_fp32: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main([str(engine_fp32), *SMALL, *arguments]) == 3
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


def test_no_engine_and_no_place_for_pictures(
    engine_fp32: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none"), *SMALL]) == 4
    (tmp_path / "file").write_text("")
    assert main([str(engine_fp32), *SMALL, "--out", str(tmp_path / "file")]) == 6
    assert "cannot be written" in capsys.readouterr().err


def test_texts_of_two_runs_are_compared(engine_fp32: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = tmp_path / "first.jsonl"
    assert main([str(engine_fp32), *SMALL, "--texts", str(first), "--json"]) == 0
    assert "agreement" not in json.loads(capsys.readouterr().out)
    assert main([str(engine_fp32), *SMALL, "--against", str(first), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["agreement"]
    assert told == {"questions": 6, "equal": 1.0, "words_alike": 1.0}
    texts = read_texts(first)
    assert len(texts) == 6
    changed = [replace(texts[0], response=f"{texts[0].response} more"), *texts[1:]]
    told = agreement(changed, texts)
    assert told["equal"] == pytest.approx(5 / 6)
    assert 5 / 6 < told["words_alike"] < 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read (No such file"),
        ("text", "is no file of --texts"),
        ('{"seed": 1}', "is no file of --texts"),
    ],
)
def test_a_file_that_holds_no_texts_is_refused(
    content: str | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "texts.jsonl"
    if content is not None:
        path.write_text(content)
    assert main([*SMALL, "--against", str(path)]) == 3
    assert told in capsys.readouterr().err


def test_texts_of_other_scenes_are_refused() -> None:
    with pytest.raises(OptionError, match="asked none of these questions"):
        agreement([Text(1, "a", "b")], [Text(2, "a", "b")])
