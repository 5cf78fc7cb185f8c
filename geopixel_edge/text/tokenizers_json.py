"""`tokenizer.json` of engines that early versions wrote: SentencePiece converted for the package `tokenizers`.

Its normaliser and its BPE are run apart: a normaliser can turn other characters into a tag's spelling, so BPE must not
know the tags at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from ..engine.manifest import AddedToken
from .detokenizer import Pieces
from .vocabulary import Vocabulary, added_texts, import_library

_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")


class _Added(msgspec.Struct):
    id: int
    content: str
    single_word: bool
    lstrip: bool
    rstrip: bool
    normalized: bool
    special: bool

    @property
    def cut_out(self) -> bool:
        """Split from the text before BPE; the rest are pieces BPE may not touch (SentencePiece's user-defined)."""
        return self.special or self.lstrip or self.rstrip


class _File(msgspec.Struct):
    version: msgspec.Raw
    truncation: msgspec.Raw
    padding: msgspec.Raw
    added_tokens: list[_Added]
    normalizer: msgspec.Raw
    pre_tokenizer: msgspec.Raw
    post_processor: msgspec.Raw
    decoder: msgspec.Raw
    model: msgspec.Raw


class _Step(msgspec.Struct):
    type: str
    pattern: dict[str, str] = {}
    content: str = ""


class _Steps(msgspec.Struct):
    normalizers: list[_Step] = []
    decoders: list[_Step] = []


class _Model(msgspec.Struct):
    byte_fallback: bool


class _Chunks:
    """Ids of a chunk of text; pickled with what it holds."""

    def __init__(self, normalizer: Any, bpe: Any) -> None:
        self._normalizer, self._bpe = normalizer, bpe

    def encode(self, chunk: str) -> list[int]:
        return list(self._bpe.encode(self._normalizer.normalize_str(chunk), add_special_tokens=False).ids)


def read_json(data: bytes) -> Vocabulary:
    """The vocabulary of such a file, its added tokens included; some Exception, bare from Rust, when it is none."""
    file = msgspec.json.decode(data, type=_File)
    tokenizers = import_library("tokenizers")
    normalizer = tokenizers.Tokenizer.from_buffer(msgspec.json.encode(file)).normalizer
    cut_out = [token for token in file.added_tokens if token.cut_out]
    file.added_tokens = [token for token in file.added_tokens if not token.cut_out]
    bpe = tokenizers.Tokenizer.from_buffer(msgspec.json.encode(file))
    bpe.normalizer = tokenizers.normalizers.Sequence([])
    added = tuple(
        AddedToken(text=token.content, id=token.id, lstrip=token.lstrip, rstrip=token.rstrip, special=token.special)
        for token in cut_out
    )
    return Vocabulary(
        _Chunks(normalizer, bpe).encode, _pieces(file, bpe.get_vocab(with_added_tokens=False), added), added
    )


def _pieces(file: _File, vocabulary: dict[str, int], added: Sequence[AddedToken]) -> Pieces:
    steps = msgspec.json.decode(file.normalizer, type=_Steps).normalizers
    decoders = msgspec.json.decode(file.decoder, type=_Steps).decoders
    byte_fallback = msgspec.json.decode(file.model, type=_Model).byte_fallback
    silent = {step.pattern.get("String") for step in decoders if step.type == "Replace" and not step.content}
    text = [""] * (max(vocabulary.values(), default=-1) + 1)
    byte = {}
    for piece, token_id in vocabulary.items():
        text[token_id] = "" if piece in silent else piece
        match = _BYTE_PIECE.fullmatch(piece) if byte_fallback else None
        if match:
            byte[token_id] = int(match[1], 16)
    collapses = any("Regex" in step.pattern for step in steps)
    drops = collapses or any(step.type == "Prepend" for step in steps)
    return Pieces(tuple(text), byte, added_texts(added), drops, collapses)
