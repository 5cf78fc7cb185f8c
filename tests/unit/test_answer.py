"""Token streams become text, phrases and regions; one event at a time and as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from geopixel_edge.answer import MaskFound, Phrase, Region, Text
from geopixel_edge.errors import InferenceError
from geopixel_edge.masks import Mask
from geopixel_edge.text.assembler import AnswerAssembler
from tests.support.answers import answer, disc, picture, reference_tokenizer

GOLDENS = Path(__file__).parents[1] / "data" / "tiny-geopixel" / "goldens"
MASK = disc(12, 16, 5, 6, 3)


def run(text: str, split: int | None = None) -> tuple[AnswerAssembler, list[Text | Phrase]]:
    """Every event of the tokens of `text`."""
    tokenizer = reference_tokenizer()
    assembler = AnswerAssembler(tokenizer)
    events = [event for token_id in tokenizer.encode(text, bos=False) for event in assembler.push(token_id)]
    return assembler, events + assembler.finish()


def phrases(text: str, masks: int) -> list[tuple[str, tuple[int, int]]]:
    """(phrase, span) of each region, in order."""
    assembler, _ = run(text)
    return [(event.region.phrase, event.region.span) for event in (assembler.attach(MASK, 0.5) for _ in range(masks))]


def test_the_usual_answer_step_by_step() -> None:
    assembler, events = run("Two <p> storage tanks </p> [SEG] stand beside a <p> pier </p> [SEG].")
    assert assembler.text == "Two storage tanks stand beside a pier."
    assert [event for event in events if isinstance(event, Phrase)] == [
        Phrase("storage tanks", (4, 17)),
        Phrase("pier", (33, 37)),
    ]
    assert "".join(event.text for event in events) == assembler.text
    first, second = assembler.attach(MASK, 0.9), assembler.attach(MASK, cast(float, np.float32(0.5)))
    assert first == MaskFound(Region("storage tanks", (4, 17), MASK, 0.9))
    assert assembler.regions == (first.region, second.region)
    assert [assembler.text[slice(*region.span)] for region in assembler.regions] == ["storage tanks", "pier"]
    assert type(second.region.score) is float


def test_text_comes_as_soon_as_it_is_certain() -> None:
    tokenizer = reference_tokenizer()
    assembler = AnswerAssembler(tokenizer)
    assert assembler.push(tokenizer.encode("The", bos=False)[0]) == [Text("The")]
    assert assembler.push(tokenizer.tokens.phrase_open) == []
    assert [assembler.push(token_id) for token_id in tokenizer.encode("red car", bos=False)] == [[], []]
    assert assembler.push(tokenizer.tokens.phrase_close) == [Text(" "), Phrase("red car", (4, 11))]
    assert assembler.push(tokenizer.tokens.seg) == []
    region = assembler.attach(MASK, 0.25).region
    assert (region.phrase, region.bbox, region.area_px) == ("red car", MASK.bbox, MASK.area_px)
    assert assembler.push(tokenizer.encode(".", bos=False)[0]) == [Text(".")]
    assert assembler.push(tokenizer.tokens.eos) == []
    assert assembler.finish() == []
    assert assembler.text == "The red car."


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ""),
        ("   \n ", ""),
        ("[SEG]", ""),
        ("<p> </p>", ""),
        ("  The  red\n\ncar  ", "The  red\n\ncar"),
        ("a <p>red car</p>[SEG].", "a red car."),
        (
            "<p> car </p> [SEG] , <p> ship </p> [SEG] ; ok ? yes ! (a <p> car </p> [SEG] )",
            "car, ship; ok ? yes ! (a car)",
        ),
        ("( <p> car </p> [SEG] ) near", "(car) near"),
        ("the car , near", "the car , near"),
        ("x\n<p> car </p>\n[SEG]\ny", "x car y"),
        ("[SEG] [SEG] the [SEG] [SEG]", "the"),
        ("ok[UNUSED_TOKEN_145]\n", "ok"),
        ("<p> ok[UNUSED_TOKEN_145] </p> x", "ok x"),
    ],
)
def test_readable_text(text: str, wanted: str) -> None:
    assembler, events = run(text)
    assert assembler.text == wanted == "".join(event.text for event in events)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a <p> car </p> [SEG] [SEG], [SEG] and [SEG]", [("car", (2, 5))] * 4),
        ("a <p> car </p> near [SEG] and a ship [SEG] [SEG]", [("car", (2, 5)), ("", (21, 21)), ("", (21, 21))]),
        ("[SEG] a <p> car </p> [SEG]", [("", (0, 0)), ("car", (2, 5))]),
        ("a ship [SEG] .", [("", (6, 6))]),
        ("<p> car </p> <p> ship </p> [SEG]", [("ship", (4, 8))]),
        ("<p> car [SEG] ship </p> [SEG]", [("car", (0, 3)), ("", (8, 8))]),
        ("<p> car <p> ship </p> near </p> [SEG]", [("ship", (4, 8))]),
        ("<p> <p> car </p> </p> [SEG]", [("car", (0, 3))]),
        ("<p> car </p> [SEG] a <p> </p> [SEG]", [("car", (0, 3)), ("", (5, 5))]),
        ("car </p> [SEG]", [("", (3, 3))]),
        ("<p> car [SEG]", [("car", (0, 3))]),
    ],
)
def test_which_phrase_a_seg_belongs_to(text: str, wanted: list[tuple[str, tuple[int, int]]]) -> None:
    assert phrases(text, len(wanted)) == wanted


def test_a_phrase_the_answer_leaves_open_still_comes() -> None:
    assembler, events = run("a <p> red car")
    assert events == [Text("a"), Text(" "), Phrase("red car", (2, 9))]
    assert assembler.finish() == []


def test_a_tag_spelled_in_ordinary_pieces_is_text() -> None:
    tokenizer = reference_tokenizer()
    assembler = AnswerAssembler(tokenizer)
    ids = [byte + 3 for byte in b"<p> car </p> [SEG]"]
    events = [event for token_id in ids for event in assembler.push(token_id)] + assembler.finish()
    assert assembler.text == "<p> car </p> [SEG]"
    assert all(isinstance(event, Text) for event in events)
    with pytest.raises(InferenceError, match="without a \\[SEG\\]"):
        assembler.attach(MASK, 1.0)


@pytest.mark.parametrize("path", sorted(GOLDENS.glob("s*.json")), ids=lambda path: path.stem)
def test_goldens(path: Path) -> None:
    golden = json.loads(path.read_text("utf-8"))
    assembler = AnswerAssembler(reference_tokenizer())
    events = [event for token_id in golden["generated_ids"] for event in assembler.push(token_id)] + assembler.finish()
    assert assembler.response == golden["response"]
    assert "".join(event.text for event in events) == assembler.text
    found = [assembler.attach(MASK, 0.0) for _ in golden["seg_steps_all_1based"]]
    assert len(found) == golden["response"].count("[SEG]")
    for tag in ("[SEG]", "<p>", "</p>", "  "):
        assert tag not in assembler.text


def test_ids_outside_the_vocabulary() -> None:
    with pytest.raises(InferenceError, match="1003"):
        AnswerAssembler(reference_tokenizer()).push(1003)


def test_masks_are_built_on_demand() -> None:
    found = answer("a <p> car </p> [SEG] and [SEG]", [MASK, disc(12, 16, 12, 3, 2)], picture(12, 16))
    assert found.masks.shape == (2, 12, 16)
    assert found.masks.dtype == np.bool_
    assert (found.masks[0] == MASK.to_array()).all()
    assert answer("nothing here", []).masks.shape == (0, 0, 0)
    assert answer("nothing here", [], picture(12, 16)).masks.shape == (0, 12, 16)


def test_with_phrase_names_only_what_has_no_name() -> None:
    found = answer("it is [SEG] a <p> car </p> [SEG]", [MASK, MASK], picture(12, 16)).with_phrase("red ship")
    assert [region.phrase for region in found.regions] == ["red ship", "car"]
    assert found.image is not None
    assert (found.image.pixels() == picture(12, 16)).all()


def test_repr_tells_the_answer_at_a_glance() -> None:
    found = answer("a <p> car </p> [SEG]", [MASK], picture(12, 16))
    assert repr(found) == f"<Answer 'a car'; 1 region: 'car'; {len(found.token_ids)} tokens, eos>"
    assert repr(found.regions[0]) == "<Region 'car': 29 px in 7 x 7 at 2, 3; score 0.97>"
    many = answer("the " * 60 + "[SEG] " * 6, [MASK] * 6, picture(12, 16))
    assert "\u2026'; 6 regions: '', '', '', '', 2 more; " in repr(many)
    assert "no regions" in repr(answer("the", []))


def test_an_empty_mask_is_a_region_too() -> None:
    empty = Mask.from_array(np.zeros((12, 16), bool))
    region = answer("a <p> car </p> [SEG]", [empty], picture(12, 16)).regions[0]
    assert (region.area_px, region.bbox) == (0, (0, 0, 0, 0))
