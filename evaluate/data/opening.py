"""The data set that a folder holds, by task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError
from . import geopixeld, refer, rrsisd
from .geopixeld import GeoPixelD
from .questions import wording
from .rrsisd import RrsisD

SPLITS = {"rsgcg": geopixeld.SPLITS, "rrsisd": refer.SPLITS}


def open_dataset(
    task: str,
    root: Path,
    splits: Sequence[str] = ("test",),
    question: str | None = None,
    allow_missing: bool = False,
    cache: Path | None = None,
) -> GeoPixelD | RrsisD:
    """DataError for a split the layout does not have, and for a question that cannot be asked.

    `question`: for rsgcg as of `wording`, for rrsisd a text with {} for the expression.
    """
    if unknown := [split for split in splits if split not in SPLITS[task]]:
        raise DataError(f"split={unknown[0]!r} is unknown; give one of {', '.join(SPLITS[task])}")
    if task == "rsgcg":
        if len(splits) != 1:
            raise DataError(f"split={' '.join(splits)!r} names several; GeoPixelD is scored one split at a time")
        return GeoPixelD(root, splits[0], wording(question, root), allow_missing)
    asked = rrsisd.QUESTION if question is None else question
    if "{}" not in asked:
        raise DataError(f"question={asked!r} has no {{}} for the expression; give one, as in {rrsisd.QUESTION!r}")
    return RrsisD(root, tuple(dict.fromkeys(splits)), asked, allow_missing, cache)
