"""Coordinates and areas as people read them, and the answer's text with those of its regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..regions import Region

# Of more regions that share a phrase, the rest are counted.
MAX_NAMED = 3


def text(words: str, regions: Sequence[Region]) -> str:
    """`words` with what `where` says of its regions behind each phrase, or at the place of one without a phrase."""
    by_end: dict[int, list[Region]] = {}
    for region in regions:
        by_end.setdefault(region.span[1], []).append(region)
    out, at = [], 0
    for end in sorted(by_end):
        said = places(by_end[end])
        if not said:
            continue
        before = "" if end == 0 or words[end - 1 : end].isspace() else " "
        after = " " if end == 0 and words else ""
        out.append(f"{words[at:end]}{before}{said}{after}")
        at = end
    return "".join(out) + words[at:]


def places(regions: Sequence[Region]) -> str:
    """What `where` says of each of several regions that share a phrase; of many the first, and how many more."""
    said = [found for region in regions if (found := where(region))]
    rest = f" and {len(said) - MAX_NAMED} more" if len(said) > MAX_NAMED else ""
    return " ".join(said[:MAX_NAMED]) + rest


def where(region: Region) -> str | None:
    """ "(24.4512 N, 54.3218 E; 1,240 m2)"; None for a region without longitude and latitude."""
    place = region.place
    if place is None or place.centroid is None:
        return None
    size = f"; {area(place.area_m2)}" if place.area_m2 is not None else ""
    return f"({position(*place.centroid)}{size})"


def position(lon: float, lat: float) -> str:
    """ "24.4512 N, 54.3218 E": degrees to some 10 m."""
    return f"{abs(lat):.4f} {'S' if lat < 0 else 'N'}, {abs(lon):.4f} {'W' if lon < 0 else 'E'}"


def area(square_m: float) -> str:
    """ "1,240 m2"; a decimal below 10."""
    return f"{square_m:,.{0 if square_m >= 9.95 else 1}f} m2"
