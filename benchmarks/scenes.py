"""`python -m benchmarks.scenes [ENGINE_DIR]`: windows a second of scene jobs, and merging beside its peers.

A scene is asked with 1, 4 and 8 windows together and, by turns, the same windows held in memory: reading, recording,
merging and writing have to hide behind the model. Then the views of a larger scene are merged, and with `--peer
sahi=PYTHON` or `samgeo=PYTHON`, an interpreter that has it, by those, too; boxes in one true thing are counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geopixel_edge import Pipeline
from geopixel_edge.checks import check_integer
from geopixel_edge.cli.command import run_command
from geopixel_edge.cli.streams import write_json
from geopixel_edge.cli.terminal import table
from geopixel_edge.errors import OptionError
from geopixel_edge.scenes.asking import Answered, PipelineAsker
from geopixel_edge.scenes.opening import Scene
from geopixel_edge.scenes.windows import make_grid

from .scene_peers import PEERS
from .scene_views import duplicates, make_views, merge, save

BATCHES, PHRASES, WINDOW_PX = (1, 4, 8), ("ships", "buildings"), 640
ROOT = Path(__file__).parents[1]


def rates(engine: Path | None, windows: int, repeat: int, threads: int | None, seed: int) -> dict[str, Any]:
    """Windows a second by batch: of whole jobs, and of the engine alone on the same windows in memory; medians."""
    with tempfile.TemporaryDirectory() as folder, Pipeline(engine, threads=threads) as pipe:
        scene = Path(folder) / "scene.tif"
        _write_scene(scene, windows, seed)
        with Scene(scene).open() as raster:
            grid = make_grid(raster.width_px, raster.height_px, WINDOW_PX)
            held = [raster.read(*grid.box(number)).rgb for number in range(len(grid))]
        asker, seconds, answers = PipelineAsker(pipe), _Seconds(), {}
        asker.ask(held[:1], PHRASES, False)
        for _ in range(repeat):
            for batch in BATCHES:
                started, found = time.perf_counter(), list[Answered]()
                for first in range(0, len(held), batch):
                    found += asker.ask(held[first : first + batch], PHRASES, False)
                seconds.add(f"memory {batch}", started)
                answers[batch] = [(phrase, one.mask) for each in found for phrase, one in each.found]
                started = time.perf_counter()
                out = Path(folder) / f"{batch}.gpkg"
                pipe.scene(scene, PHRASES, out, window=WINDOW_PX, batch=batch, restart=True, page=False)
                seconds.add(f"job {batch}", started)
        count, by_batch = len(held), {}
        for batch in BATCHES:
            job, memory = seconds.median(f"job {batch}"), seconds.median(f"memory {batch}")
            equal = answers[batch] == answers[BATCHES[0]]
            rate = {"job_per_s": count / job, "engine_per_s": count / memory, "ratio": memory / job}
            by_batch[str(batch)] = {**rate, "answers_equal": equal}
        return {"windows": count, "by_batch": by_batch}


class _Seconds:
    """What each kind of run took."""

    def __init__(self) -> None:
        self._all: dict[str, list[float]] = {}

    def add(self, name: str, started: float) -> None:
        self._all.setdefault(name, []).append(time.perf_counter() - started)

    def median(self, name: str) -> float:
        return statistics.median(self._all[name])


def _write_scene(path: Path, windows: int, seed: int) -> None:
    """Generated scenes side by side, tiled, so that about so many windows cover them."""
    import rasterio
    from rasterio.transform import Affine

    from synthetic.scenes import make_scene

    across = max(1, round(np.sqrt(windows) * 0.75))
    rows = []
    for row in range(across):
        rows.append(np.concatenate([make_scene(seed + row * across + n, WINDOW_PX).image for n in range(across)], 1))
    image = np.concatenate(rows)
    shape: dict[str, Any] = {"count": 3, "height": image.shape[0], "width": image.shape[1], "dtype": "uint8"}
    where = {"crs": "EPSG:32640", "transform": Affine(0.3, 0, 251_000, 0, -0.3, 2_711_000)}
    with rasterio.open(path, "w", driver="GTiff", photometric="rgb", tiled=True, **shape, **where) as out:
        out.write(np.moveaxis(image, -1, 0))


def merging(count: int, seed: int) -> dict[str, Any]:
    """Merging so many views: seconds, objects, and duplicates."""
    views = make_views(count, seed)
    seconds, boxes = merge(views)
    things = {"objects": len(boxes), "truth": len(views.truth), "duplicates": duplicates(views.truth, boxes)}
    return {"views": len(views.views), "seconds": seconds, **things}


def beside(peers: dict[str, str], count: int, seed: int) -> dict[str, Any]:
    """The same views merged here and by peers, in one run: seconds, objects, duplicates, and how many times ours."""
    views = make_views(count, seed)
    seconds, boxes = merge(views)
    found: dict[str, Any] = {"views": len(views.views), "truth": len(views.truth)}
    found["geopixel_edge"] = {
        "seconds": seconds,
        "objects": len(boxes),
        "duplicates": duplicates(views.truth, boxes),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "views.npz"
        save(path, views)
        for name, python in peers.items():
            command = [python, str(ROOT / "benchmarks" / "scene_peers.py"), name, str(path)]
            told = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
            if told.returncode:
                raise OptionError(f"peer={name}={python}: it failed: {told.stderr.strip().splitlines()[-1][:300]}")
            theirs = json.loads(told.stdout.splitlines()[-1])
            lie = np.array(theirs["boxes"], np.float64).reshape(-1, 4)
            twice = duplicates(views.truth, lie)
            took = float(theirs["seconds"])
            found[name] = {"seconds": took, "objects": len(lie), "duplicates": twice, "times_ours": took / seconds}
    return found


def _peers(values: Sequence[str]) -> dict[str, str]:
    found = {}
    for value in values:
        name, _, python = value.partition("=")
        if name not in PEERS or not python:
            raise OptionError(f"peer={value!r}: give NAME=PYTHON, NAME one of {', '.join(PEERS)}")
        found[name] = python
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine_dir", nargs="?", type=Path, help="default: the engine in the package")
    parser.add_argument("--windows", type=int, default=64, metavar="N", help="asked, about (default: 64)")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="times, in turn (default: 3)")
    parser.add_argument("--views", type=int, default=100_000, metavar="N", help="merged (default: 100000)")
    parser.add_argument("--peer-views", type=int, default=10_000, metavar="N", help="merged by all (default: 10000)")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON", help="sahi or samgeo; may repeat")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads per block (default: every core)")
    parser.add_argument("--seed", type=int, default=1_000_000, help="of the first scene")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    args = parser.parse_args(arguments)
    for name, most in (("windows", 10_000), ("repeat", 100), ("views", 10_000_000), ("peer_views", 10_000_000)):
        check_integer(name, getattr(args, name), 1, most)
    peers = _peers(args.peer)
    found = {
        "windows": rates(args.engine_dir, args.windows, args.repeat, args.threads, args.seed),
        "merging": merging(args.views, 1),
        "peers": beside(peers, args.peer_views, 1),
    }
    if args.json:
        write_json(found)
    else:
        print(_rendered(found))
    return 0


def _rendered(found: dict[str, Any]) -> str:
    rows = [
        (
            batch,
            f"{one['job_per_s']:.2f}",
            f"{one['engine_per_s']:.2f}",
            f"{one['ratio']:.2f}",
            str(one["answers_equal"]),
        )
        for batch, one in found["windows"]["by_batch"].items()
    ]
    merged = found["merging"]
    peers = [(name, one) for name, one in found["peers"].items() if isinstance(one, dict)]
    beside_rows = [
        (
            name,
            f"{one['seconds']:.2f}",
            str(one["objects"]),
            str(one["duplicates"]),
            f"{one.get('times_ours', 1.0):.1f}",
        )
        for name, one in peers
    ]
    return "\n".join(
        [
            table(("batch", "windows/s, job", "engine alone", "ratio", "answers equal"), rows, left=0),
            "",
            f"merging {merged['views']} views: {merged['seconds']:.2f} s, {merged['objects']} objects of "
            f"{merged['truth']}, {merged['duplicates']} duplicates",
            "",
            f"{found['peers']['views']} views of {found['peers']['truth']} things",
            table(("by", "seconds", "objects", "duplicates", "times ours"), beside_rows, left=1),
        ]
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
