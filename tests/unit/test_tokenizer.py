"""The tokenizer against the reference's ids and texts, whole and as a stream."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.tokenizer import TokenizerFacts, convert
from geopixel_edge.errors import (
    EngineCorruptError,
    EngineMismatchError,
    EngineNotFoundError,
    InferenceError,
    QueryError,
)
from geopixel_edge.text.tokenizer import StreamDecoder, Tokenizer
from tests.support.answers import reference_tokenizer, special_tokens

DATA = Path(__file__).parents[1] / "data" / "tiny-geopixel"
CASES = json.loads((DATA / "goldens" / "tokenizer_cases.json").read_text(encoding="utf-8"))
GOLDENS = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((DATA / "goldens").glob("s*.json"))}
FACTS = TokenizerFacts(bos=1, eos=2, unk=0, seg=1000, phrase_open=1001, phrase_close=1002)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return reference_tokenizer()


@pytest.mark.parametrize("case", CASES["encode"], ids=lambda case: repr(case["text"])[:30])
def test_encode_equals_the_reference(tokenizer: Tokenizer, case: dict[str, Any]) -> None:
    assert tokenizer.encode(case["text"], bos=False) == case["ids"]
    assert tokenizer.encode(case["text"], bos=True) == case["ids_bos"]


@pytest.mark.parametrize("case", CASES["decode"], ids=lambda case: repr(case["skip_special"]))
def test_decode_equals_the_reference(tokenizer: Tokenizer, case: dict[str, Any]) -> None:
    assert tokenizer.decode(case["ids"]) == case["skip_special"]
    assert tokenizer.response(case["ids"]) == case["response"]


@pytest.mark.parametrize("name", GOLDENS)
def test_prompts_and_responses_of_the_goldens(tokenizer: Tokenizer, name: str) -> None:
    golden = GOLDENS[name]
    for part in golden["text_parts"]:
        assert tokenizer.encode(part["text"], bos=part["add_special_tokens"]) == part["ids"]
    assert tokenizer.response(golden["generated_ids"]) == golden["response"]


BYTES = st.integers(3, 258)
IDS = st.lists(st.one_of(BYTES, st.sampled_from([0, 1, 2, 998, 999, 1000, 1001, 1002, 951]), st.integers(0, 1002)))
MARK_PARTS = st.sampled_from(["[UNUSED_TOKEN_145]", "[UNUSED_", "TOKEN_145]", "[", "\u65e5", "x"])


@settings(max_examples=300, deadline=None)
@given(ids=IDS)
def test_stream_decoder_gives_the_response(tokenizer: Tokenizer, ids: list[int]) -> None:
    stream = StreamDecoder(tokenizer)
    assert "".join([stream.push(token_id) for token_id in ids]) + stream.finish() == tokenizer.response(ids)


@settings(max_examples=200, deadline=None)
@given(parts=st.lists(MARK_PARTS), extra=IDS)
def test_stream_decoder_removes_marks_spelled_byte_by_byte(
    tokenizer: Tokenizer, parts: list[str], extra: list[int]
) -> None:
    ids = [byte + 3 for byte in "".join(parts).encode()] + extra
    stream = StreamDecoder(tokenizer)
    assert "".join([stream.push(token_id) for token_id in ids]) + stream.finish() == tokenizer.response(ids)


def test_stream_decoder_is_prompt_and_holds_unfinished_text(tokenizer: Tokenizer) -> None:
    stream = StreamDecoder(tokenizer)
    assert stream.push(292) == "The"
    assert [stream.push(byte + 3) for byte in "\u65e5".encode()] == ["", "", "\u65e5"]
    assert [stream.push(byte + 3) for byte in b"[UNX"] == ["", "", "", "[UNX"]
    assert stream.push(0xE6 + 3) == ""
    assert stream.push(1000) == "\ufffd [SEG]"
    assert stream.finish() == ""


def test_bad_tokenizer_files_of_an_engine(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = tmp_path / "t.json"
    with pytest.raises(EngineNotFoundError, match="cannot be read"):
        Tokenizer(path, tokenizer.tokens)
    for content in ("", "{", "[]", '{"version": "1.0"}', json.dumps({"model": {"type": "BPE"}})):
        path.write_text(content)
        with pytest.raises(EngineCorruptError, match="not a tokenizer"):
            Tokenizer(path, tokenizer.tokens)
    convert(DATA / "checkpoint", path)
    with pytest.raises(EngineMismatchError, match="not a seg token"):
        Tokenizer(path, special_tokens(TokenizerFacts(**{**asdict(FACTS), "seg": 999})))


def test_text_and_ids_that_are_not_any(tokenizer: Tokenizer) -> None:
    with pytest.raises(QueryError, match="surrogate"):
        tokenizer.encode("a \ud800 b", bos=True)
    for token_id in (-1, 1003):
        with pytest.raises(InferenceError, match=str(token_id)):
            tokenizer.decode([token_id])
