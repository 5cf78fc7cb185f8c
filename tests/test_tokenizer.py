"""The tokenizer against the reference's ids, against SentencePiece, and against damaged files."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from export import tokenizer_check
from export.tokenizer import TokenizerFacts, convert, sp_model
from geopixel_edge.engine import SpecialTokens
from geopixel_edge.errors import (
    CheckpointError,
    EngineCorruptError,
    EngineMismatchError,
    EngineNotFoundError,
    ExportError,
    InferenceError,
    QueryError,
)
from geopixel_edge.tokenizer import StreamDecoder, Tokenizer

DATA = Path(__file__).parent / "data" / "tiny-geopixel"
CASES = json.loads((DATA / "goldens" / "tokenizer_cases.json").read_text(encoding="utf-8"))
GOLDENS = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((DATA / "goldens").glob("s*.json"))}
FACTS = TokenizerFacts(bos=1, eos=2, unk=0, seg=1000, phrase_open=1001, phrase_close=1002)
CORPUS = (
    "the storage tanks near the harbor",
    "a red car, 12 ships; ==== and -- at 50%",
    "caf\u00e9 na\u00efve",
    "Is it?\tNo",
)


def special_tokens(facts: TokenizerFacts) -> SpecialTokens:
    return SpecialTokens(**asdict(facts), turn_open="[UNUSED_TOKEN_146]", turn_close="[UNUSED_TOKEN_145]")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("engine") / "tokenizer.json"
    assert convert(DATA / "checkpoint", path) == FACTS
    return Tokenizer(path, special_tokens(FACTS))


def write_checkpoint(root: Path, **options: Any) -> Path:
    """A checkpoint's tokenizer files around a SentencePiece BPE trained here; `options` go to the trainer."""
    root.mkdir(parents=True, exist_ok=True)
    settings = {"vocab_size": 340, "byte_fallback": True, "normalization_rule_name": "identity",
                "remove_extra_whitespaces": False, "user_defined_symbols": ["[UNUSED_TOKEN_145]", "[UNUSED_TOKEN_146]"],
                **options}  # fmt: skip
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 20), model_writer=model, model_type="bpe", hard_vocab_limit=False,
        minloglevel=2, num_threads=1, **settings)  # fmt: skip
    write_files(root, model.getvalue())
    return root


def write_files(root: Path, model: bytes) -> None:
    size = len(parse(model).pieces)
    (root / "tokenizer.model").write_bytes(model)
    added = {tag: size + index for index, tag in enumerate(("[SEG]", "<p>", "</p>"))}
    (root / "added_tokens.json").write_text(json.dumps(added))
    (root / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})
    )


def parse(model: bytes) -> Any:
    proto = sp_model.ModelProto()
    proto.ParseFromString(model)
    return proto


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


@pytest.mark.parametrize("collapse", [False, True])
@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize("more", [{}, {"byte_fallback": False}, {"control_symbols": ["<pad>"]}], ids=str)
def test_every_flag_of_sentencepiece(tmp_path: Path, prefix: bool, collapse: bool, more: dict[str, Any]) -> None:
    root = write_checkpoint(tmp_path, add_dummy_prefix=prefix, remove_extra_whitespaces=collapse, **more)
    facts = convert(root, tmp_path / "t.json")
    tokenizer = Tokenizer(tmp_path / "t.json", special_tokens(facts))
    processor = sentencepiece.SentencePieceProcessor(model_file=str(root / "tokenizer.model"))
    for text in ("the  storage", " tanks\n", "[UNUSED_TOKEN_145]x  [UNUSED_TOKEN_146]", "\u2581\u2581", "  ", "<pad>a"):
        ids = processor.encode(text)
        assert tokenizer.encode(text, bos=False) == ids
        assert tokenizer.decode(ids) == processor.decode([i for i in ids if i != 0])
    assert tokenizer.decode([facts.seg, *processor.encode("the storage")]) == (
        "[SEG] the storage" if prefix or collapse else "[SEG] " + processor.decode(processor.encode("the storage"))
    )


def test_dummy_prefix_is_a_leading_space_that_decoding_drops(tmp_path: Path) -> None:
    decoded = {}
    for prefix in (False, True):
        facts = convert(write_checkpoint(tmp_path / str(prefix), add_dummy_prefix=prefix), tmp_path / "t.json")
        tokenizer = Tokenizer(tmp_path / "t.json", special_tokens(facts))
        ids = tokenizer.encode(" the [SEG] the", bos=False)
        decoded[prefix] = tokenizer.decode(ids)
        assert facts.seg in ids
    assert decoded == {False: " the [SEG] the", True: " the [SEG] the"}
    assert tokenizer.encode("the", bos=False) == tokenizer.encode("x [SEG] the", bos=False)[-1:]


