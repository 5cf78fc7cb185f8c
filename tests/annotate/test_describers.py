"""An engine as describer, and where in a sentence a thing's words are."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from annotate.cli import main
from annotate.describers.engine import EngineDescriber
from annotate.describers.rules import sentence_of
from annotate.errors import DescriberError
from annotate.facts import Facts
from annotate.job import Job
from annotate.phrase_span import find
from annotate.prompts import Prompts, load_prompts
from annotate.settings import Settings
from annotate.sources import open_source
from geopixel_edge.engine import BUNDLED
from geopixel_edge.errors import EngineError, OptionError

from ..support.annotations import records

SOURCE = "scenes:2000065-2000065,128"


def described(engine: Path, out: Path, questions: int | None) -> list[dict[str, Any]]:
    """What the ledger holds once an engine was asked, at most so many questions."""
    describer = EngineDescriber(engine)
    try:
        with contextlib.suppress(DescriberError):
            Job(open_source(SOURCE), out, describer, Settings()).run(budget_requests=questions)
    finally:
        describer.close()
    return [json.loads(line) for line in (out / "requests" / "1-of-1.jsonl").read_text("utf-8").splitlines()]


def test_an_engine_is_asked_about_the_scene_and_its_things(engine_fp32: Path, tmp_path: Path) -> None:
    asked = described(engine_fp32, tmp_path / "out", 2)
    assert [one["level"] for one in asked] == ["scene", "instance"]
    assert all(one["tokens_in"] > 0 for one in asked)


@pytest.mark.long
def test_any_engine_that_passes_its_check_describes(engine_fp32: Path, tmp_path: Path) -> None:
    asked = described(engine_fp32, tmp_path / "out", None)
    assert {one["level"] for one in asked} >= {"scene", "instance", "group"}
    (record,) = records(tmp_path / "out")
    # A small random model says nothing about anything: each sentence is rebuilt, or dropped with its reason.
    assert all(one["edits"] or one["findings"] for one in record["sentences"] if one["level"] != "scene")


def test_the_engine_in_the_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="was not taught to describe single things"):
        EngineDescriber(BUNDLED)
    assert main([SOURCE, str(tmp_path / "out"), "--describer", f"engine:{BUNDLED}"]) == 3
    assert not (tmp_path / "out").exists()
    with pytest.raises(EngineError):
        EngineDescriber(tmp_path)


@pytest.mark.parametrize(
    ("sentence", "name", "phrase", "found"),
    [
        ("A large red ship lies at the pier.", "ship", "", "A large red ship"),
        ("A large red ship lies at the pier.", "pier", "", "the pier"),
        ("Next to the quay, a long, white vessel is moored.", "ship", "", "a long, white vessel"),
        ("The ship and the other ship.", "ship", "other ship", "other ship"),
        ("The ship and the ship.", "ship", "the ship", "The ship"),
        ("There is a red pier.", "pier", "a blue pier", "a red pier"),
        ("It shows several small storage tanks near the road.", "storage tank", "", "several small storage tanks"),
        ("Something.", "ship", "Something", None),
        ("Airships fly.", "ship", "", None),
    ],
)
def test_where_the_words_for_a_thing_are(sentence: str, name: str, phrase: str, found: str | None) -> None:
    span = find(sentence, name, phrase)
    assert (sentence[span[0] : span[1]] if span else None) == found


def test_rules_say_the_phrase_once() -> None:
    facts = Facts("instance", "ship", 1, "one", place="top left", relation=("left of", "pier"))
    said = {sentence_of(facts, "a ship", (), seed) for seed in range(6)}
    assert said == {
        "There is a ship at the top left, to the left of the pier.",
        "The image shows a ship at the top left, to the left of the pier.",
        "A ship is at the top left, to the left of the pier.",
    }


def test_prompts_fill_their_slots_once(tmp_path: Path) -> None:
    (path := tmp_path / "prompts.json").write_text('{"version": "mine", "instance": "{{x}} {class} {place} {number}"}')
    prompts = load_prompts(path)
    assert prompts.ask(Facts("instance", "{number}", 1, "one", place="left"), 7) == "{x} {number} at the left 7"
    assert prompts.scene == Prompts().scene
    changed = {level for level, name in prompts.names().items() if name != Prompts().names()[level]}
    assert changed == {"scene", "instance", "group", "merge"}  # another version asks all anew
    (path := tmp_path / "one.json").write_text('{"group": "The {count} {class}."}')
    names = load_prompts(path).names()
    assert [level for level in names if names[level] != Prompts().names()[level]] == ["group"]
