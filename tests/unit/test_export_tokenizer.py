"""A checkpoint's tokenizer files become the engine's: every flag of SentencePiece, every damage, every difference."""

from __future__ import annotations

import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from export.tokenizer import MODEL_NAME, note_spare_rows, read_tokenizer, read_tokens, sp_model, write_tokenizer
from geopixel_edge.errors import CheckpointError, ExportError
from geopixel_edge.text.tokenizer import StreamDecoder

DATA = Path(__file__).parents[1] / "data" / "tiny-geopixel"
Piece = sp_model.ModelProto.SentencePiece
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
    tokens = write_tokenizer(DATA / "checkpoint", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [MODEL_NAME]
    assert (tmp_path / MODEL_NAME).read_bytes() == (DATA / "checkpoint" / MODEL_NAME).read_bytes()
    assert (tokens.bos, tokens.eos, tokens.unk) == (1, 2, 0)
    assert (tokens.seg, tokens.phrase_open, tokens.phrase_close) == (1000, 1001, 1002)
    assert [(token.text, token.id, token.special) for token in tokens.added] == [
        ("<unk>", 0, True),
        ("<s>", 1, True),
        ("</s>", 2, True),
        ("[SEG]", 1000, False),
        ("<p>", 1001, False),
        ("</p>", 1002, False),
    ]
    assert all(token.lstrip and token.rstrip for token in tokens.added)


TEXTS = (
    "the  storage",
    " tanks\n",
    "[UNUSED_TOKEN_145]x  [UNUSED_TOKEN_146]",
    "\u2581\u2581",
    "  ",
    "<pad>a",
    "\u2581 \u2581the",
    "\U0001f697 \u65e5",
    "\0\x01",
)


@pytest.mark.parametrize("collapse", [False, True])
@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"byte_fallback": False},
        {"control_symbols": ["<pad>"]},
        {"normalization_rule_name": "nmt_nfkc"},
        {"split_by_whitespace": False, "allow_whitespace_only_pieces": True},
    ],
    ids=str,
)
def test_every_flag_of_sentencepiece(tmp_path: Path, prefix: bool, collapse: bool, more: dict[str, Any]) -> None:
    root = write_checkpoint(tmp_path, add_dummy_prefix=prefix, remove_extra_whitespaces=collapse, **more)
    tokenizer = read_tokenizer(root)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(root / MODEL_NAME))
    for text in TEXTS:
        ids = processor.encode(text)
        assert tokenizer.encode(text, bos=False) == ids
        assert tokenizer.decode(ids) == processor.decode([i for i in ids if i != 0])
    rng = random.Random(7)
    for _ in range(2_000):
        ids = [rng.randrange(3, processor.get_piece_size()) for _ in range(rng.randint(1, 8))]
        ids = [rng.choice((token_id, processor.piece_to_id("\u2581"))) or 3 for token_id in ids]
        assert tokenizer.decode(ids) == processor.decode(ids)
        stream = StreamDecoder(tokenizer)
        assert "".join([stream.push(token_id) for token_id in ids]) + stream.finish() == tokenizer.response(ids)
    assert tokenizer.decode([tokenizer.tokens.seg, *processor.encode("the storage")]) == (
        "[SEG] the storage" if prefix or collapse else "[SEG] " + processor.decode(processor.encode("the storage"))
    )


def test_dummy_prefix_is_a_leading_space_that_decoding_drops(tmp_path: Path) -> None:
    decoded = {}
    for prefix in (False, True):
        tokenizer = read_tokenizer(write_checkpoint(tmp_path / str(prefix), add_dummy_prefix=prefix))
        ids = tokenizer.encode(" the [SEG] the", bos=False)
        decoded[prefix] = tokenizer.decode(ids)
        assert tokenizer.tokens.seg in ids
    assert decoded == {False: " the [SEG] the", True: " the [SEG] the"}
    assert tokenizer.encode("the", bos=False) == tokenizer.encode("x [SEG] the", bos=False)[-1:]


