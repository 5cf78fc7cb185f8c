"""The proof behind `export.tokenizer`: what the original does, a corpus to try it on, and the comparison."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sentencepiece

from geopixel_edge.errors import CheckpointError, ExportError
from geopixel_edge.text.detokenizer import SPACE
from geopixel_edge.text.tokenizer import Tokenizer

SEED = 20_240_513
TEXTS = 4_000
SEQUENCES = 4_000
TURN_MARKS = ("[UNUSED_TOKEN_145]", "[UNUSED_TOKEN_146]")
WORDS = (
    *("the red car", "Storage tanks", "near", "1234", "3000x2000", "'s", "%", "user\n", "assistant\n", "<0x41>"),
    *(
        "\u00e9",
        "na\u00efve",
        "a\u0301",
        "\u65e5\u672c\u8a9e",
        "\u03a9",
        "\ufb01",
        "\U0001f697",
        "\U0001f469\u200d\U0001f467",
    ),
    *("\uff1cp\uff1e", "\uff1cs\uff1e", "\u3000", "\u2581", "\u200b", "\u00a0", "\ufffd", "\ud7ff", "\U0010ffff"),
    *("\n", "\n\n", "\t", " ", "  ", "     ", "\x00", "\x1c", "\x85", "\r\n", "<", ">", "[", "]", "[SEG", "SEG]"),
    *("\U0001f469\u200d\U0001f467", "(", ")", ".", ",", ";", "!?", "-", "--", "...", "====", "<pp>", "< p >"),
)


@dataclass(frozen=True)
class AddedToken:
    """A token cut out before SentencePiece; whitespace is stripped before (`left`) and after (`right`) it."""

    text: str
    id: int
    left: bool
    right: bool
    special: bool

    def to_json(self) -> dict[str, Any]:
        """The entry of a `tokenizers` JSON."""
        return {
            "id": self.id,
            "content": self.text,
            "single_word": False,
            "lstrip": self.left,
            "rstrip": self.right,
            "normalized": False,
            "special": self.special,
        }


class Upstream:
    """The original's tokenizer, plainly: SentencePiece on chunks between added tokens (reference behaviours 12, 18)."""

    def __init__(self, serialized: bytes, tokens: Sequence[AddedToken]) -> None:
        self.processor = sentencepiece.SentencePieceProcessor()
        try:
            self.processor.LoadFromSerializedProto(serialized)
        except (RuntimeError, OSError, ValueError) as error:
            raise CheckpointError(f"tokenizer.model cannot be loaded ({error}); download it again") from None
        self.tokens = {token.text: token for token in tokens}
        self.size = self.processor.get_piece_size()

    def chunks(self, text: str) -> list[str]:
        """Text cut at added tokens: the longest at the leftmost place first."""
        out, start, place = [], 0, 0
        while place < len(text):
            token = max((t for t in self.tokens if text.startswith(t, place)), key=len, default="")
            if token:
                out += [text[start:place], token]
                start = place + len(token)
            place += len(token) or 1
        return [*out, text[start:]]

    def encode(self, text: str) -> list[int]:
        """Ids without BOS."""
        chunks, ids = self.chunks(text), []
        for index in range(1, len(chunks), 2):
            token = self.tokens[chunks[index]]
            chunks[index - 1] = chunks[index - 1].rstrip() if token.left else chunks[index - 1]
            chunks[index + 1] = chunks[index + 1].lstrip() if token.right else chunks[index + 1]
        for index, chunk in enumerate(chunks):
            if index % 2:
                ids.append(self.tokens[chunk].id)
            elif chunk:
                ids += [self.processor.piece_to_id(piece) for piece in self.processor.encode(chunk, out_type=str)]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text with special tokens skipped."""
        by_id = {token.id: token for token in self.tokens.values()}
        parts: list[Any] = []
        for token_id in ids:
            token = by_id.get(token_id)
            if token and not token.special:
                parts.append(token.text)
            elif not token:
                if not parts or isinstance(parts[-1], str):
                    parts.append([])
                parts[-1].append(self.processor.id_to_piece(token_id))
        return " ".join(part if isinstance(part, str) else self.processor.decode(part) for part in parts)


def texts(upstream: Upstream) -> Iterator[str]:
    """Every piece by itself, runs of repeated characters, and seeded mixtures of words, tags, pieces and bytes."""
    rng = random.Random(SEED)
    pieces = [upstream.processor.id_to_piece(index) for index in range(upstream.size)]
    yield from ("", " ", "\n", *WORDS, *pieces)
    for character in sorted({piece[0] for piece in pieces if len(piece) > 1 and len(set(piece)) == 1}):
        yield from (character * count for count in range(2, 40))
    tags = [*upstream.tokens, *TURN_MARKS]
    for index in range(TEXTS):
        parts = []
        for _ in range(rng.randint(1, 300 if index % 500 == 0 else 12)):
            kind = rng.random()
            if kind < 0.35:
                parts.append(rng.choice(WORDS))
            elif kind < 0.7:
                parts.append(rng.choice(pieces))
            elif kind < 0.9:
                parts += [rng.choice(("", " ", "\n", "\x1c ", "  ")), rng.choice(tags), rng.choice(("", " ", "\t"))]
            else:
                parts.append(rng.randbytes(rng.randint(1, 12)).decode(rng.choice(("latin-1", "utf-16-le")), "replace"))
            parts.append(rng.choice(("", "", " ")))
        yield "".join(parts)
    yield " ".join(rng.choices(pieces, k=3_000))


def sequences(upstream: Upstream) -> Iterator[list[int]]:
    """Seeded id sequences, rich in tags, specials, byte pieces and pieces that start with a space."""
    rng = random.Random(SEED + 1)
    everything = [*range(upstream.size), *(token.id for token in upstream.tokens.values())]
    rich = [token.id for token in upstream.tokens.values()]
    byte = [index for index in range(upstream.size) if upstream.processor.is_byte(index)] or everything
    pieces = upstream.processor.id_to_piece(list(range(upstream.size)))
    space = [index for index, piece in enumerate(pieces) if piece[0] == SPACE] or everything
    yield from ([index] for index in everything)
    for _ in range(SEQUENCES):
        pools = rng.choices((everything, rich, byte, space), weights=(3, 2, 2, 2), k=rng.randint(1, 30))
        yield [rng.choice(pool) for pool in pools]
    for _ in range(SEQUENCES // 4):
        text = "".join(rng.choices(("é", "日", "🚗", "\ufffd", "a"), k=6)).encode()
        cut = text[rng.randint(0, 3) : len(text) - rng.randint(0, 3)]
        yield [index for value in cut if (index := upstream.processor.piece_to_id(f"<0x{value:02X}>")) in byte]


def verify(upstream: Upstream, tokenizer: Tokenizer) -> None:
    """ExportError, with the text and both results, unless `tokenizer` gives the original's ids and texts."""
    for text in texts(upstream):
        wanted, got = upstream.encode(text), tokenizer.encode(text, bos=False)
        if wanted != got:
            raise ExportError(
                f"step tokenizer: {text!r} gives ids {got}, the original gives {wanted}; "
                "this tokenizer.model cannot be converted, is it altered?"
            )
    for ids in sequences(upstream):
        text, got_text = upstream.decode(ids), tokenizer.decode(ids)
        if text != got_text:
            raise ExportError(
                f"step tokenizer: ids {ids} decode to {got_text!r}, the original's to {text!r}; "
                "this tokenizer.model cannot be converted, is it altered?"
            )
