"""A checkpoint's SentencePiece tokenizer becomes one `tokenizers` JSON, proved equal to what the original does.

`tokenizers` cannot strip the way the original strips around added tokens, nor prefix a chunk once whatever it
starts with, so those two steps are the runtime's; the JSON describes pieces, merges, normaliser and added tokens.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from geopixel_edge.engine.manifest import SpecialTokens
from geopixel_edge.errors import CheckpointError, EngineError, ExportError
from geopixel_edge.text.detokenizer import SPACE
from geopixel_edge.text.tokenizer import Tokenizer

from .tokenizer_check import TURN_MARKS, AddedToken, Upstream, verify

# Generated at import, so no type checker sees inside.
sp_model: Any = importlib.import_module("sentencepiece.sentencepiece_model_pb2")
TAGS = ("[SEG]", "<p>", "</p>")
SPECIALS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
SPECIALS.update(pad_token="", sep_token="", cls_token="", mask_token="")
Piece: Any = sp_model.ModelProto.SentencePiece


@dataclass(frozen=True)
class TokenizerFacts:
    """Token ids the manifest states."""

    bos: int
    eos: int
    unk: int
    seg: int
    phrase_open: int
    phrase_close: int


def convert(checkpoint_dir: Path, out_path: Path) -> TokenizerFacts:
    """Write the checkpoint's tokenizer to `out_path` as a `tokenizers` JSON.

    Reads tokenizer.model, added_tokens.json, tokenizer_config.json and special_tokens_map.json (the last may be
    absent). CheckpointError if one is missing, damaged or asks for what the original's tokenizer class does not
    do; ExportError, with nothing left at `out_path`, if a text or id sequence comes out differently.
    """
    serialized = _read(checkpoint_dir / "tokenizer.model")
    proto = _parse(serialized, checkpoint_dir / "tokenizer.model")
    specials, added = _read_added(checkpoint_dir, proto)
    facts = _facts(specials, added, checkpoint_dir)
    upstream = Upstream(serialized, specials + added)
    partial = out_path.with_name(out_path.name + ".partial")
    try:
        partial.write_text(json.dumps(_document(proto, specials + added), ensure_ascii=False), encoding="utf-8")
        tokens = SpecialTokens(**asdict(facts), turn_open=TURN_MARKS[1], turn_close=TURN_MARKS[0])
        verify(upstream, Tokenizer(partial, tokens))
        os.replace(partial, out_path)
    except OSError as error:
        raise ExportError(f"step tokenizer: {out_path} cannot be written ({error.strerror}); make room there") from None
    except EngineError as error:
        raise ExportError(f"step tokenizer: this tokenizer.model cannot be expressed ({error})") from None
    finally:
        partial.unlink(missing_ok=True)
    return facts


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


def _parse(serialized: bytes, path: Path) -> Any:
    """The ModelProto, if it is a BPE model of the kind `tokenizers` can express."""
    proto = sp_model.ModelProto()
    try:
        proto.ParseFromString(serialized)
    except DecodeError as error:
        raise CheckpointError(f"{path} is not a SentencePiece model ({error}); download the checkpoint again") from None
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    if not proto.pieces or trainer.model_type != sp_model.TrainerSpec.BPE:
        raise CheckpointError(f"{path} is not a SentencePiece BPE model; GeoPixel's is")
    if trainer.treat_whitespace_as_suffix or not normalizer.escape_whitespaces:
        raise CheckpointError(f"{path} marks spaces in a way GeoPixel's tokenizer does not; is it another model's?")
    if proto.denormalizer_spec.precompiled_charsmap:
        raise CheckpointError(f"{path} rewrites decoded text, unlike GeoPixel's; is it another model's?")
    return proto


def _read_added(root: Path, proto: Any) -> tuple[list[AddedToken], list[AddedToken]]:
    """Special tokens (skipped in decoding) and added tokens (kept), with what the original strips around each."""
    config = _read_json(root / "tokenizer_config.json")
    for key, wanted in (("clean_up_tokenization_spaces", False), ("add_eos_token", False), ("add_bos_token", True)):
        if config.get(key, wanted) is not wanted:
            raise CheckpointError(f"{root / 'tokenizer_config.json'}: {key} must be {wanted}, as GeoPixel uses it")
    map_path = root / "special_tokens_map.json"
    if map_path.exists():
        config = {**_read_json(map_path), **{key: value for key, value in config.items() if value}}
    ids = {piece.piece: index for index, piece in enumerate(proto.pieces)}
    encoder = _read_json(root / "added_tokens.json")
    room = list(range(len(ids), len(ids) + len(encoder)))
    if any(type(value) is not int for value in encoder.values()) or sorted(encoder.values()) != room:
        raise CheckpointError(f"{root / 'added_tokens.json'}: ids must run on from {len(ids)}; download it again")
    ids.update(encoder)
    specials: dict[str, AddedToken] = {}
    for name, default in SPECIALS.items():
        if config.get(name) or default:
            _add_special(specials, config.get(name) or default, name, ids)
    for value in config.get("additional_special_tokens") or []:
        _add_special(specials, value, "additional_special_tokens", ids)
    added = [AddedToken(text, index, True, True, False) for text, index in encoder.items() if text not in specials]
    return list(specials.values()), added


def _add_special(specials: dict[str, AddedToken], value: Any, name: str, ids: dict[str, int]) -> None:
    """A token given as a string is stripped on both sides; one given as an object states its own sides."""
    text = value.get("content") if isinstance(value, dict) else value
    if not isinstance(text, str) or text not in ids:
        raise CheckpointError(f"{name}={value!r} is neither a piece of tokenizer.model nor in added_tokens.json")
    if isinstance(value, dict):
        left, right = bool(value.get("lstrip", False)), bool(value.get("rstrip", False))
        specials[text] = AddedToken(text, ids[text], left, right, True)
    else:
        specials.setdefault(text, AddedToken(text, ids[text], True, True, True))


def _facts(specials: list[AddedToken], added: list[AddedToken], root: Path) -> TokenizerFacts:
    tags = {token.text: token.id for token in added}
    missing = [tag for tag in TAGS if tag not in tags]
    if missing:
        raise CheckpointError(f"{root / 'added_tokens.json'} lacks {missing}; is this a GeoPixel checkpoint?")
    roles = [token.id for token in specials][:3]
    if len(set(roles)) < 3:
        raise CheckpointError(f"{root / 'tokenizer_config.json'}: bos_token, eos_token and unk_token must differ")
    return TokenizerFacts(*roles, *(tags[tag] for tag in TAGS))


def _merges(proto: Any) -> Iterator[tuple[str, str]]:
    """Merge rules, best first: SentencePiece joins any two neighbours that spell a piece, by the piece's score."""
    parts = {piece.piece for piece in proto.pieces if piece.type in (Piece.NORMAL, Piece.UNUSED)}
    for piece in sorted((p for p in proto.pieces if p.type == Piece.NORMAL), key=lambda p: -p.score):
        text = piece.piece
        for cut in range(1, len(text)):
            if text[:cut] in parts and text[cut:] in parts:
                yield text[:cut], text[cut:]


