"""What an answer is made of, and what comes while it is written: regions, text, phrases."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .masks import Mask

if TYPE_CHECKING:
    from .rasters.region_place import RegionPlace


@dataclass(frozen=True)
class Region:
    """One `[SEG]` of the answer: the phrase it belongs to ("" if none) and what it covers.

    `span` is the phrase's character range in `Answer.text`, empty where there is no phrase. `score` is the pixel
    decoder's own estimate of the mask's IoU. `place` is where it is on the ground, None where the image has no CRS or
    nothing is covered.
    """

    phrase: str
    span: tuple[int, int]
    mask: Mask
    score: float
    place: RegionPlace | None = field(default=None, repr=False)

    @property
    def bbox(self) -> tuple[int, int, int, int]:
        """x, y, width, height in pixels; all 0 for an empty mask."""
        return self.mask.bbox

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 in pixels, the end exclusive; all 0 for an empty mask."""
        x_px, y_px, w_px, h_px = self.bbox
        return x_px, y_px, x_px + w_px, y_px + h_px

    @property
    def area_px(self) -> int:
        """Number of pixels covered."""
        return self.mask.area_px

    def _repr_png_(self) -> bytes:
        """The mask in a notebook: white on black, at most 512 pixels a side."""
        from .writers import overlay

        return overlay.thumbnail(self.mask)

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
