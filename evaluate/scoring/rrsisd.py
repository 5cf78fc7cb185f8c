"""RRSIS-D's report: each figure as published and strict, with intervals by image, and by class, size and quarter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geopixel_edge.masks import Mask

from ..data.rle import covered_once, resized, union
from ..metrics import bootstrap, rrsis
from ..metrics.bootstrap import Evidence, Ratio
from . import groups

REASONS = {
    "P@t": "published: nothing wanted and nothing shown is IoU 0; strict: 1",
    "oIoU": "published: pixels under two parts of a truth are lost; strict: kept",
    "mIoU": "as P@t and oIoU; strict always at the size of the truth",
}
SIDE_PX = 480  # to which the published evaluation of others resizes image and truth
SIDES = {"native": None, str(SIDE_PX): SIDE_PX}


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
    published = {name: [one.published(side) for one in expressions] for name, side in SIDES.items()}
    values = rrsis.ious(strict, empty=1.0)
    several = sum(len(one.shown) > 1 for one in expressions)
    return {
        "expressions": len(expressions),
        "several_masks": several,
        "without_mask": sum(not one.shown for one in expressions),
        "published": {name: rrsis.figures(ones, empty=0.0) for name, ones in published.items()},
        "published_intervals": {
            name: {figure: bootstrap.interval(one.draws()) for figure, one in _evidence(expressions, ones, 0.0).items()}
            for name, ones in published.items()
        },
        "strict": {name: bootstrap.told(one) for name, one in _evidence(expressions, strict, 1.0).items()},
        "reasons": REASONS,
        "groups": _groups(expressions, strict),
        "per_expression": {
            f"{one.image_id}/{one.key}": value for one, value in zip(expressions, values.tolist(), strict=True)
        },
    }


def evidence(expressions: Sequence[Expressed]) -> dict[str, Evidence]:
    """Every figure, those as published named by the size at which they are scored."""
    found: dict[str, Evidence] = dict(_evidence(expressions, [one.strict() for one in expressions], 1.0))
    for size, side in SIDES.items():
        ones = _evidence(expressions, [one.published(side) for one in expressions], 0.0)
        found.update({f"{name}, published, {size}": one for name, one in ones.items()})
    return found


def _evidence(expressions: Sequence[Expressed], overlaps: Sequence[rrsis.Overlap], empty: float) -> dict[str, Ratio]:
    """Images are drawn, all expressions of one together."""
    images, values = [one.image_id for one in expressions], rrsis.ious(overlaps, empty)
    ones = np.ones(len(values))
    parts = {f"P@{least}": (values >= least).astype(np.float64) for least in rrsis.THRESHOLDS}
    common, either = (np.array([getattr(one, part) for one in overlaps], np.float64) for part in ("common", "union"))
    return {
        **{name: Ratio.by_image(images, above, ones) for name, above in parts.items()},
        "oIoU": Ratio.by_image(images, common, either),
        "mIoU": Ratio.by_image(images, values, ones),
    }


def _groups(expressions: Sequence[Expressed], overlaps: Sequence[rrsis.Overlap]) -> dict[str, Any]:
    ones = list(zip(expressions, overlaps, strict=True))
    return groups.grouped(
        ones,
        {
            "class": lambda one: one[0].class_name,
            "size": lambda one: groups.size_of(union(one[0].parts, *one[0].size).area_px),
            "things per phrase": lambda one: groups.objects_of(groups.parts_of(union(one[0].parts, *one[0].size))),
            "quarter": lambda one: groups.quarter_of(union(one[0].parts, *one[0].size)),
        },
        lambda chosen: _evidence([one[0] for one in chosen], [one[1] for one in chosen], 1.0),
    )
