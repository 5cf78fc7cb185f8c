"""What the scores make of text: phrases that name the same thing, and answers that are well formed."""

from __future__ import annotations

import pytest

from evaluate.scorers import (
    same_thing,
    well_formed,
)


@pytest.mark.parametrize(
    ("said", "expected", "same"),
    [
        ("several ships", "many ships", True),
        ("a ship", "two piers", False),
        ("the grey tank", "storage tanks", True),
        ("", "", False),
        ("a car", "", False),
        ("Ship!", "ship", True),
    ],
)
def test_phrases_share_half_of_their_words(said: str, expected: str, same: bool) -> None:
    assert same_thing(said, expected) is same


@pytest.mark.parametrize(
    ("response", "masks", "reason", "formed"),
    [
        ("There is <p> a ship </p> [SEG] .", 1, "eos", True),
        ("There is no ship.", 0, "eos", True),
        ("There is <p> a ship </p> [SEG] .", 0, "eos", False),
        ("There is <p> a ship </p> [SEG] .", 1, "length", False),
        ("There is <p> a ship </p> .", 0, "eos", False),
        ("[SEG]", 1, "eos", False),
        ("<p> </p> [SEG]", 1, "eos", False),
        ("a </p> [SEG]", 1, "eos", False),
        ("<p> a <p> b </p> [SEG]", 1, "eos", False),
        ("<p> a </p> [SEG] [SEG]", 2, "eos", False),
    ],
)
def test_well_formed(response: str, masks: int, reason: str, formed: bool) -> None:
    assert well_formed(response, masks, reason) is formed
