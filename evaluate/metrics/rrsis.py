"""RRSIS-D's figures of one expression and of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geopixel_edge.masks import Mask

from .grounding import Floats, Overlaps

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Overlap:
    """Pixels of intersection and union of one expression's mask with its truth."""

    common: int
    union: int

    @classmethod
    def of(cls, predicted: Mask, truth: Mask) -> Overlap:
        """Of two masks of one size."""
        found = Overlaps.of([predicted], [truth])
        return cls(int(found.common[0, 0]), int(found.union[0, 0]))


def ious(overlaps: Sequence[Overlap], empty: float) -> Floats:
    """float64 of each; `empty` where nothing is wanted and nothing shown: 0 as published, 1 strictly."""
    return np.array([one.common / one.union if one.union else empty for one in overlaps], np.float64)


def figures(overlaps: Sequence[Overlap], empty: float) -> dict[str, float | None]:
    """P@0.5 to P@0.9, mIoU and oIoU; None over nothing."""
    values = ious(overlaps, empty)
    common, union = (sum(getattr(one, part) for one in overlaps) for part in ("common", "union"))
    found: dict[str, float | None] = {
        f"P@{least}": float((values >= least).mean()) if len(values) else None for least in THRESHOLDS
    }
    found["oIoU"] = common / union if union else None
    found["mIoU"] = float(values.mean()) if len(values) else None
    return found
