"""One colour per region, the same in every output."""

from __future__ import annotations

import colorsys

Colour = tuple[int, int, int]

# Bright enough for imagery of soil, sea and forest; neighbours in the list are far apart in hue.
_PALETTE = ("ff6b6b", "4dabf7", "ffd43b", "69db7c", "da77f2", "ff922b", "3bc9db", "f783ac", "a9e34b", "9775fa")
_GOLDEN = 0.6180339887498949


def colour(index: int) -> Colour:
    """RGB of the region at `index`, 0..255 each: ten chosen ones, then hues a golden section apart."""
    if index < len(_PALETTE):
        red, green, blue = bytes.fromhex(_PALETTE[index])
        return red, green, blue
    lightness = (0.62, 0.74, 0.52)[index % 3]
    channels = colorsys.hls_to_rgb((index * _GOLDEN) % 1.0, lightness, 0.85)
    red, green, blue = (round(255 * channel) for channel in channels)
    return red, green, blue


def hex_colour(index: int) -> str:
    """The same as `#rrggbb`."""
    return "#" + bytes(colour(index)).hex()
