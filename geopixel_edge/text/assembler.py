"""The token stream becomes readable text, and every `[SEG]` finds its phrase."""

from __future__ import annotations

import re
from collections import deque

from ..answer import MaskFound, Phrase, Region, Text
from ..errors import InferenceError
from ..masks import Mask
from ..rasters.place import Place
from ..rasters.region_place import region_place
from .detokenizer import ChunkDecoder, MarkFilter
from .tokenizer import Tokenizer

# Where a tag stood there is one space in the readable text, except before and after these.
NO_SPACE_BEFORE = ",.;:!?)"
NO_SPACE_AFTER = "("
_LINKS = re.compile(r"(\W|\band\b)*")


class AnswerAssembler:
    """Token ids in, events out; the text of all Text and Phrase events, put together, is `text`.

    Tags are token ids, never their spelling. A phrase ends at `</p>`, at the next `<p>`, at `[SEG]` or with the
    answer; a `</p>` alone means nothing. Each `[SEG]` belongs to the last phrase begun before it. Several share one
    while nothing but punctuation or "and" stands between them; a `[SEG]` after other words, before any phrase or after
    an empty one has the phrase "" and an empty span at its place.
    """

    def __init__(self, tokenizer: Tokenizer, place: Place | None = None) -> None:
        self.tokenizer, self.place = tokenizer, place  # where the one image is
        self._ids: list[int] = []
        self._chunk: ChunkDecoder | None = None
        self._marks = MarkFilter(tokenizer.tokens.turn_close)
        self._parts: list[str] = []
        self._length = 0
        self._space = ""  # whitespace seen after the last character, not yet part of the text
        self._gap = False  # a tag stood after the last character
        self._open: list[str] | None = None  # text of the phrase being read
        self._claim: tuple[str, tuple[int, int]] | None = None
        self._claimed_at: int | None = None  # how many parts the text had when the phrase was last claimed
        self._waiting: deque[tuple[str, tuple[int, int]]] = deque()
        self._regions: list[Region] = []

    @property
    def text(self) -> str:
        """Readable text so far."""
        return "".join(self._parts)

    @property
    def response(self) -> str:
        """The model's own string so far, tags included (reference behaviour 18)."""
        return self.tokenizer.response(self._ids)

    @property
    def regions(self) -> tuple[Region, ...]:
        """Regions whose mask is known, in the order of their `[SEG]`."""
        return tuple(self._regions)

    def push(self, token_id: int) -> list[Text | Phrase]:
        """The next generated token; InferenceError if the vocabulary has no such id."""
        tag = self.tokenizer.pieces.added_text(token_id)
        self._ids.append(token_id)
        if tag is None:
            self._chunk = self._chunk or ChunkDecoder(self.tokenizer.pieces)
            return self._read(self._marks.push(self._chunk.push(token_id)))
        return self._tag(token_id, tag) if tag else []

    def attach(self, mask: Mask, score: float) -> MaskFound:
        """Give the oldest `[SEG]` without a mask its mask; InferenceError if none waits."""
        if not self._waiting:
            raise InferenceError("a mask came without a [SEG] that waits for one; report this as a bug")
        place = region_place(self.place, mask.polygons()) if self.place and self.place.has_crs else None
        self._regions.append(Region(*self._waiting.popleft(), mask, float(score), place))
        return MaskFound(self._regions[-1])

    def finish(self) -> list[Text | Phrase]:
        """End of the answer: what was held back."""
        return self._end_chunk() + self._end_phrase()

    def _tag(self, token_id: int, tag: str) -> list[Text | Phrase]:
        tokens = self.tokenizer.tokens
        events = self._end_chunk()
        if token_id not in (tokens.seg, tokens.phrase_open, tokens.phrase_close):
            self._gap = True
            events += self._read(tag)
            self._gap = True
            return events
        events += self._end_phrase()
        self._gap = True
        if token_id == tokens.phrase_open:
            self._open = []
        elif token_id == tokens.seg:
            self._waiting.append(self._take_claim() or ("", (self._length, self._length)))
        return events

    def _take_claim(self) -> tuple[str, tuple[int, int]] | None:
        """The phrase of a `[SEG]` here."""
        if self._claimed_at is not None and not _LINKS.fullmatch("".join(self._parts[self._claimed_at :])):
            self._claim = None
        self._claimed_at = len(self._parts)
        return self._claim

    def _end_chunk(self) -> list[Text | Phrase]:
        rest = self._chunk.flush() if self._chunk else ""
        self._chunk = None
        return self._read(self._marks.push(rest) + self._marks.flush())

    def _end_phrase(self) -> list[Text | Phrase]:
        if self._open is None:
            return []
        space, body = self._place("".join(self._open))
        span = (self._length - len(body), self._length)
        self._open, self._claim, self._claimed_at = None, (body, span) if body else None, None
        events: list[Text | Phrase] = [Text(space)] if space else []
        return [*events, Phrase(body, span)] if body else events

    def _read(self, text: str) -> list[Text | Phrase]:
        if self._open is not None:
            self._open.append(text)
            return []
        space, body = self._place(text)
        return [Text(space + body)] if body else []

    def _place(self, text: str) -> tuple[str, str]:
        """Whitespace and words to add to the text now; whitespace at the end waits for what follows."""
        body = text.strip()
        if not body:
            self._space += text
            return "", ""
        if not self._length:
            space = ""
        elif self._gap:
            tight = body[0] in NO_SPACE_BEFORE or self._parts[-1][-1] in NO_SPACE_AFTER
            space = "" if tight else " "
        else:
            space = self._space + text[: len(text) - len(text.lstrip())]
        self._space, self._gap = text[len(text.rstrip()) :], False
        self._parts.append(space + body)
        self._length += len(space) + len(body)
        return space, body
