"""Where images lie: what a page needs for its scale bar, and one RFC 7946 document of several answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import RuntimeUnavailableError
from ..rasters.place import Place
from ..writers.ground_marks import north_degrees
from .replies import Ground


def ground_of(place: Place | None) -> Ground | None:
    """The size of a pixel on the ground and where north is; None where nothing tells."""
    if place is None or not place.located:
        return None
    try:
        gsd, north = place.gsd_m, north_degrees(place)
    except RuntimeUnavailableError:
        return None
    return None if gsd is None or north is None else Ground((gsd[0], gsd[1]), north)


def merged(pages: Sequence[dict[str, Any]], origins: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """One FeatureCollection of several; each feature says which (image, phrase) of the request it answers."""
    features: list[dict[str, Any]] = []
    for page, (image, phrase) in zip(pages, origins, strict=True):
        for feature in page["features"]:
            properties = {"image": image, "phrase_index": phrase, **feature["properties"]}
            features.append({**feature, "id": len(features), "properties": properties})
    return {"type": "FeatureCollection", "features": features}
