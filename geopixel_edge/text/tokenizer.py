"""Text to token ids and back, exactly as the original does it, from one `tokenizers` JSON file.

The original splits its added tokens out of the text before SentencePiece sees it, and decodes the text between
them chunk by chunk (reference behaviours 12, 17 and 18). Both happen here; the JSON's own BPE sees chunks only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import tokenizers
from tokenizers import normalizers

from ..engine.manifest import SpecialTokens
from ..errors import EngineCorruptError, EngineMismatchError, EngineNotFoundError, QueryError
from .detokenizer import Decoder, MarkFilter, Pieces

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


class Tokenizer:
    """The engine's tokenizer.

    `path` is the JSON `export.tokenizer.convert` wrote, `tokens` the manifest's special tokens. Raises
    EngineNotFoundError, EngineCorruptError or EngineMismatchError.
    """

    def __init__(self, path: str | os.PathLike[str], tokens: SpecialTokens) -> None:
        self.tokens = tokens
        try:
            file = msgspec.json.decode(Path(path).read_bytes(), type=_File)
            steps = msgspec.json.decode(file.normalizer, type=_Steps).normalizers
            decoders = msgspec.json.decode(file.decoder, type=_Steps).decoders
            byte_fallback = msgspec.json.decode(file.model, type=_Model).byte_fallback
            self._normalizer = tokenizers.Tokenizer.from_buffer(msgspec.json.encode(file)).normalizer
            cut_out = [token for token in file.added_tokens if token.cut_out]
            # A normaliser can turn other characters into a tag's spelling, so BPE must not know the tags at all.
            file.added_tokens = [token for token in file.added_tokens if not token.cut_out]
            self._bpe = tokenizers.Tokenizer.from_buffer(msgspec.json.encode(file))
        except OSError as error:
            raise EngineNotFoundError(f"{path} cannot be read ({error.strerror}); copy the engine again") from None
        except Exception as error:  # the Rust side raises bare Exception for every kind of bad JSON
            raise EngineCorruptError(f"{path} is not a tokenizer this package wrote: {error}") from None
        self._bpe.normalizer = normalizers.Sequence([])
        self._cut_out = {token.content: token for token in cut_out}
        longest_first = sorted(self._cut_out, key=len, reverse=True)
        self._split = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
        silent = {step.pattern.get("String") for step in decoders if step.type == "Replace" and not step.content}
        self.pieces = self._read_pieces(byte_fallback, silent, steps)
        self._check_tokens(path)

    @property
    def size(self) -> int:
        """One more than the highest id it gives."""
        return max(len(self.pieces.text), *(token_id + 1 for token_id in self.pieces.added))

    def _check_tokens(self, path: str | os.PathLike[str]) -> None:
        for name in ("bos", "eos", "seg", "phrase_open", "phrase_close"):
            token_id, is_tag = getattr(self.tokens, name), name not in ("bos", "eos")
            if token_id not in self.pieces.added or bool(self.pieces.added[token_id]) != is_tag:
                raise EngineMismatchError(f"{path}: {token_id} is not a {name} token's id; export the engine again")

    def _read_pieces(self, byte_fallback: bool, silent: set[str | None], steps: Sequence[_Step]) -> Pieces:
        vocabulary = self._bpe.get_vocab(with_added_tokens=False)
        text = [""] * (max(vocabulary.values(), default=-1) + 1)
        byte = {}
        for piece, token_id in vocabulary.items():
            text[token_id] = "" if piece in silent else piece
            match = _BYTE_PIECE.fullmatch(piece) if byte_fallback else None
            if match:
                byte[token_id] = int(match[1], 16)
        collapses = any("Regex" in step.pattern for step in steps)
        drops = collapses or any(step.type == "Prepend" for step in steps)
        added = {token.id: "" if token.special else token.content for token in self._cut_out.values()}
        return Pieces(tuple(text), byte, added, drops, collapses)

    def encode(self, text: str, *, bos: bool) -> list[int]:
        """Token ids of one part of the prompt (reference behaviour 12), led by BOS if asked.

        QueryError if the text is not valid Unicode.
        """
        parts = self._split.split(text)  # odd positions hold the added tokens
        ids = [self.tokens.bos] if bos else []
        for position, part in enumerate(parts):
            if position % 2:
                ids.append(self._cut_out[part].id)
                continue
            if position and self._cut_out[parts[position - 1]].rstrip:
                part = part.lstrip()
            if position + 1 < len(parts) and self._cut_out[parts[position + 1]].lstrip:
                part = part.rstrip()
            if part:
                ids.extend(self._encode_chunk(part))
        return ids

    def _encode_chunk(self, chunk: str) -> list[int]:
        try:
            normal = self._normalizer.normalize_str(chunk)
        except UnicodeEncodeError as error:
            raise QueryError(f"text has a lone surrogate at character {error.start}; give valid Unicode") from None
        return list(self._bpe.encode(normal, add_special_tokens=False).ids)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of token ids, special tokens skipped and tags kept (reference behaviour 18)."""
        decoder = Decoder(self.pieces)
        return "".join([decoder.push(token_id) for token_id in ids]) + decoder.flush()

    def response(self, ids: Iterable[int]) -> str:
        """`decode`, with every end-of-turn mark removed: the model's own string."""
        text = self.decode(ids)
        return text.replace(self.tokens.turn_close, "") if self.tokens.turn_close else text


class StreamDecoder:
    """Decodes token by token; all it returned, put together, is `Tokenizer.response` of the same ids."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._decoder = Decoder(tokenizer.pieces)
        self._filter = MarkFilter(tokenizer.tokens.turn_close)

    def push(self, token_id: int) -> str:
        """Text that no later token can change: without an unfinished character or a possible end-of-turn mark."""
        return self._filter.push(self._decoder.push(token_id))

    def finish(self) -> str:
        """The rest of the text."""
        return self._filter.push(self._decoder.flush()) + self._filter.flush()