def test_a_charsmap_that_tokenizers_cannot_follow_is_refused(tmp_path: Path) -> None:
    root = write_checkpoint(tmp_path, normalization_rule_name="nmt_nfkc")
    with pytest.raises(ExportError, match="gives ids"):
        convert(root, tmp_path / "t.json")
    assert not list(tmp_path.glob("t.json*"))


def test_a_tag_spelled_through_the_charsmap_stays_text(tmp_path: Path) -> None:
    rules = tmp_path / "rules.tsv"
    rules.write_text("FF1C\t3C\nFF1E\t3E\nFF41\t61\n")
    root = write_checkpoint(tmp_path, normalization_rule_tsv=str(rules), normalization_rule_name="user_defined")
    facts = convert(root, tmp_path / "t.json")
    tokenizer = Tokenizer(tmp_path / "t.json", special_tokens(facts))
    assert tokenizer.encode("\uff41", bos=False) == tokenizer.encode("a", bos=False)
    spelled = tokenizer.encode("\uff1cs\uff1e \uff1cp\uff1e", bos=False)
    assert not {facts.bos, facts.phrase_open} & set(spelled)
    assert tokenizer.decode(spelled) == "<s> <p>"


def test_special_tokens_given_as_objects_state_what_they_strip(tmp_path: Path) -> None:
    root = write_checkpoint(tmp_path)
    eos = {"content": "</s>", "lstrip": False, "rstrip": True, "normalized": False, "single_word": False}
    (root / "special_tokens_map.json").write_text(json.dumps({"eos_token": eos}))
    (root / "tokenizer_config.json").write_text("{}")
    facts = convert(root, tmp_path / "t.json")
    tokenizer = Tokenizer(tmp_path / "t.json", special_tokens(facts))
    assert tokenizer.encode("a </s> a", bos=False) == [
        *tokenizer.encode("a ", bos=False),
        2,
        *tokenizer.encode("a", bos=False),
    ]


@pytest.mark.parametrize("name", ["tokenizer.model", "added_tokens.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe{", b"[1]"], ids=["missing", "empty", "noise", "list"])
def test_damaged_checkpoint_files(tmp_path: Path, name: str, content: bytes | None) -> None:
    root = Path(shutil.copytree(DATA / "checkpoint", tmp_path / "c", ignore=shutil.ignore_patterns("*.safetensors")))
    (root / name).unlink()
    if content is not None:
        (root / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        convert(root, tmp_path / "t.json")
    assert not list(tmp_path.glob("t.json*"))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("added_tokens.json", {"[SEG]": 1000}, "lacks"),
        ("added_tokens.json", {"[SEG]": 1000, "<p>": 1001, "</p>": 1003}, "run on from 1000"),
        ("added_tokens.json", {"[SEG]": "1000", "<p>": 1001, "</p>": 1002}, "run on from 1000"),
        ("tokenizer_config.json", {"eos_token": "<end>"}, "eos_token='<end>'"),
        ("tokenizer_config.json", {"eos_token": "<s>"}, "must differ"),
        ("tokenizer_config.json", {"add_bos_token": False}, "add_bos_token"),
        ("tokenizer_config.json", {"clean_up_tokenization_spaces": True}, "clean_up"),
        ("special_tokens_map.json", {"additional_special_tokens": ["[SEG]"]}, "lacks"),
    ],
)
def test_files_that_say_something_else(tmp_path: Path, name: str, content: dict[str, Any], words: str) -> None:
    root = Path(shutil.copytree(DATA / "checkpoint", tmp_path / "c", ignore=shutil.ignore_patterns("*.safetensors")))
    (root / name).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=words):
        convert(root, tmp_path / "t.json")


def test_the_export_fails_when_one_id_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = tokenizer_check.Upstream.encode
    monkeypatch.setattr(
        tokenizer_check.Upstream, "encode", lambda self, text: upstream(self, text) + [7] * ("near" in text)
    )
    with pytest.raises(ExportError, match=r"near.*gives ids .*the original gives .*7\]"):
        convert(DATA / "checkpoint", tmp_path / "t.json")
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_target_is_an_export_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot be written"):
        convert(DATA / "checkpoint", tmp_path / "no" / "t.json")


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
