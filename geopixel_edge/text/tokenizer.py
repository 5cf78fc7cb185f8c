"""Text to token ids and back, exactly as the original does it.

The original splits its added tokens out of the text before SentencePiece sees it, and decodes the text between
them chunk by chunk (reference behaviours 12, 17 and 18). Both happen here; a vocabulary encodes chunks only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from ..engine.directory import Engine
from ..engine.manifest import SpecialTokens
from ..errors import EngineCorruptError, EngineMismatchError, EngineNotFoundError, GeoPixelError, QueryError
from .detokenizer import Decoder, MarkFilter
from .sentencepiece_model import read_model
from .tokenizers_json import read_json
from .vocabulary import Vocabulary


class Tokenizer:
    """The engine's tokenizer.

    `path`: the checkpoint's `tokenizer.model`, or the `tokenizer.json` of an older engine. `tokens`: the manifest's
    special tokens, the added ones among them unless the file itself holds those. Threads may share it. Raises
    EngineNotFoundError, EngineCorruptError, EngineMismatchError, or RuntimeUnavailableError when the package that
    reads the file is not installed.
    """

    def __init__(self, path: str | os.PathLike[str], tokens: SpecialTokens) -> None:
        self.tokens = tokens
        vocabulary = _read(Path(path), tokens)
        self.pieces, self._encode_chunk = vocabulary.pieces, vocabulary.encode
        self._added = {token.text: token for token in vocabulary.added}
        longest_first = sorted(self._added, key=len, reverse=True)
        self._split = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
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

    def encode(self, text: str, *, bos: bool) -> list[int]:
        """Token ids of one part of the prompt (reference behaviour 12), led by BOS if asked.

        QueryError if the text is not valid Unicode.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise QueryError(f"text has a lone surrogate at character {error.start}; give valid Unicode") from None
        parts = self._split.split(text)  # odd positions hold the added tokens
        ids = [self.tokens.bos] if bos else []
        for position, part in enumerate(parts):
            if position % 2:
                ids.append(self._added[part].id)
                continue
            if position and self._added[parts[position - 1]].rstrip:
                part = part.lstrip()
            if position + 1 < len(parts) and self._added[parts[position + 1]].lstrip:
                part = part.rstrip()
            if part:
                ids.extend(self._encode_chunk(part))
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Text of token ids, special tokens skipped and tags kept (reference behaviour 18)."""
        decoder = Decoder(self.pieces)
        return "".join([decoder.push(token_id) for token_id in ids]) + decoder.flush()

    def response(self, ids: Iterable[int]) -> str:
        """`decode`, with every end-of-turn mark removed: the model's own string."""
        text = self.decode(ids)
        return text.replace(self.tokens.turn_close, "") if self.tokens.turn_close else text


def _read(path: Path, tokens: SpecialTokens) -> Vocabulary:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EngineNotFoundError(f"{path} cannot be read ({error.strerror}); copy the engine again") from None
    try:
        return read_json(data) if path.suffix == ".json" else read_model(data, tokens.added)
    except (GeoPixelError, MemoryError):
        raise
    except Exception as error:  # `tokenizers` raises bare Exception for every kind of bad JSON
        raise EngineCorruptError(f"{path} is not a tokenizer of this model: {error}; copy the engine again") from None


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


def tokenizer_of(engine: Engine) -> Tokenizer:
    """An engine's own; EngineMismatchError where the model knows fewer ids than it gives."""
    manifest = engine.manifest
    tokenizer = Tokenizer(engine.path(manifest.tokenizer), manifest.tokens)
    if tokenizer.size > manifest.sizes.vocabulary:
        raise EngineMismatchError(
            f"the tokenizer has {tokenizer.size} ids, the model {manifest.sizes.vocabulary}; export again"
        )
    return tokenizer
