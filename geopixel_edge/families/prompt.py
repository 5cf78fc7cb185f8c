"""The chat prompt: template and image places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..engine.manifest import SpecialTokens
from ..errors import QueryError
from ..text.questions import IMAGE_MARK, check_history, check_text
from ..text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Prompt:
    """Token ids of the text parts; image i stands between part i and part i + 1."""

    parts: tuple[tuple[int, ...], ...]

    @property
    def text_tokens(self) -> int:
        """Tokens of all text parts, BOS included."""
        return sum(len(part) for part in self.parts)

    @property
    def starts_with_image(self) -> bool:
        """Whether nothing but BOS precedes the first image, so that its KV prefix serves any question."""
        return len(self.parts) > 1 and len(self.parts[0]) == 1


def build_prompt(
    query: str, history: Sequence[tuple[str, str]], images: int, tokenizer: Tokenizer, tokens: SpecialTokens
) -> Prompt:
    """Wrap a question as the original does (reference behaviours 9 and 10).

    One image without a mark stands before everything, history included. QueryError when the marks do not match.
    """
    question = check_text("query", query)
    text = ""
    for asked, answered in check_history(history):
        text += _turn(tokens, "user", asked) + _turn(tokens, "assistant", answered)
    text += _turn(tokens, "user", question) + f"{tokens.turn_open}assistant\n"
    if images == 1 and IMAGE_MARK not in text:
        text = IMAGE_MARK + text
    pieces = text.split(IMAGE_MARK)
    if len(pieces) != images + 1:
        raise QueryError(
            f"query and history hold {len(pieces) - 1} {IMAGE_MARK} marks for {images} images; write one for each"
        )
    # BOS once, with the first part even when that is empty; later empty parts are skipped.
    parts = [tuple(tokenizer.encode(piece, bos=index == 0)) for index, piece in enumerate(pieces)]
    for mark in (tokens.turn_open, tokens.turn_close):
        ids = tokenizer.encode(mark, bos=False)
        if len(ids) == 1 and sum(part.count(ids[0]) for part in parts) != text.count(mark):
            raise QueryError(f"query or history has characters the tokenizer turns into {mark}; remove them")
    return Prompt(tuple(parts))


def _turn(tokens: SpecialTokens, role: str, text: str) -> str:
    return f"{tokens.turn_open}{role}\n{text}{tokens.turn_close}\n"
