"""What a true mask is counted with: its class, size, number of things and quarter of the image."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from geopixel_edge.masks import Mask
from synthetic.scenes import CLASS_NAMES

from ..metrics import bootstrap
from ..metrics.bootstrap import Evidence
from ..metrics.similarity import words_of

# iSAID's fifteen classes as GeoPixelD's descriptions say them.
NAMED = (
    "plane, boat, storage tank, baseball field, tennis court, basketball court, track field, pier, bridge, "
    "large vehicle, small vehicle, helicopter, swimming pool, roundabout, soccer field"
)
CLASSES = tuple(sorted({*NAMED.split(", "), *CLASS_NAMES}, key=lambda name: (-len(name), name)))
SIZES = ((16**2, "below 16^2 px"), (32**2, "16^2 to 32^2 px"), (96**2, "32^2 to 96^2 px"))
LARGE = "96^2 px and more"
_NUMBER = re.compile(r"-\d+$")

One = TypeVar("One")


def class_of(phrase: str) -> str:
    """The longest class name among a phrase's words, or "other"."""
    said = words_of(_NUMBER.sub("", phrase.strip()))
    return next((name for name in CLASSES if words_of(name) <= said), "other")


def size_of(area_px: int) -> str:
    """COCO's bounds, and one more for the smallest."""
    return next((name for bound, name in SIZES if area_px < bound), LARGE)


def objects_of(count: int) -> str:
    """How many things one phrase covers."""
    return "1" if count == 1 else "2 to 10" if count <= 10 else "more than 10"


def quarter_of(mask: Mask) -> str:
    """The quarter of the image in which the middle of the mask's box lies; "" for an empty mask."""
    if not mask.area_px:
        return ""
    x, y, width, height = mask.bbox
    vertical = "top" if 2 * y + height < mask.height_px else "bottom"
    return f"{vertical} {'left' if 2 * x + width < mask.width_px else 'right'}"


def parts_of(mask: Mask) -> int:
    """4-connected parts: how many things a mask covers where its data set does not say."""
    return len(mask.polygons())


def figures(evidence: Mapping[str, Evidence]) -> dict[str, object]:
    """Each figure's value, and their intervals beside."""
    intervals = {name: bootstrap.interval(one.draws()) for name, one in evidence.items()}
    return {**{name: one.value() for name, one in evidence.items()}, "intervals": intervals}


def grouped(
    ones: Iterable[One],
    keys: Mapping[str, Callable[[One], str]],
    evidence: Callable[[list[One]], Mapping[str, Evidence]],
) -> dict[str, dict[str, dict[str, object]]]:
    """Kind of group -> group -> its count and figures, groups in order of their names."""
    found: dict[str, dict[str, list[One]]] = {kind: defaultdict(list) for kind in keys}
    for one in ones:
        for kind, key in keys.items():
            found[kind][key(one)].append(one)
    return {
        kind: {name: {"count": len(members), **figures(evidence(members))} for name, members in sorted(groups.items())}
        for kind, groups in found.items()
    }
