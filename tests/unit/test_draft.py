"""Drafts are guesses: what is known of answers about a phrase, and how it is learnt."""

from __future__ import annotations

import numpy as np
import pytest

from geopixel_edge.draft import MOST_FORMS, NAME, PHRASE, Drafts, PhraseDraft, without_article
from geopixel_edge.families.geopixel import ONE, SEVERAL, GeoPixel
from geopixel_edge.timings import DECODE, BlockCost, Timings
from geopixel_edge.writing import NEAR_TIE, is_near_tie


def encode(text: str) -> list[int]:
    return list(text.encode())


def drafted(drafts: Drafts, phrase: str, written: str, kind: str = ONE) -> str:
    return bytes(drafts.about(phrase, kind, encode).rest(encode(written), 1000)).decode()


def test_what_is_written_decides_which_form_goes_on() -> None:
    drafts = Drafts(GeoPixel.usual_answers)
    assert drafted(drafts, "the red ship", "S") == "ure, here is <p> the red ship </p> [SEG] ."
    assert drafted(drafts, "the red ship", "T") == "here is no red ship in this image."
    assert drafted(drafts, "ships", "T", SEVERAL) == "here are no ships in this image."
    assert drafted(drafts, "the red ship", "Sure, here a") == "re <p> the red ship </p> [SEG] ."
    assert drafted(drafts, "the red ship", "It") == ""
    assert drafted(drafts, "the red ship", "There is no red ship in this image.") == ""


def test_a_draft_is_no_longer_than_asked_for() -> None:
    draft = PhraseDraft(lambda: [[1, 2, 3, 4]], lambda response: None)
    assert [draft.rest([1], most) for most in (0, 1, 9)] == [[], [2], [2, 3, 4]]
    assert draft.rest([2], 9) == []


def test_answers_teach_forms_of_their_kind() -> None:
    drafts = Drafts({ONE: ("No.",), SEVERAL: ()})
    drafts.about("the red ship", ONE, encode).learn("It is [SEG] .")  # says nothing of the phrase
    assert drafts.forms(ONE) == ["No."]
    drafts.about("the red ship", ONE, encode).learn("<p> the red ship </p> it is")
    drafts.about("a pier", ONE, encode).learn("<p> the pier </p> it is")
    drafts.about("a pier", ONE, encode).learn("<p> the pier </p> it is")
    assert drafts.forms(ONE) == [f"<p> the {NAME} </p> it is", f"<p> {PHRASE} </p> it is", "No."]
    assert drafted(drafts, "a green car", "<") == "p> the green car </p> it is"
    assert drafts.forms(SEVERAL) == drafts.forms(ONE)  # better than nothing


def test_a_draft_that_waits_learns_from_answers_before_it() -> None:
    drafts = Drafts({ONE: ()})
    waiting = drafts.about("a pier", ONE, encode)
    drafts.about("the red ship", ONE, encode).learn("It is the red ship.")
    assert bytes(waiting.rest(encode("It"), 1000)).decode() == " is a pier."


def test_forms_are_bounded_and_the_frequent_ones_stay() -> None:
    drafts = Drafts({ONE: ()})
    for number in range(3 * MOST_FORMS):
        drafts.learn("ship", ONE, f"{number}: ship")
        drafts.learn("ship", ONE, "The ship.")
    assert len(drafts.forms(ONE)) == MOST_FORMS
    assert drafts.forms(ONE)[0] == f"The {PHRASE}."


@pytest.mark.parametrize(
    ("phrase", "name"),
    [
        ("the red ship", "red ship"),
        ("All the ships", "ships"),
        ("an oak", "oak"),
        ("theatre", "theatre"),
        ("the ", "the "),
    ],
)
def test_articles_go(phrase: str, name: str) -> None:
    assert without_article(phrase) == name


@pytest.mark.parametrize(
    ("phrase", "kind"),
    [
        ("the red ship", ONE),
        ("ships", SEVERAL),
        ("all the trucks at the bottom", SEVERAL),
        ("the second truck from the bottoms", ONE),
        ("grass", ONE),
        ("{name} in this image? {}", ONE),
        ("the\nship", ONE),
    ],
)
def test_a_segment_question_tells_its_phrase(phrase: str, kind: str) -> None:
    family = GeoPixel()
    assert family.segmented(family.segment_query(phrase)) == (phrase, kind)


@pytest.mark.parametrize("query", ["", "What is here?", "Could you provide a segmentation mask for  in this image"])
def test_other_questions_have_no_phrase(query: str) -> None:
    assert GeoPixel().segmented(query) is None


def test_near_ties_are_seen() -> None:
    apart, close = 10 * (1 - 2 * NEAR_TIE), 10 * (1 - NEAR_TIE / 2)
    assert not is_near_tie(np.array([1.0, apart, 10.0], np.float32))
    assert is_near_tie(np.array([1.0, 10.0, close], np.float32))
    assert is_near_tie(np.zeros(4, np.float32))


def test_accepted_tokens_count_as_decoded() -> None:
    assert Timings({DECODE: BlockCost(runs=2, time_s=0.5)}, accepted_tokens=10).decode_tokens_per_s == 24
