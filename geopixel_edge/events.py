"""What a running answer yields: text, phrases, and regions as soon as their masks are known."""

from __future__ import annotations

from dataclasses import dataclass

from .masks import Mask


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
