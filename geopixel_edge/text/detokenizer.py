"""Token ids back to text, one at a time: SentencePiece's rules inside a chunk, the original's rules between chunks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import InferenceError

SPACE = "\u2581"


@dataclass(frozen=True)
class Pieces:
    """What decoding needs to know of a vocabulary."""

    text: tuple[str, ...]  # by id; "" is silent
    byte: Mapping[int, int]  # id -> byte value of byte-fallback pieces
    added: Mapping[int, str]  # id -> text of tokens that stand between chunks; "" is skipped
    drops_first_space: bool  # of a chunk
    collapses_spaces: bool

    def added_text(self, token_id: int) -> str | None:
        """Text of an added token, "" for a skipped one, None for an ordinary piece; InferenceError if unknown."""
        found = self.added.get(token_id)
        if found is None and not 0 <= token_id < len(self.text):
            raise InferenceError(f"token id {token_id} is not in the tokenizer's vocabulary; export the engine again")
        return found


class ChunkDecoder:
    """Incremental SentencePiece decoding of the pieces between two added tokens."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._bytes = bytearray()
        self._at_start = True

    def push(self, token_id: int) -> str:
        """Text that is certain now; an unfinished UTF-8 sequence is held back."""
        value = self._pieces.byte.get(token_id)
        if value is not None:
            self._bytes.append(value)
            return self._drain(final=False)
        out = self._drain(final=True)
        piece = self._pieces.text[token_id]
        if self._at_start and piece.startswith(SPACE) and self._pieces.drops_first_space:
            piece = piece[1:]
            # With collapsed spaces every piece loses one until text appears; otherwise only the first one does.
            self._at_start = self._pieces.collapses_spaces
        if piece:
            self._at_start = False
        return out + piece.replace(SPACE, " ")

    def flush(self) -> str:
        """The rest of the chunk."""
        return self._drain(final=True)

    def _drain(self, *, final: bool) -> str:
        """Longest decodable prefix of the pending bytes; each byte that fits no sequence becomes U+FFFD."""
        out, pending, start = [], self._bytes, 0
        while start < len(pending):
            lead = pending[start]
            size = 1 if lead < 0x80 else 2 if 0xC2 <= lead < 0xE0 else 3 if 0xE0 <= lead < 0xF0 else 4
            sequence = bytes(pending[start : start + size])
            if not final and len(sequence) < size and lead < 0xF5 and all(b & 0xC0 == 0x80 for b in sequence[1:]):
                break
            try:
                out.append(sequence.decode("utf-8"))
                start += size
            except UnicodeDecodeError:
                out.append("\ufffd")
                start += 1
        del pending[:start]
        if out:
            self._at_start = False
        return "".join(out)


class Decoder:
    """Incremental `decode(skip_special_tokens=True)`: chunks and added tokens, one space between any two."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._chunk: ChunkDecoder | None = None
        self._separator = ""

    def push(self, token_id: int) -> str:
        """Text that is certain now."""
        added = self._pieces.added_text(token_id)
        if added == "":
            return ""
        if added is not None:
            out = self.flush() + self._separator + added
        elif self._chunk is None:
            self._chunk = ChunkDecoder(self._pieces)
            out = self._separator + self._chunk.push(token_id)
        else:
            return self._chunk.push(token_id)
        self._separator = " "
        return out

    def flush(self) -> str:
        """What the open chunk still holds; closes it."""
        out = self._chunk.flush() if self._chunk else ""
        self._chunk = None
        return out


class MarkFilter:
    """Removes every `mark` from a text that comes in parts, as `str.replace` does from the whole."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._held = ""

    def push(self, text: str) -> str:
        """Text that is certain now; an end that may begin a mark is held back."""
        if not self._mark:
            return text
        *before, rest = (self._held + text).split(self._mark)
        longest = min(len(self._mark) - 1, len(rest))
        held = next((n for n in range(longest, 0, -1) if self._mark.startswith(rest[-n:])), 0)
        self._held = rest[len(rest) - held :]
        return "".join(before) + rest[: len(rest) - held]

    def flush(self) -> str:
        """What is held back."""
        out, self._held = self._held, ""
        return out
