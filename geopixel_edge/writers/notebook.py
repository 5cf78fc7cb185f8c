"""The report as a notebook shows it: a page in a frame, of bounded size, that reaches nothing of the notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import report
from .report import Detail

if TYPE_CHECKING:
    from ..rasters.place import Place
    from ..regions import Region

# A notebook keeps every output it shows: some 200 kB for a photograph, at most 1 MB with ragged masks.
DETAIL = Detail(side_px=900, jpeg_quality=85, corners=50_000)
HEIGHT_PX = 640


def frame(
    document: Mapping[str, Any],
    regions: Sequence[Region],
    pixels: NDArray[np.uint8] | None,
    missing: str = "",
    place: Place | None = None,
) -> str:
    """An iframe that holds the whole report; its scripts run in an origin of their own."""
    page = report.encode(document, regions, pixels, missing, DETAIL, place).decode("utf-8")
    return (
        f'<iframe title="GeoPixel Edge answer" sandbox="allow-scripts" srcdoc="{escape(page)}" '
        f'style="width:100%;height:{HEIGHT_PX}px;border:0"></iframe>'
    )
