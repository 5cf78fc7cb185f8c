"""The tokenizer against the reference's ids and texts, whole and as a stream."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geopixel_edge.errors import (
    EngineCorruptError,
    EngineMismatchError,
    EngineNotFoundError,
    InferenceError,
    QueryError,
    RuntimeUnavailableError,
)
from geopixel_edge.text.tokenizer import StreamDecoder, Tokenizer
from tests.support.answers import reference_tokenizer

DATA = Path(__file__).parents[1] / "data" / "tiny-geopixel"
CASES = json.loads((DATA / "goldens" / "tokenizer_cases.json").read_text(encoding="utf-8"))
GOLDENS = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((DATA / "goldens").glob("s*.json"))}
MODEL = DATA / "checkpoint" / "tokenizer.model"
# The same model as early versions wrote it, for the package `tokenizers`.
CONVERTED = DATA.parent / "schema-1" / "tokenizer.json"


@pytest.fixture(scope="module", params=[MODEL, CONVERTED], ids=lambda path: path.name)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    tokens = reference_tokenizer().tokens
    return Tokenizer(request.param, tokens if request.param == MODEL else msgspec.structs.replace(tokens, added=()))


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


def test_both_forms_give_the_same_ids_and_texts() -> None:
    model = reference_tokenizer()
    converted = Tokenizer(CONVERTED, msgspec.structs.replace(model.tokens, added=()))
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x11000)])) + " <p> a </p>[SEG] </s>[UNUSED_TOKEN_145]" * 50
    for size in (1, 7, 200, 60_000):
        for start in range(0, len(text), max(size * 40, 400)):
            ids = model.encode(text[start : start + size], bos=True)
            assert ids == converted.encode(text[start : start + size], bos=True)
            assert model.decode(ids) == converted.decode(ids)
    assert model.size == converted.size


def test_bad_tokenizer_files_of_an_engine(tmp_path: Path) -> None:
    tokens = reference_tokenizer().tokens
    for name in ("t.json", "t.model", "other"):
        with pytest.raises(EngineNotFoundError, match="cannot be read"):
            Tokenizer(tmp_path / name, tokens)
        for content in ("", "{", "[]", '{"version": "1.0"}', json.dumps({"model": {"type": "BPE"}})):
            (tmp_path / name).write_text(content)
            with pytest.raises(
                EngineCorruptError, match=rf"{name} is not a tokenizer of this model: .*copy the engine"
            ):
                Tokenizer(tmp_path / name, tokens)


@pytest.mark.parametrize("path", [MODEL, CONVERTED], ids=lambda path: path.name)
def test_tokens_of_another_model(path: Path) -> None:
    tokens = reference_tokenizer().tokens
    with pytest.raises(EngineMismatchError, match="999 is not a seg token's id; export"):
        Tokenizer(path, msgspec.structs.replace(tokens, seg=999))
    with pytest.raises(EngineMismatchError, match="1000 is not a eos token's id"):
        Tokenizer(path, msgspec.structs.replace(tokens, eos=1000))


def test_added_tokens_that_are_not_the_models() -> None:
    tokens = reference_tokenizer().tokens
    with pytest.raises(EngineMismatchError, match="1 is not a bos token's id"):
        Tokenizer(MODEL, msgspec.structs.replace(tokens, added=()))
    other = tuple(msgspec.structs.replace(token, id=300) if token.text == "</s>" else token for token in tokens.added)
    with pytest.raises(EngineCorruptError, match=r"its piece 300 is .*, the manifest says '</s>'"):
        Tokenizer(MODEL, msgspec.structs.replace(tokens, added=other))


@pytest.mark.parametrize(("path", "package"), [(MODEL, "sentencepiece"), (CONVERTED, "tokenizers")])
def test_a_missing_package_is_named_with_what_installs_it(
    path: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RuntimeUnavailableError, match=rf"needs {package} .*; pip install {package}$"):
        Tokenizer(path, reference_tokenizer().tokens)


def test_each_form_loads_its_own_package_alone() -> None:
    tokens = reference_tokenizer().tokens
    packages = ("sentencepiece", "tokenizers")
    code = "\n".join(
        (
            "import msgspec, sys",
            "from geopixel_edge.engine.manifest import SpecialTokens",
            "from geopixel_edge.text.tokenizer import Tokenizer",
            f"loaded = lambda: [name for name in {packages} if name in sys.modules]",
            "before, tokens = loaded(), msgspec.json.decode(sys.argv[2], type=SpecialTokens)",
            "Tokenizer(sys.argv[1], tokens)",
            "print(before, loaded())",
        )
    )
    for path, package in zip((MODEL, CONVERTED), packages, strict=True):
        command = [sys.executable, "-c", code, str(path), msgspec.json.encode(tokens).decode()]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=DATA.parents[2])
        assert done.stdout.strip() == f"[] {[package]}"


def test_a_tokenizer_goes_through_a_pickle_and_is_shared_by_threads(tokenizer: Tokenizer) -> None:
    texts = [f"{case['text']} {place}" for place in range(50) for case in CASES["encode"]]
    wanted = [tokenizer.encode(text, bos=True) for text in texts]
    copied = pickle.loads(pickle.dumps(tokenizer))
    assert [copied.encode(text, bos=True) for text in texts] == wanted
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda text: tokenizer.encode(text, bos=True), texts)) == wanted


def test_text_and_ids_that_are_not_any(tokenizer: Tokenizer) -> None:
    with pytest.raises(QueryError, match="surrogate"):
        tokenizer.encode("a \ud800 b", bos=True)
    for token_id in (-1, 1003):
        with pytest.raises(InferenceError, match=str(token_id)):
            tokenizer.decode([token_id])
