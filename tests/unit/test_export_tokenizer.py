"""A checkpoint's SentencePiece becomes the engine's tokenizer: every flag, every damage, every difference."""

from __future__ import annotations

import io
import itertools
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from export import tokenizer_check
from export.tokenizer import Piece, TokenizerFacts, convert, sp_model
from geopixel_edge.errors import CheckpointError, ExportError
from geopixel_edge.text.tokenizer import Tokenizer
from tests.support.answers import special_tokens

DATA = Path(__file__).parents[1] / "data" / "tiny-geopixel"
FACTS = TokenizerFacts(bos=1, eos=2, unk=0, seg=1000, phrase_open=1001, phrase_close=1002)
CORPUS = (
    "the storage tanks near the harbor",
    "a red car, 12 ships; ==== and -- at 50%",
    "caf\u00e9 na\u00efve",
    "Is it?\tNo",
)


def write_checkpoint(root: Path, **options: Any) -> Path:
    """A checkpoint's tokenizer files around a SentencePiece BPE trained here; `options` go to the trainer."""
    root.mkdir(parents=True, exist_ok=True)
    settings = {
        "vocab_size": 340,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "user_defined_symbols": ["[UNUSED_TOKEN_145]", "[UNUSED_TOKEN_146]"],
        **options,
    }
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 20),
        model_writer=model,
        model_type="bpe",
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
        **settings,
    )
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


def test_the_reference_checkpoint(tmp_path: Path) -> None:
    assert convert(DATA / "checkpoint", tmp_path / "t.json") == FACTS
    assert [path.name for path in tmp_path.iterdir()] == ["t.json"]


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


def random_vocabulary(model: bytes, rng: random.Random) -> bytes:
    """The model with its words replaced by random short strings of two letters, long and repetitive ones included."""
    proto = parse(model)
    kept = [piece for piece in proto.pieces if piece.type != Piece.NORMAL or len(piece.piece) == 1]
    words = ["".join(letters) for size in range(2, 6) for letters in itertools.product("ae", repeat=size)]
    kept += [Piece(piece=word, score=-place, type=Piece.NORMAL) for place, word in enumerate(rng.sample(words, 25))]
    other = parse(model)
    del other.pieces[:]
    other.pieces.extend(kept)
    return bytes(other.SerializeToString())


@pytest.mark.parametrize("seed", range(4))
def test_merges_of_random_vocabularies(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_check, "TEXTS", 200)
    root, rng = write_checkpoint(tmp_path), random.Random(seed)
    model = random_vocabulary((root / "tokenizer.model").read_bytes(), rng)
    write_files(root, model)
    facts = convert(root, tmp_path / "t.json")
    tokenizer = Tokenizer(tmp_path / "t.json", special_tokens(facts))
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    for _ in range(500):
        text = "".join(rng.choices("ae", k=rng.randint(1, 25)))
        assert tokenizer.encode(text, bos=False) == processor.encode(text)
