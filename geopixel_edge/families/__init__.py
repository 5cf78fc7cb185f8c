"""Model families: an engine's manifest names one, and everything that is a family's own is behind it."""

from __future__ import annotations

from ..errors import EngineSchemaError
from .geopixel import GeoPixel

Family = GeoPixel  # a second family makes this their common protocol
FAMILIES = {GeoPixel.name: GeoPixel()}


def family_of(name: str) -> Family:
    """The family of a manifest; EngineSchemaError for one that this version does not run."""
    if name not in FAMILIES:
        raise EngineSchemaError(f"family {name!r} is unknown; this version runs {', '.join(FAMILIES)}; upgrade it")
    return FAMILIES[name]
