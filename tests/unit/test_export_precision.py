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


def test_int8_stays_int8_where_products_are_most_of_a_block() -> None:
    records = parse_precision("int8")
    assert (records["pixel_decoder"].name, records["pixel_decoder"].ort_options) == ("int8-widened", WIDENED)
    assert {records[block].name for block in BLOCKS if block != "pixel_decoder"} == {"int8"}
    assert records["vision_encoder"].ort_options == QUANTISED
    assert {record.weights for record in records.values()} == {"int8"}


def test_a_word_for_all_is_changed_by_what_follows() -> None:
    mix = parse_precision("int4,language_model.embeddings=int8,pixel_decoder=fp16")
    assert mix["language_model"].parts == {"lora": "int8", "head": "int8", "embeddings": "int8"}
    assert (mix["language_model"].weights, mix["vision_encoder"].weights) == ("int4", "int8")
    assert mix["pixel_decoder"].name == "fp16"
    halves = parse_precision("fp16, grounding_encoder=fp32")
    assert [halves[block].name for block in ("vision_encoder", "grounding_encoder")] == ["fp16", "fp32"]


def test_int4_is_the_recommended_mix() -> None:
    records = parse_precision("int4")
    language = records["language_model"]
    assert (language.weights, language.group, language.parts) == ("int4", 128, {"lora": "int8", "head": "int8"})
    assert {name: record.name for name, record in records.items()} == {
        "vision_encoder": "int8",
        "language_model": "int4",
        "grounding_encoder": "int8",
        "pixel_decoder": "fp32",
    }
    assert "language_model int4 with a scale for each 128 inputs (lora int8) (head int8)" in quantisation(records)


def test_blocks_of_other_sizes_and_parts() -> None:
    text = "language_model=int4:32, language_model.kv=fp16, language_model.embeddings=int8, language_model.lora=int4"
    language = parse_precision(text)["language_model"]
    assert (language.name, language.group, language.bytes_per_number) == ("int4:32", 32, 0.625)
    assert language.parts == {"lora": "int4", "kv": "float16", "embeddings": "int8"}


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("int3", "precision='int3' of vision_encoder is unknown; give one of fp32, fp16, int8, int8-exact"),
        ("", "precision=''"),
        ("language_model=int3", "precision='int3' of language_model"),
        ("decoder=fp16", "names the block 'decoder'"),
        ("language_model=fp16,language_model=int8", "names language_model twice"),
        ("language_model=", "precision='' of language_model"),
        ("language_model=int8,fp16", "names the block 'fp16'"),
        ("vision_encoder=int4", "precision='int4' of vision_encoder: its convolutions take no int4"),
        ("language_model=int4:48", "precision='int4:48' of language_model is unknown"),
        ("language_model=int4,language_model.tail=int8", "names the part 'language_model.tail'"),
        ("pixel_decoder.head=int8", "names the part 'pixel_decoder.head'"),
        ("language_model=int4,language_model.kv=int8", "precision='int8' of language_model.kv: give one of fp32, fp16"),
        ("language_model=fp16,language_model.head=int8", "needs language_model at int4 or int8, not fp16"),
        ("language_model=int8,language_model.lora=int4", "needs language_model at int4"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, fragment: str) -> None:
    with pytest.raises(ExportError) as caught:
        parse_precision(text)
    assert fragment in str(caught.value)


def test_the_manifest_says_which_blocks_are_rounded() -> None:
    assert quantisation(parse_precision("fp16")) == "none"
    assert quantisation(parse_precision("int8")) == "weights int8, a scale per output channel"
    assert quantisation(parse_precision("language_model=int8")).startswith("weights of language_model int8;")
