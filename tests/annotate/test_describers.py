"""Where in a sentence a thing's words are, what the rules say, and how prompts are filled."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotate.describers.rules import sentence_of
from annotate.facts import Facts
from annotate.phrase_span import find
from annotate.prompts import Prompts, load_prompts


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
    assert changed == {"scene", "instance", "group", "marks", "merge"}  # another version asks all anew
    (path := tmp_path / "one.json").write_text('{"group": "The {count} {class}."}')
    names = load_prompts(path).names()
    assert [level for level in names if names[level] != Prompts().names()[level]] == ["group"]
