"""A checkpoint's tokenizer: what its files say beside `tokenizer.model`, which the engine holds unchanged."""

from __future__ import annotations

import importlib
import json
import logging
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from geopixel_edge.engine.manifest import AddedToken, SpecialTokens
from geopixel_edge.errors import CheckpointError, ExportError
from geopixel_edge.text.sentencepiece_model import read_model
from geopixel_edge.text.tokenizer import Tokenizer

# Generated at import, so no type checker sees inside.
sp_model: Any = importlib.import_module("sentencepiece.sentencepiece_model_pb2")
MODEL_NAME = "tokenizer.model"
log = logging.getLogger(__name__)
TAGS = ("[SEG]", "<p>", "</p>")
TURN_OPEN, TURN_CLOSE = "[UNUSED_TOKEN_146]", "[UNUSED_TOKEN_145]"
ROLES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
SPECIALS = {**ROLES, "pad_token": "", "sep_token": "", "cls_token": "", "mask_token": ""}


def read_tokens(checkpoint_dir: Path) -> SpecialTokens:
    """The tokens a checkpoint adds to its `tokenizer.model`, and the roles that some of them have.

    Reads tokenizer.model, added_tokens.json, tokenizer_config.json and special_tokens_map.json (the last may be
    absent). CheckpointError if one is missing, damaged or asks for what the original's tokenizer class does not do.
    """
    pieces = _read_pieces(checkpoint_dir / MODEL_NAME)
    (bos, eos, unk), added = _read_added(checkpoint_dir, pieces)
    tags = {token.text: token.id for token in added if not token.special}
    if missing := [tag for tag in TAGS if tag not in tags]:
        raise CheckpointError(f"{checkpoint_dir / 'added_tokens.json'} lacks {missing}; is this a GeoPixel checkpoint?")
    if len({bos, eos, unk}) < 3:
        config = checkpoint_dir / "tokenizer_config.json"
        raise CheckpointError(f"{config}: bos_token, eos_token and unk_token must differ")
    seg, phrase_open, phrase_close = (tags[tag] for tag in TAGS)
    return SpecialTokens(
        bos=bos,
        eos=eos,
        unk=unk,
        seg=seg,
        phrase_open=phrase_open,
        phrase_close=phrase_close,
        turn_open=TURN_OPEN,
        turn_close=TURN_CLOSE,
        added=tuple(sorted(added, key=lambda token: token.id)),
    )


def read_tokenizer(checkpoint_dir: Path) -> Tokenizer:
    """The checkpoint's tokenizer, as an engine exported from it has it; CheckpointError as `read_tokens`."""
    return Tokenizer(checkpoint_dir / MODEL_NAME, read_tokens(checkpoint_dir))


def write_tokenizer(checkpoint_dir: Path, engine_dir: Path) -> SpecialTokens:
    """Copy `tokenizer.model` into the engine and return what `read_tokens` does; ExportError where it cannot."""
    tokens = read_tokens(checkpoint_dir)
    try:
        (engine_dir / MODEL_NAME).write_bytes(_read(checkpoint_dir / MODEL_NAME))
    except OSError as error:
        raise ExportError(f"step tokenizer: {engine_dir} cannot be written in ({error.strerror}); make room") from None
    return tokens


def note_spare_rows(tokenizer: Tokenizer, vocabulary: int) -> None:
    """Say so where the embedding table has more rows than the tokenizer has ids; none of them is ever generated."""
    if tokenizer.size < vocabulary:
        log.warning(
            "the tokenizer has %d ids, the embedding table %d rows: the last %d are never generated",
            tokenizer.size,
            vocabulary,
            vocabulary - tokenizer.size,
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}); download the checkpoint again") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON ({error}); download the checkpoint again") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds {type(value).__name__}, not an object; download the checkpoint again")
    return value


def _read_pieces(path: Path) -> list[str]:
    """Its pieces by id, if it is a BPE model whose text is decoded as GeoPixel's is."""
    serialized, proto = _read(path), sp_model.ModelProto()
    try:
        proto.ParseFromString(serialized)
        read_model(serialized, ())
    except (DecodeError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path} is not a SentencePiece model ({error}); download the checkpoint again") from None
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    if not proto.pieces or trainer.model_type != sp_model.TrainerSpec.BPE:
        raise CheckpointError(f"{path} is not a SentencePiece BPE model; GeoPixel's is")
    if trainer.treat_whitespace_as_suffix or not normalizer.escape_whitespaces:
        raise CheckpointError(f"{path} marks spaces in a way GeoPixel's tokenizer does not; is it another model's?")
    if proto.denormalizer_spec.precompiled_charsmap:
        raise CheckpointError(f"{path} rewrites decoded text, unlike GeoPixel's; is it another model's?")
    return [piece.piece for piece in proto.pieces]


def _read_added(root: Path, pieces: list[str]) -> tuple[list[int], list[AddedToken]]:
    """The ids of BOS, EOS and the unknown token; all tokens cut out of text, with what the original strips."""
    config = _read_json(root / "tokenizer_config.json")
    for key, wanted in (("clean_up_tokenization_spaces", False), ("add_eos_token", False), ("add_bos_token", True)):
        if config.get(key, wanted) is not wanted:
            raise CheckpointError(f"{root / 'tokenizer_config.json'}: {key} must be {wanted}, as GeoPixel uses it")
    map_path = root / "special_tokens_map.json"
    if map_path.exists():
        config = {**_read_json(map_path), **{key: value for key, value in config.items() if value}}
    ids = {piece: index for index, piece in enumerate(pieces)}
    encoder = _read_json(root / "added_tokens.json")
    room = list(range(len(ids), len(ids) + len(encoder)))
    if any(type(value) is not int for value in encoder.values()) or sorted(encoder.values()) != room:
        raise CheckpointError(f"{root / 'added_tokens.json'}: ids must run on from {len(ids)}; download it again")
    ids.update(encoder)
    specials: dict[str, AddedToken] = {}
    named = {name: config.get(name) or default for name, default in SPECIALS.items()}
    found = {name: _add_special(specials, value, name, ids) for name, value in named.items() if value}
    for value in config.get("additional_special_tokens") or []:
        _add_special(specials, value, "additional_special_tokens", ids)
    tags = [_token(text, index, special=False) for text, index in encoder.items() if text not in specials]
    return [found[name] for name in ROLES], [*specials.values(), *tags]


def _add_special(specials: dict[str, AddedToken], value: Any, name: str, ids: dict[str, int]) -> int:
    """Add it and return its id. Given as a string it is stripped on both sides; an object states its own sides."""
    text = value.get("content") if isinstance(value, dict) else value
    if not isinstance(text, str) or text not in ids:
        raise CheckpointError(f"{name}={value!r} is neither a piece of tokenizer.model nor in added_tokens.json")
    if isinstance(value, dict):
        left, right = bool(value.get("lstrip", False)), bool(value.get("rstrip", False))
        specials[text] = AddedToken(text=text, id=ids[text], lstrip=left, rstrip=right, special=True)
    else:
        specials.setdefault(text, _token(text, ids[text], special=True))
    return ids[text]


def _token(text: str, index: int, *, special: bool) -> AddedToken:
    return AddedToken(text=text, id=index, lstrip=True, rstrip=True, special=special)
