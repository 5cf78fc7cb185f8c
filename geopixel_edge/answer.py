"""What people hold: the token stream becomes readable text, phrases and regions."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import InitVar, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .detokenizer import ChunkDecoder, MarkFilter
from .errors import InferenceError
from .masks import Mask
from .timings import Timings
from .tokenizer import Tokenizer

# Where a tag stood there is one space in the readable text, except before and after these.
NO_SPACE_BEFORE = ",.;:!?)"
NO_SPACE_AFTER = "("


@dataclass(frozen=True)
class Region:
    """One `[SEG]` of the answer: the phrase it belongs to ("" if none) and what it covers.

    `span` is the phrase's character range in `Answer.text`, empty where there is no phrase. `score` is the pixel
    decoder's own estimate of the mask's IoU.
    """

    phrase: str
    span: tuple[int, int]
    mask: Mask
    score: float

    @property
    def bbox(self) -> tuple[int, int, int, int]:
        """x, y, width, height in pixels; all 0 for an empty mask."""
        return self.mask.bbox

    @property
    def area_px(self) -> int:
        """Number of pixels covered."""
        return self.mask.area_px

    def __repr__(self) -> str:
        x_px, y_px, w_px, h_px = self.bbox
        where = f"{self.area_px} px in {w_px} x {h_px} at {x_px}, {y_px}"
        return f"<Region {self.phrase!r}: {where}; score {self.score:.2f}>"


@dataclass(frozen=True)
class Text:
    """The next readable text outside a phrase."""

    text: str


@dataclass(frozen=True)
class Phrase:
    """A phrase of the readable text, whole, and its character range in `Answer.text`."""

    text: str
    span: tuple[int, int]


@dataclass(frozen=True)
class MaskFound:
    """A region whose mask is known now."""

    region: Region


@dataclass(eq=False, repr=False)
class Answer:
    """The model's answer to one question about one image (or several, or none).

    `text` is readable, `response` the model's own string with its tags; every region's span points into `text`.
    `finish_reason` is "eos", "length" or "deadline"; `notes` says what was done differently from what was asked;
    `image_size` is (width, height) in pixels, None without exactly one image.
    """

    text: str
    response: str
    token_ids: list[int]
    regions: tuple[Region, ...]
    finish_reason: str
    timings: Timings
    notes: tuple[str, ...] = ()
    image_size: tuple[int, int] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    query: str = ""
    pixels: InitVar[NDArray[np.uint8] | None] = None

    def __post_init__(self, pixels: NDArray[np.uint8] | None) -> None:
        self._pixels = pixels

    @property
    def masks(self) -> NDArray[np.bool_]:
        """bool (regions, height, width), built anew at each access; (0, 0, 0) without an image."""
        width_px, height_px = self.image_size or (0, 0)
        out = np.zeros((len(self.regions), height_px, width_px), np.bool_)
        for index, region in enumerate(self.regions):
            out[index] = region.mask.to_array()
        return out

    def with_phrase(self, phrase: str) -> Answer:
        """The same answer, with `phrase` for every region the model left without one."""
        regions = tuple(region if region.phrase else replace(region, phrase=phrase) for region in self.regions)
        return replace(self, regions=regions, pixels=self._pixels)

    def to_dict(self) -> dict[str, Any]:
        """What answer.json holds: plain values, masks as COCO RLE."""
        from .writers import answer_json

        return answer_json.document(self)

    def save(self, directory: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write answer.json and report.html, and with one image overlay.png and regions.geojson; returns their paths.

        Each file is written aside and then renamed. OutputError when the place cannot be written; what was there
        before stays then.
        """
        from .writers import save

        return save(self, self._pixels, Path(directory))

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 80 else self.text[:79].rstrip() + "\u2026"
        named = ", ".join(repr(region.phrase) for region in self.regions[:4])
        more = f", {len(self.regions) - 4} more" if len(self.regions) > 4 else ""
        regions = f"{len(self.regions)} region{'' if len(self.regions) == 1 else 's'}"
        found = f"{regions}: {named}{more}" if self.regions else "no regions"
        return f"<Answer {text!r}; {found}; {len(self.token_ids)} tokens, {self.finish_reason}>"


class AnswerAssembler:
    """Token ids in, events out; the text of all Text and Phrase events, put together, is `text`.

    Tags are token ids, never their spelling. A phrase ends at `</p>`, at the next `<p>`, at `[SEG]` or with the
    answer; a `</p>` alone means nothing. Each `[SEG]` belongs to the last phrase begun before it, so that several in a
    row share one; before any phrase, or after an empty one, it has the phrase "" and an empty span at its place.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._chunk: ChunkDecoder | None = None
        self._marks = MarkFilter(tokenizer.tokens.turn_close)
        self._parts: list[str] = []
        self._length = 0
        self._space = ""  # whitespace seen after the last character, not yet part of the text
        self._gap = False  # a tag stood after the last character
        self._open: list[str] | None = None  # text of the phrase being read
        self._claim: tuple[str, tuple[int, int]] | None = None
        self._waiting: deque[tuple[str, tuple[int, int]]] = deque()
        self._regions: list[Region] = []

    @property
    def text(self) -> str:
        """Readable text so far."""
        return "".join(self._parts)

    @property
    def response(self) -> str:
        """The model's own string so far, tags included (reference behaviour 18)."""
        return self._tokenizer.response(self._ids)

    @property
    def regions(self) -> tuple[Region, ...]:
        """Regions whose mask is known, in the order of their `[SEG]`."""
        return tuple(self._regions)

    def push(self, token_id: int) -> list[Text | Phrase]:
        """The next generated token; InferenceError if the vocabulary has no such id."""
        tag = self._tokenizer.pieces.added_text(token_id)
        self._ids.append(token_id)
        if tag is None:
            self._chunk = self._chunk or ChunkDecoder(self._tokenizer.pieces)
            return self._read(self._marks.push(self._chunk.push(token_id)))
        return self._tag(token_id, tag) if tag else []

    def attach(self, mask: Mask, score: float) -> MaskFound:
        """Give the oldest `[SEG]` without a mask its mask; InferenceError if none waits."""
        if not self._waiting:
            raise InferenceError("a mask came without a [SEG] that waits for one; report this as a bug")
        self._regions.append(Region(*self._waiting.popleft(), mask, float(score)))
        return MaskFound(self._regions[-1])

    def finish(self) -> list[Text | Phrase]:
        """End of the answer: what was held back."""
        return self._end_chunk() + self._end_phrase()

    def _tag(self, token_id: int, tag: str) -> list[Text | Phrase]:
        tokens = self._tokenizer.tokens
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
            self._waiting.append(self._claim or ("", (self._length, self._length)))
        return events

    def _end_chunk(self) -> list[Text | Phrase]:
        rest = self._chunk.flush() if self._chunk else ""
        self._chunk = None
        return self._read(self._marks.push(rest) + self._marks.flush())

    def _end_phrase(self) -> list[Text | Phrase]:
        if self._open is None:
            return []
        space, body = self._place("".join(self._open))
        span = (self._length - len(body), self._length)
        self._open, self._claim = None, (body, span) if body else None
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