def test_a_tag_spelled_through_the_charsmap_stays_text(tmp_path: Path) -> None:
    rules = tmp_path / "rules.tsv"
    rules.write_text("FF1C\t3C\nFF1E\t3E\nFF41\t61\n")
    root = write_checkpoint(tmp_path, normalization_rule_tsv=str(rules), normalization_rule_name="user_defined")
    tokenizer = read_tokenizer(root)
    assert tokenizer.encode("\uff41", bos=False) == tokenizer.encode("a", bos=False)
    spelled = tokenizer.encode("\uff1cs\uff1e \uff1cp\uff1e", bos=False)
    assert not {tokenizer.tokens.bos, tokenizer.tokens.phrase_open} & set(spelled)
    assert tokenizer.decode(spelled) == "<s> <p>"


def test_special_tokens_given_as_objects_state_what_they_strip(tmp_path: Path) -> None:
    root = write_checkpoint(tmp_path)
    eos = {"content": "</s>", "lstrip": False, "rstrip": True, "normalized": False, "single_word": False}
    (root / "special_tokens_map.json").write_text(json.dumps({"eos_token": eos}))
    (root / "tokenizer_config.json").write_text("{}")
    tokenizer = read_tokenizer(root)
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
    (tmp_path / "engine").mkdir()
    with pytest.raises(CheckpointError, match=name):
        write_tokenizer(root, tmp_path / "engine")
    assert not list((tmp_path / "engine").iterdir())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("added_tokens.json", {"[SEG]": 1000}, "lacks"),
        ("added_tokens.json", {"[SEG]": 1000, "<p>": 1001, "</p>": 1003}, "run on from 1000"),
        ("added_tokens.json", {"[SEG]": "1000", "<p>": 1001, "</p>": 1002}, "run on from 1000"),
        ("tokenizer_config.json", {"eos_token": "<end>"}, "eos_token='<end>'"),
        ("tokenizer_config.json", {"eos_token": "<s>"}, "must differ"),
        ("tokenizer_config.json", {"eos_token": "<s>", "pad_token": "</s>"}, "must differ"),
        ("tokenizer_config.json", {"add_bos_token": False}, "add_bos_token"),
        ("tokenizer_config.json", {"clean_up_tokenization_spaces": True}, "clean_up"),
        ("special_tokens_map.json", {"additional_special_tokens": ["[SEG]"]}, "lacks"),
    ],
)
def test_files_that_say_something_else(tmp_path: Path, name: str, content: dict[str, Any], words: str) -> None:
    root = Path(shutil.copytree(DATA / "checkpoint", tmp_path / "c", ignore=shutil.ignore_patterns("*.safetensors")))
    (root / name).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=words):
        read_tokens(root)


def test_an_unwritable_target_is_an_export_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot be written"):
        write_tokenizer(DATA / "checkpoint", tmp_path / "no")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda model: setattr(model.trainer_spec, "model_type", sp_model.TrainerSpec.UNIGRAM), "BPE"),
        (lambda model: setattr(model.trainer_spec, "treat_whitespace_as_suffix", True), "marks spaces"),
        (lambda model: setattr(model.normalizer_spec, "escape_whitespaces", False), "marks spaces"),
        (lambda model: model.pieces.add(piece="<s>"), "already defined"),
        (lambda model: model.ClearField("pieces"), "not a SentencePiece model"),
    ],
)
def test_models_that_geopixel_has_not(tmp_path: Path, change: Callable[[Any], object], words: str) -> None:
    root = write_checkpoint(tmp_path)
    model = parse((root / MODEL_NAME).read_bytes())
    change(model)
    (root / MODEL_NAME).write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=words):
        read_tokens(root)


def test_rows_that_no_id_reaches_are_noted(caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = read_tokenizer(DATA / "checkpoint")
    note_spare_rows(tokenizer, tokenizer.size)
    assert caplog.text == ""
    note_spare_rows(tokenizer, tokenizer.size + 9)
    assert f"{tokenizer.size} ids" in caplog.text
    assert "the last 9 are never generated" in caplog.text
