"""What training raises beside the SDK's own errors."""

from __future__ import annotations

from geopixel_edge.errors import GeoPixelError


class DatasetError(GeoPixelError):
    """The dataset cannot be read or written as it is; the message names the file, the entry and the remedy."""

    exit_code = 3
