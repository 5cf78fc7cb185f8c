"""`--precision`: one word for all blocks or one for each, and what each record says."""

from __future__ import annotations

import pytest

from export.precision import parse_precision, quantisation
from geopixel_edge.engine.manifest import BLOCKS
from geopixel_edge.engine.precision import QUANTISED, WIDENED
from geopixel_edge.errors import ExportError


def names(text: str) -> dict[str, str]:
    return {block: record.name for block, record in parse_precision(text).items()}


@pytest.mark.parametrize("word", ["fp32", "fp16", "int8-widened"])
def test_one_word_is_for_every_block(word: str) -> None:
    assert names(word) == dict.fromkeys(BLOCKS, word)


def test_a_word_for_each_and_one_for_the_rest() -> None:
    assert names("language_model=int8, vision_encoder=fp16") == {
        "vision_encoder": "fp16",
        "language_model": "int8",
        "grounding_encoder": "fp32",
        "pixel_decoder": "fp32",
    }
    assert names("*=fp16,pixel_decoder=fp32") == {**dict.fromkeys(BLOCKS, "fp16"), "pixel_decoder": "fp32"}


def test_int8_stays_int8_only_where_the_runtime_can() -> None:
    records = parse_precision("int8")
    assert (records["language_model"].name, records["language_model"].ort_options) == ("int8", QUANTISED)
    assert {records[block].name for block in BLOCKS if block != "language_model"} == {"int8-widened"}
    assert records["vision_encoder"].ort_options == WIDENED
    assert {record.weights for record in records.values()} == {"int8"}


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("int3", "precision='int3' of vision_encoder is unknown; give one of fp32, fp16, int8, int8-widened"),
        ("", "precision=''"),
        ("language_model=int3", "precision='int3' of language_model"),
        ("decoder=fp16", "names the block 'decoder'"),
        ("language_model=fp16,language_model=int8", "names language_model twice"),
        ("language_model=", "precision='' of language_model"),
        ("fp16,language_model=int8", "names the block 'fp16'"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, fragment: str) -> None:
    with pytest.raises(ExportError) as caught:
        parse_precision(text)
    assert fragment in str(caught.value)


def test_the_manifest_says_which_blocks_are_rounded() -> None:
    assert quantisation(parse_precision("fp16")) == "none"
    assert quantisation(parse_precision("int8")) == "weights int8, a scale per output channel"
    assert "of language_model," in quantisation(parse_precision("language_model=int8"))
