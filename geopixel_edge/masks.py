"""Masks as the pixel decoder (paper block 5) hands them out: crop-RLE, never dense until asked."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import limits
from .checks import check_integer, check_size
from .errors import InferenceError, OptionError
from .kernels.native import native

Bits = NDArray[np.bool_]
Ring = NDArray[np.int32]
Box = tuple[int, int, int, int]
Counts = NDArray[np.uint32]


def _coco_counts(counts: object) -> Counts:
    if isinstance(counts, bytes):
        counts = counts.decode("ascii")
    if isinstance(counts, str):
        return native.rle_parse(counts)
    runs = np.asarray(counts)
    if runs.ndim != 1 or runs.dtype.kind not in "iu" or runs.min() < 0 or runs.max() >= 1 << 32:
        raise ValueError("counts are no run lengths")
    return runs.astype(np.uint32)


def _tolerance(value: object) -> float:
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not 0.0 <= value <= limits.MAX_TOLERANCE_PX:  # type: ignore[operator]
        raise OptionError(
            f"tolerance_px={value!r} is not in 0..{limits.MAX_TOLERANCE_PX:g}; give pixels, 0 for exact edges"
        )
    return float(value)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Mask:
    """A binary mask of a `height_px` x `width_px` image.

    `x_px, y_px, w_px, h_px` is its tight box; `counts` are uint32 run lengths of the box's pixels in column-major
    order, zeros first, as COCO has them for a whole image. An empty mask has an empty box at 0, 0 and no counts.
    """

    height_px: int
    width_px: int
    x_px: int
    y_px: int
    w_px: int
    h_px: int
    counts: NDArray[np.uint32]

    def __post_init__(self) -> None:
        inside = (
            min(self.x_px, self.y_px, self.w_px, self.h_px) >= 0
            and self.x_px + self.w_px <= self.width_px
            and self.y_px + self.h_px <= self.height_px
        )
        if not inside or int(self.counts.sum(dtype=np.uint64)) != self.w_px * self.h_px:
            raise OptionError(
                f"counts of a mask with box {self.bbox} in {self.width_px} x {self.height_px} px do not fill the box "
                "or the box leaves the image; build masks with from_logits, from_array or from_coco"
            )
        self.counts.setflags(write=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        same = (self.height_px, self.width_px, self.bbox) == (other.height_px, other.width_px, other.bbox)
        return same and np.array_equal(self.counts, other.counts)

    def __hash__(self) -> int:
        return hash((self.height_px, self.width_px, self.bbox, self.counts.tobytes()))

    def __reduce__(self) -> tuple[Any, ...]:
        # By way of the constructor: checked, and `counts` read-only again.
        return type(self), (self.height_px, self.width_px, *self.bbox, self.counts)

    @classmethod
    def from_logits(cls, logits: NDArray[np.float32], height_px: int, width_px: int, threads: int = 0) -> Mask:
        """float32 (h, w) logits -> the mask at full size: bilinear, strictly above 0 (reference behaviour 25).

        InferenceError for logits that are not finite, OptionError for another dtype or shape, ImageError for sizes.
        """
        planes = logits[None] if isinstance(logits, np.ndarray) else logits
        return cls.many_from_logits(planes, height_px, width_px, threads)[0]

    @classmethod
    def many_from_logits(
        cls, logits: NDArray[np.float32], height_px: int, width_px: int, threads: int = 0
    ) -> list[Mask]:
        """float32 (n, h, w) -> n masks, as `from_logits`, shared out over `threads` (0: every core)."""
        height_px = check_integer("height_px", height_px, 1, limits.MAX_IMAGE_SIDE_PX)
        width_px = check_integer("width_px", width_px, 1, limits.MAX_IMAGE_SIDE_PX)
        check_size(width_px, height_px)
        threads = check_integer("threads", threads, 0, limits.MAX_THREADS)
        if not isinstance(logits, np.ndarray):
            raise OptionError(f"logits are a {type(logits).__name__}; give a float32 array of shape (height, width)")
        if logits.dtype != np.float32 or logits.ndim != 3 or 0 in logits.shape[1:]:
            raise OptionError(f"logits are {logits.dtype} {logits.shape}; give float32 of shape (height, width)")
        if max(logits.shape[1:]) > limits.MAX_IMAGE_SIDE_PX:
            raise OptionError(f"logits of shape {logits.shape} are too large; give the pixel decoder's own masks")
        if not np.isfinite(logits).all():
            raise InferenceError("mask logits are not finite; run `geopixel-edge verify` on the engine")
        found = native.masks_from_logits(np.ascontiguousarray(logits), height_px, width_px, threads)
        return [cls(height_px, width_px, *rle) for rle in found]

    @classmethod
    def from_array(cls, mask: Bits) -> Mask:
        """bool (H, W) -> mask; OptionError for another dtype or shape."""
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.ndim != 2:
            raise OptionError("mask is not a bool array of shape (height, width); compare it first, as in `array > 0`")
        check_size(mask.shape[1], mask.shape[0])
        return cls(mask.shape[0], mask.shape[1], *native.mask_from_array(np.ascontiguousarray(mask)))

    @classmethod
    def from_coco(cls, rle: Mapping[str, Any]) -> Mask:
        """COCO RLE, {"size": [h, w], "counts": string, bytes or list} -> mask; OptionError when it is damaged."""
        try:
            height, width = rle["size"]
            height = check_integer("size", height, 1, limits.MAX_IMAGE_SIDE_PX)
            width = check_integer("size", width, 1, limits.MAX_IMAGE_SIDE_PX)
            check_size(width, height)
            return cls(height, width, *native.rle_crop(height, width, _coco_counts(rle["counts"])))
        except (KeyError, TypeError, ValueError) as error:
            raise OptionError(f"rle is not a COCO run-length mask ({error}); give its size [h, w] and counts") from None

    @property
    def bbox(self) -> tuple[int, int, int, int]:
        """x, y, width, height in pixels; all 0 for an empty mask."""
        return self.x_px, self.y_px, self.w_px, self.h_px

    @property
    def area_px(self) -> int:
        """Number of pixels in the mask."""
        return int(self.counts[1::2].sum(dtype=np.uint64))

    def to_array(self) -> Bits:
        """bool (height_px, width_px)."""
        return self.window(0, 0, self.width_px, self.height_px)

    def window(self, x_px: int, y_px: int, w_px: int, h_px: int) -> Bits:
        """bool (h_px, w_px): only this part of the image is decoded; OptionError when it leaves the image."""
        x_px = check_integer("x_px", x_px, 0, self.width_px - 1)
        y_px = check_integer("y_px", y_px, 0, self.height_px - 1)
        w_px = check_integer("w_px", w_px, 1, self.width_px - x_px)
        h_px = check_integer("h_px", h_px, 1, self.height_px - y_px)
        return native.rle_window(self.bbox, self.counts, (x_px, y_px, w_px, h_px))

    def to_coco(self) -> dict[str, Any]:
        """{"size": [height, width], "counts": str}, the string pycocotools writes."""
        full = native.rle_full(self.height_px, self.width_px, self.bbox, self.counts)
        return {"size": [self.height_px, self.width_px], "counts": native.rle_string(full)}

    def cleaned(self, max_hole_px: int = 0, max_sprinkle_px: int = 0) -> Mask:
        """Background parts of at most `max_hole_px` pixels filled, mask parts of at most `max_sprinkle_px` dropped.

        Parts are 8-connected and both kinds are judged on the mask as it is, as SAM 2 does; the reference itself
        cleans nothing (reference behaviour 25). OptionError for limits outside 0..MAX_IMAGE_PIXELS.
        """
        hole = check_integer("max_hole_px", max_hole_px, 0, limits.MAX_IMAGE_PIXELS)
        sprinkle = check_integer("max_sprinkle_px", max_sprinkle_px, 0, limits.MAX_IMAGE_PIXELS)
        found = native.rle_clean(self.height_px, self.width_px, self.bbox, self.counts, hole, sprinkle)
        return Mask(self.height_px, self.width_px, *found)

    def polygons(self, tolerance_px: float = 0.0) -> list[list[Ring]]:
        """Outlines on exact pixel edges: per 4-connected part one polygon, its outline first, then its holes.

        A ring is int32 (n + 1, 2) of x, y pixel-edge coordinates, closed; pixel (0, 0) spans 0..1. Every polygon is
        valid: rings touch themselves nowhere, pixels that meet only by a corner belong to two polygons.
        Orientation is RFC 7946's for the numbers as they stand: outlines run counter-clockwise (positive shoelace
        area), holes clockwise, if y is drawn upwards. Image y points down, so on screen it looks reversed, and a
        transform to coordinates with y upwards (negative determinant) must reverse every ring to keep the rule.

        Above 0, vertices are dropped (Douglas-Peucker, none is moved or added) while the Hausdorff distance of the
        boundary to the exact one stays at most `tolerance_px`. Parts and holes stay as many, nested and touching as
        they were, and valid, together too as one MultiPolygon; where that asks for it, less is dropped.
        OptionError for a tolerance outside 0..MAX_TOLERANCE_PX.
        """
        return native.rle_polygons(self.bbox, self.counts, _tolerance(tolerance_px))

    def _pair(self, other: Mask) -> tuple[Box, Counts, Box, Counts]:
        if (self.height_px, self.width_px) != (other.height_px, other.width_px):
            raise OptionError(
                f"other is a mask of {other.width_px} x {other.height_px} px, this one of {self.width_px} x "
                f"{self.height_px}; compare masks of one image"
            )
        return self.bbox, self.counts, other.bbox, other.counts

    def iou(self, other: Mask) -> float:
        """Intersection over union, 0..1; two empty masks are equal, so 1. OptionError for another image size."""
        common = native.rle_overlap(*self._pair(other))
        union = self.area_px + other.area_px - common
        return common / union if union else 1.0

    def _combine(self, other: Mask, kind: str) -> Mask:
        return Mask(self.height_px, self.width_px, *native.rle_combine(*self._pair(other), kind=kind))

    def __or__(self, other: Mask) -> Mask:
        """Pixels of either mask."""
        return self._combine(other, "union")

    def __and__(self, other: Mask) -> Mask:
        """Pixels of both masks."""
        return self._combine(other, "intersection")

    def __sub__(self, other: Mask) -> Mask:
        """Pixels of this mask that the other one lacks."""
        return self._combine(other, "difference")


def merge(masks: Sequence[Mask], scores: Sequence[float], min_iou: float = 0.5) -> list[tuple[Mask, list[int]]]:
    """Masks of one image that show the same thing joined, best score first (like NMS, but nothing is lost).

    A mask joins the first kept mask it overlaps by at least `min_iou` (against that mask as first kept); each result
    is the union and the indices it came from, the best first. OptionError for unequal lengths, sizes or a bad bound.
    """
    if len(masks) != len(scores):
        raise OptionError(f"scores has {len(scores)} values for {len(masks)} masks; give one score per mask")
    if not 0.0 < min_iou <= 1.0:
        raise OptionError(f"min_iou={min_iou!r} is out of range; give a number above 0 and up to 1")
    kept: list[tuple[Mask, list[int]]] = []
    for index in sorted(range(len(masks)), key=lambda i: -scores[i]):
        for _, members in kept:
            if masks[members[0]].iou(masks[index]) >= min_iou:
                members.append(index)
                break
        else:
            kept.append((masks[index], [index]))
    return [(functools.reduce(Mask.__or__, (masks[i] for i in members)), members) for _, members in kept]
