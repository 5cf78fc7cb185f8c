"""What a region is to the writers and other forms, which stand below the answer and do not know its own types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .masks import Mask

if TYPE_CHECKING:
    from .rasters.region_place import RegionPlace


class Region(Protocol):
    """One region as `geopixel_edge.answer.Region` has it."""

    @property
    def phrase(self) -> str:
        """ "" where the model gave none."""

    @property
    def span(self) -> tuple[int, int]:
        """Its character range in the answer's text."""

    @property
    def mask(self) -> Mask:
        """The pixels covered."""

    @property
    def score(self) -> float:
        """Estimated IoU of the mask; NaN where unknown."""

    @property
    def bbox(self) -> tuple[int, int, int, int]:
        """x, y, width, height in pixels; all 0 for an empty mask."""

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 in pixels, the end exclusive; all 0 for an empty mask."""

    @property
    def area_px(self) -> int:
        """Number of pixels covered."""

    @property
    def place(self) -> RegionPlace | None:
        """Where it is on the ground; None where the image has no CRS."""
