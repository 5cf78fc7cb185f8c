"""Arguments that say how a scene is looked at: shared by `scene`, which asks it, and `plan`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OptionError
from .placing import bands_of

if TYPE_CHECKING:
    from ..scenes.options import SceneOptions

# Arguments that are options of the same name.
_FIELDS = """
window overlap hd_num min_valid min_area min_score per_window describe simplify ids jobs batch restart retry_failed
keep_job page gsd aoi bounds crs rpc_height dem
"""


def add_windows(parser: argparse.ArgumentParser) -> None:
    """What decides which windows there are, and how many are asked at once."""
    parser.add_argument("--window", type=int, metavar="PX", help="side of a window (default: the engine's)")
    parser.add_argument("--overlap", type=int, metavar="PX", help="of windows (default: a quarter of one)")
    parser.add_argument("--gsd", type=float, metavar="M", help="metres a pixel that are shown (default: its own)")
    parser.add_argument("--aoi", type=Path, metavar="FILE", help="polygons: only windows and objects that meet them")
    parser.add_argument("--rpc-height", type=float, metavar="M", help="of the ground, for polynomials of a sensor")
    parser.add_argument("--dem", type=Path, metavar="TIF", help="or a height model")
    parser.add_argument("--describe", action="store_true", help="describe the scene and every window, too")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes, or workers of --ray (default: 1)")


def options_of(args: argparse.Namespace) -> SceneOptions:
    """The options that were typed. OptionError for one that is out of range."""
    from ..scenes.options import SceneOptions

    values = {name: getattr(args, name) for name in _FIELDS.split() if hasattr(args, name)}
    return SceneOptions(bands=bands_of(args), stretch=_stretch(getattr(args, "stretch", None)), **values)


def _stretch(text: str | None) -> tuple[tuple[float, float], ...] | None:
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or len(numbers) % 2:
        raise OptionError(f"stretch={text!r} has no pairs; give LOW,HIGH for all bands, or a pair for each")
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))
