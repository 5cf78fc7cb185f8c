"""The one result type people hold: text, its regions, and what they cost."""

from __future__ import annotations

import os
from dataclasses import InitVar, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .masks import Mask
from .timings import Timings


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


Event = Text | Phrase | MaskFound


@dataclass(eq=False, repr=False)
class Answer:
    """The model's answer to one question about one image (or several, or none).

    `text` is readable, `response` the model's own string with its tags; every region's span points into `text`.
    `finish_reason` is "eos", "length" or "deadline"; `notes` says what was done differently from what was asked;
    `image_size` is (width, height) in pixels, None without exactly one image; `inputs` are the files it was asked
    about, which `save` never replaces.
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
    inputs: tuple[Path, ...] = ()
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

        A directory holds one answer: an earlier one is replaced whole. OutputError when the place cannot be written,
        or holds files of these names that are an input or no earlier answer's; what was there before stays then.
        """
        from .writers import save

        return save(self, self._pixels, directory)

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 80 else self.text[:79].rstrip() + "\u2026"
        named = ", ".join(repr(region.phrase) for region in self.regions[:4])
        more = f", {len(self.regions) - 4} more" if len(self.regions) > 4 else ""
        regions = f"{len(self.regions)} region{'' if len(self.regions) == 1 else 's'}"
        found = f"{regions}: {named}{more}" if self.regions else "no regions"
        return f"<Answer {text!r}; {found}; {len(self.token_ids)} tokens, {self.finish_reason}>"