def _normalizer(spec: Any) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    if spec.precompiled_charsmap:
        charsmap = base64.b64encode(spec.precompiled_charsmap).decode("ascii")
        steps.append({"type": "Precompiled", "precompiled_charsmap": charsmap})
    if spec.remove_extra_whitespaces:
        steps.append({"type": "Replace", "pattern": {"Regex": rf"\A +|[ {SPACE}]+\z"}, "content": ""})
        steps.append({"type": "Replace", "pattern": {"Regex": " +"}, "content": " "})
    steps.append({"type": "Replace", "pattern": {"String": " "}, "content": SPACE})
    if spec.add_dummy_prefix:
        steps.append({"type": "Prepend", "prepend": SPACE})
    return {"type": "Sequence", "normalizers": steps}


def _decoder(proto: Any, specials: set[str]) -> dict[str, Any]:
    control = [p.piece for p in proto.pieces if p.type == Piece.CONTROL and p.piece not in specials]
    replaced = [(text, "") for text in control] + [(SPACE, " ")]
    steps: list[dict[str, Any]] = [{"type": "Replace", "pattern": {"String": a}, "content": b} for a, b in replaced]
    steps += [{"type": "ByteFallback"}, {"type": "Fuse"}]
    if proto.normalizer_spec.add_dummy_prefix or proto.normalizer_spec.remove_extra_whitespaces:
        steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {"type": "Sequence", "decoders": steps}


def _document(proto: Any, cut_out: list[AddedToken]) -> dict[str, Any]:
    """The whole JSON; the keys of `tokenizers` 0.20 and later."""
    taken = {token.text for token in cut_out}
    frozen = [
        AddedToken(piece.piece, index, False, False, False)
        for index, piece in enumerate(proto.pieces)
        if piece.type == Piece.USER_DEFINED and piece.piece not in taken
    ]
    tokens = sorted(cut_out + frozen, key=lambda token: token.id)
    unk = next((piece.piece for piece in proto.pieces if piece.type == Piece.UNKNOWN), None)
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": unk,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": proto.trainer_spec.byte_fallback,
        "ignore_merges": False,
        "vocab": {piece.piece: index for index, piece in enumerate(proto.pieces)},
        "merges": list(_merges(proto)),
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [token.to_json() for token in tokens],
        "normalizer": _normalizer(proto.normalizer_spec),
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": _decoder(proto, taken),
        "model": model,
    }
