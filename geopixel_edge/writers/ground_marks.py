"""The scale bar and the north arrow of a picture whose place is known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..errors import RuntimeUnavailableError
from ..rasters.crs import geod

if TYPE_CHECKING:
    from ..rasters.place import Place

# The bar takes at most this share of the picture's width.
_MAX_SHARE = 0.25
_ARROW = '<svg viewBox="-12 -16 24 32"><path d="M0-15 8 9 0 4-8 9Z"/></svg><span>N</span>'


def ground_marks(place: Place | None) -> str:
    """HTML to lie over the picture; "" where it has no longitude and latitude, or the extra `geo` is not there."""
    if place is None or not place.located:
        return ""
    try:
        gsd, north = place.gsd_m, north_degrees(place)
    except RuntimeUnavailableError:
        return ""
    if gsd is None or north is None:
        return ""
    length_m = bar_length_m(gsd[0] * place.size_px[0])
    share = 100 * length_m / (gsd[0] * place.size_px[0])
    shown = (
        f"{length_m / 1000:g} km"
        if length_m >= 1000
        else f"{length_m:g} m"
        if length_m >= 1
        else f"{length_m * 100:g} cm"
    )
    return (
        f'<div class="scale" role="img" aria-label="Scale: the bar is {shown} long" style="width:{share:.2f}%">'
        f"<span>{shown}</span></div>"
        f'<div class="north" role="img" aria-label="North, {north:.0f} degrees clockwise from upwards" '
        f'style="--turn:{north:.1f}deg">{_ARROW}</div>'
    )


def bar_length_m(width_m: float) -> float:
    """The greatest of 1, 2 or 5 times a power of ten within a quarter of a picture so wide."""
    most = width_m * _MAX_SHARE
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (5, 2, 1) if step * power <= most * (1 + 1e-9))


def north_degrees(place: Place) -> float | None:
    """Where north is in the middle of the picture, degrees clockwise from upwards; None where it is nowhere."""
    assert place.wkt is not None
    x, y = place.size_px[0] / 2, place.size_px[1] / 2
    here, right, down = place.to_geodetic([[x, y], [x + 1, y], [x, y + 1]])
    steps = []
    for point in (right, down):
        azimuth, _, metres = geod(place.wkt).inv(*here, *point)
        steps.append((metres * math.sin(math.radians(azimuth)), metres * math.cos(math.radians(azimuth))))
    ground = np.array(steps).T  # columns: what one pixel to the right, and one down, are in metres east and north
    if not np.isfinite(ground).all() or abs(np.linalg.det(ground)) < 1e-12:
        return None
    dx, dy = np.linalg.solve(ground, [0.0, 1.0])
    return math.degrees(math.atan2(dx, -dy)) % 360
