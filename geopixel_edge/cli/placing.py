"""Arguments that say where a picture is, and which bands of a raster are shown."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..errors import OptionError

if TYPE_CHECKING:
    from ..rasters.given import GivenPlace


def add_place(parser: argparse.ArgumentParser) -> None:
    """--bounds, --crs and --bands."""
    parser.add_argument(
        "--bounds",
        nargs=4,
        type=float,
        metavar=("WEST", "SOUTH", "EAST", "NORTH"),
        help="where the outer edges of a plain picture lie, in --crs",
    )
    parser.add_argument("--crs", help="what --bounds are in, as EPSG:4326 for longitude and latitude, or WKT")
    parser.add_argument(
        "--bands", metavar="R,G,B", help="which bands of a raster are shown, counted from 1 (or one band)"
    )


def given_by(args: argparse.Namespace) -> GivenPlace | None:
    """The place that was given; raises as `rasters.given.given_place`."""
    if args.bounds is None and args.crs is None:
        return None
    from ..rasters.given import given_place

    return given_place(args.bounds, args.crs)


def bands_of(args: argparse.Namespace) -> tuple[int, ...] | None:
    """The bands that were chosen; OptionError for text that is no list of numbers."""
    if args.bands is None:
        return None
    try:
        return tuple(int(part) for part in args.bands.split(","))
    except ValueError:
        raise OptionError(f"bands={args.bands!r}: give one band, or three as 3,2,1 for red, green, blue") from None


def opening(args: argparse.Namespace) -> dict[str, Any]:
    """The same as arguments of `Pipeline.open`."""
    return {"bounds": args.bounds, "crs": args.crs, "bands": bands_of(args)}
