"""RRSIS-D's report: each figure as published and strict, with intervals by image, and by class, size and quarter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geopixel_edge.masks import Mask

from ..data.rle import covered_once, resized, union
from ..metrics import bootstrap, rrsis
from ..metrics.grounding import Floats
from . import groups

REASONS = {
    "P@t": "published: nothing wanted and nothing shown is IoU 0; strict: 1",
    "oIoU": "published: pixels under two parts of a truth are lost; strict: kept",
    "mIoU": "as P@t and oIoU; strict always at the size of the truth",
}
SIDE_PX = 480  # to which the published evaluation of others resizes image and truth


@dataclass(frozen=True)
class Expressed:
    """One expression: the masks shown for it and the parts of its truth, all of the truth's size."""

    image_id: str
    key: str
    class_name: str
    shown: tuple[Mask, ...]
    parts: tuple[Mask, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the truth."""
        return self.parts[0].height_px, self.parts[0].width_px

    def published(self, side_px: int | None) -> rrsis.Overlap:
        """All masks shown united, against the pixels under exactly one part, at `side_px` squared or as they are."""
        shown, truth = union(self.shown, *self.size), covered_once(self.parts, *self.size)
        if side_px is not None:
            shown, truth = (resized(one, side_px, side_px) for one in (shown, truth))
        return rrsis.Overlap.of(shown, truth)

    def strict(self) -> rrsis.Overlap:
        """All masks shown united, against all parts."""
        return rrsis.Overlap.of(union(self.shown, *self.size), union(self.parts, *self.size))


def score(expressions: Sequence[Expressed]) -> dict[str, Any]:
    """Figures, groups and each expression's IoU."""
    strict = [one.strict() for one in expressions]
    sizes = {"native": None, str(SIDE_PX): SIDE_PX}
    published = {
        name: rrsis.figures([one.published(side) for one in expressions], empty=0.0) for name, side in sizes.items()
    }
    values = rrsis.ious(strict, empty=1.0)
    several = sum(len(one.shown) > 1 for one in expressions)
    return {
        "expressions": len(expressions),
        "several_masks": several,
        "without_mask": sum(not one.shown for one in expressions),
        "published": published,
        "strict": _with_intervals(expressions, strict, values),
        "reasons": REASONS,
        "groups": _groups(expressions, strict, values),
        "per_expression": {
            f"{one.image_id}/{one.key}": value for one, value in zip(expressions, values.tolist(), strict=True)
        },
    }


def _with_intervals(
    expressions: Sequence[Expressed], overlaps: Sequence[rrsis.Overlap], values: Floats
) -> dict[str, Any]:
    """Images are drawn, all expressions of one together."""
    images = {image: at for at, image in enumerate(dict.fromkeys(one.image_id for one in expressions))}
    of_image = np.array([images[one.image_id] for one in expressions], np.int64)

    def summed(what: Floats) -> Floats:
        return np.bincount(of_image, what, len(images)).astype(np.float64)

    count = summed(np.ones(len(expressions)))
    parts = {f"P@{least}": summed((values >= least).astype(np.float64)) for least in rrsis.THRESHOLDS}
    parts["mIoU"] = summed(values)
    ratios = {name: (above, count) for name, above in parts.items()}
    common, either = (
        summed(np.array([getattr(one, part) for one in overlaps], np.float64)) for part in ("common", "union")
    )
    ratios["oIoU"] = common, either
    return {
        name: {"value": value, "interval": bootstrap.ratio_interval(*ratios[name])}
        for name, value in rrsis.figures(overlaps, empty=1.0).items()
    }


def _groups(expressions: Sequence[Expressed], overlaps: Sequence[rrsis.Overlap], values: Floats) -> dict[str, Any]:
    ones = list(zip(expressions, overlaps, values.tolist(), strict=True))
    return groups.grouped(
        ones,
        {
            "class": lambda one: one[0].class_name,
            "size": lambda one: groups.size_of(union(one[0].parts, *one[0].size).area_px),
            "quarter": lambda one: groups.quarter_of(union(one[0].parts, *one[0].size)),
        },
        lambda chosen: dict(rrsis.figures([one[1] for one in chosen], empty=1.0)),
    )
