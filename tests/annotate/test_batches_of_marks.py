"""All marks of a picture in one question: each sentence is its own, and one that is missing costs itself alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from annotate.cli import main
from annotate.describers.base import Reply, read_replies
from annotate.describers.openai import OpenAI, Options
from annotate.settings import Settings

from ..support.annotations import annotated, records
from ..support.endpoint import Handler, completion, endpoint

FAST = Options(timeout_s=2, tries=1)
SOURCE = "scenes:2000065-2000065,320"
LINE = re.compile(r"^(\d+): the (.*?) (?:at|in|across) the ", re.MULTILINE)


def answering(left_out: int = 0) -> Any:
    """A model that says of each marked thing that it is old, but of one."""

    def respond(handler: Handler, body: dict[str, Any]) -> None:
        found = LINE.findall(body["messages"][0]["content"][-1]["text"])
        listed = [
            {"number": int(number), "sentence": f"An old {name} can be seen.", "phrase": f"An old {name}"}
            for number, name in found
            if int(number) != left_out
        ]
        handler.send(completion(json.dumps(listed) if found else "It is seen from above."))

    return respond


def levels(out: Path) -> list[str]:
    """The levels of the questions, in order."""
    lines = (out / "requests" / "1-of-1.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["level"] for line in lines]


@pytest.mark.parametrize("left_out", [0, 2])
def test_marks_are_asked_about_together(left_out: int, tmp_path: Path) -> None:
    with endpoint(answering(left_out)) as server:
        describer = OpenAI(server.url, "model", FAST)
        annotated(SOURCE, tmp_path / "out", describer, Settings(batch_marks=True))
        asked = len(server.asked)
        annotated(SOURCE, tmp_path / "out", describer, Settings(batch_marks=True))
        assert len(server.asked) == asked
    assert levels(tmp_path / "out").count("marks") == 1
    assert "instance" not in levels(tmp_path / "out")
    (record,) = records(tmp_path / "out")
    alone = [one for one in record["sentences"] if one["level"] == "instance"]
    assert len(alone) > 2
    missing = [one for one in alone if [found["name"] for found in one["findings"]] == ["wrong-form"]]
    assert len(missing) == (left_out > 0)
    others = [one for one in alone if one not in missing]
    assert all(one["phrases"][0].startswith("An old ") for one in others)
    assert all(one["said"] == f"An old {one['facts']['class_name']} can be seen." for one in others)


def test_the_picture_without_marks_is_sent_too(tmp_path: Path) -> None:
    with endpoint(answering()) as server:
        annotated(SOURCE, tmp_path / "out", OpenAI(server.url, "model", FAST), Settings(both=True, batch_marks=True))
        pictures = [
            [part["image_url"]["url"] for part in body["messages"][0]["content"][:-1]] for _, _, body in server.asked
        ]
    scene, together = pictures[0], pictures[1]
    assert len(scene) == 1
    assert together[0] == scene[0] != together[1]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("[]", ["wrong-form: mark 1 is not in the list", "wrong-form: mark 2 is not in the list"]),
        ("no list", ["wrong-form: JSON that does not parse"] * 2),
        ('{"number": 1, "sentence": "A ship."}', ["wrong-form: no JSON list"] * 2),
        ('[{"number": 1, "sentence": "A ship."}, {"number": 2, "sentence": "A <p> ship."}]', ["", "tags: brackets"]),
        (
            '[{"number": 1}, {"number": 2, "sentence": "A ship.", "phrase": 3}]',
            ["wrong-form: JSON without", '"phrase"'],
        ),
        (
            '[{"number": 1, "sentence": "A."}, {"number": 1, "sentence": "B."}, 3, {"number": true, "sentence": "C."}]',
            ["wrong-form: mark 1 is twice", "wrong-form: mark 2 is not"],
        ),
        ("[" * 9_000, ["wrong-form: JSON that does not parse"] * 2),
        ("a" * 20_000, ["wrong-form: 20000 characters"] * 2),
        ('```json\n[{"number": 2, "sentence": "A ship."}]\n```', ["wrong-form: mark 1", ""]),
    ],
)
def test_a_list_is_read_mark_by_mark(text: str, faults: list[str]) -> None:
    words = read_replies(Reply(text), [1, 2])
    for number, fault in enumerate(faults, 1):
        assert fault in words[number].fault
        assert bool(fault) == bool(words[number].fault) != bool(words[number].sentence)


def test_a_reply_that_cannot_be_used_costs_every_mark() -> None:
    words = read_replies(Reply("", fault="too-large: over 9 bytes"), [1, 2])
    assert {one.fault for one in words.values()} == {"too-large: over 9 bytes"}


@pytest.mark.parametrize("option", ["--batch-marks", "--both"])
def test_rules_look_at_no_marks(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([SOURCE, str(tmp_path / "out"), "--describer", "rules", option]) == 3
    assert "for a describer that looks at pictures" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
