"""`python -m training.percentiles RECIPE`: how bright the pictures of a run are, for an engine's manifest.

A raster of more than 8 bits is stretched so that its 2nd and 98th percentile become those of the pictures that the
engine learnt from.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np

from geopixel_edge.cli.command import run_command
from geopixel_edge.engine.directory import read_manifest, write_manifest
from synthetic.scenes import make_scene

from .plan import read_recipe

Pair = tuple[float, float]


def pixel_percentiles(seeds: Iterable[int], side_px: int) -> tuple[Pair, Pair, Pair]:
    """The 2nd and 98th percentile of red, green and blue over all pixels of the scenes of these seeds."""
    counts = np.zeros((3, 256), np.int64)
    for seed in seeds:
        image = make_scene(seed, side_px).image
        for band in range(3):
            counts[band] += np.bincount(image[..., band].ravel(), minlength=256)
    shares = counts.cumsum(axis=1) / counts.sum(axis=1, keepdims=True)
    red, green, blue = ((float((band < 0.02).sum()), float((band < 0.98).sum())) for band in shares)
    return red, green, blue


def main(arguments: list[str] | None = None) -> int:
    """Draw, print, and write where asked; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, help="the recipe of the run, as training/recipes/small.json")
    parser.add_argument("--every", type=int, default=12, metavar="N", help="draw every N-th scene (default: 12)")
    parser.add_argument("--engine", type=Path, help="write them into this engine's manifest")
    args = parser.parse_args(arguments)
    plan = read_recipe(args.recipe, 1)
    found = pixel_percentiles(plan.seeds[:: max(1, args.every)], plan.side_px)
    print(
        "  ".join(
            f"{name} {low:g}..{high:g}" for name, (low, high) in zip(("red", "green", "blue"), found, strict=True)
        )
    )
    if args.engine is not None:
        manifest = msgspec.structs.replace(read_manifest(args.engine), pixel_percentiles=found)
        write_manifest(args.engine, manifest)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
