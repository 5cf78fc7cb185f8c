"""`python -m benchmarks.stretch [ENGINE_DIR]`: what the stretch of 16-bit rasters does to what an engine finds.

Scenes that no training has seen are laid side by side in one uint16 GeoTIFF, each band with a gain of its own, and read
back window by window, with the file's percentiles stretched to the whole range and to what the engine learnt from. The
scenes as they were drawn are the ceiling.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from geopixel_edge import Pipeline
from geopixel_edge.checks import check_integer
from geopixel_edge.cli.command import run_command
from geopixel_edge.cli.streams import write_json
from geopixel_edge.cli.terminal import table
from geopixel_edge.errors import OptionError
from geopixel_edge.rasters.colouring import Reading
from geopixel_edge.rasters.geotiff import open_raster
from synthetic.scenes import EVALUATION_SEED, Scene, make_scene

SIDE_PX, GAINS, DARK = 640, (7, 6, 5), 150
WORDS = {"ship": "the ships", "building": "the buildings"}
KINDS = ("port", "urban", "port", "residential")


@dataclass
class Pixels:
    """Pixels of one class that are there, that were found, and both."""

    there: int = 0
    found: int = 0
    both: int = 0

    def add(self, truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> None:
        """Count one scene's masks (height, width)."""
        self.there += int(truth.sum())
        self.found += int(found.sum())
        self.both += int((truth & found).sum())

    def scores(self) -> dict[str, float]:
        """Recall, precision and IoU over all pixels counted."""
        union = self.there + self.found - self.both
        return {
            "recall": self.both / max(1, self.there),
            "precision": self.both / max(1, self.found),
            "iou": self.both / max(1, union),
        }


def write_mosaic(path: Path, scenes: Sequence[Scene]) -> None:
    """The scenes in a row, uint16."""
    import rasterio
    from rasterio.transform import Affine

    row = np.concatenate([scene.image for scene in scenes], axis=1).astype(np.uint16)
    where = {"crs": "EPSG:32640", "transform": Affine(0.3, 0, 251_000, 0, -0.3, 2_711_000)}
    shape: dict[str, Any] = {"count": 3, "height": row.shape[0], "width": row.shape[1], "dtype": "uint16"}
    with rasterio.open(path, "w", driver="GTiff", photometric="rgb", tiled=True, **shape, **where) as out:
        for band, gain in enumerate(GAINS):
            out.write(row[..., band] * gain + DARK, band + 1)


def score(
    pipe: Pipeline, scenes: Sequence[Scene], picture: Callable[[int], NDArray[np.uint8]], bar: Any
) -> dict[str, dict[str, float]]:
    """Ask for every class in every scene that has it, of the picture that stands for it."""
    counts = {name: Pixels() for name in WORDS}
    for index, scene in enumerate(scenes):
        with pipe.open(picture(index)) as image:
            for name, words in WORDS.items():
                wanted = [one for one in scene.instances if one.class_name == name]
                if wanted:
                    found = np.zeros((SIDE_PX, SIDE_PX), np.bool_)
                    for region in image.segment(words):
                        found |= region.mask.to_array()
                    counts[name].add(scene.mask(wanted), found)
        bar.update()
    return {name: pixels.scores() for name, pixels in counts.items()}


def run(args: argparse.Namespace) -> dict[str, dict[str, dict[str, float]]]:
    """Scores by way and class."""
    scenes = [make_scene(args.seed + n, SIDE_PX, KINDS[n % len(KINDS)]) for n in range(args.scenes)]
    with tempfile.TemporaryDirectory() as folder, Pipeline(args.engine_dir, device=args.device) as pipe:
        path = Path(folder) / "mosaic.tif"
        write_mosaic(path, scenes)
        learnt = pipe.engine.manifest.pixel_percentiles
        readings = {"onto 0..255": Reading(), **({"onto what it learnt": Reading(onto=learnt)} if learnt else {})}
        with tqdm(total=len(scenes) * (len(readings) + 1), disable=None, unit="scene", leave=False) as bar:
            found = {}
            for name, reading in readings.items():
                with open_raster(path, reading) as raster:
                    read = lambda n, raster=raster: raster.read(n * SIDE_PX, 0, SIDE_PX, SIDE_PX).rgb  # noqa: E731
                    found[name] = score(pipe, scenes, read, bar)
            found["as drawn"] = score(pipe, scenes, lambda n: scenes[n].image, bar)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine_dir", nargs="?", type=Path, help="default: the engine in the package")
    parser.add_argument("--scenes", type=int, default=40, metavar="N", help="how many (default: 40)")
    parser.add_argument("--seed", type=int, default=EVALUATION_SEED, help="of the first scene")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    args = parser.parse_args(arguments)
    check_integer("scenes", args.scenes, 1, 1000)
    if args.seed < EVALUATION_SEED:
        raise OptionError(f"seed={args.seed} is one of training's; give {EVALUATION_SEED} or more")
    found = run(args)
    if args.json:
        write_json(found)
        return 0
    rows = [
        (way, name, *(f"{value:.2f}" for value in scores.values()))
        for way, classes in found.items()
        for name, scores in classes.items()
    ]
    print(table(("stretch", "class", "recall", "precision", "IoU"), rows, left=2))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
