"""`python -m benchmarks.scene_quality [ENGINE_DIR]`: what scene jobs find of mosaics whose every object is known.

Four mosaics of scenes that no training saw are built and asked as jobs, for ships and for buildings: in metres, turned
and of 16 bits, in degrees, and across the antimeridian. A judge that shares no code with the package checks the layers:
CRS, validity, extent, areas, RFC 7946, duplicates, cuts, seams, shift and drift, recall and precision. The last two are
told of the windows' views before merging and of single scenes, too. With `--both-stretches` the mosaic of 16 bits is
asked twice: stretched onto what the engine learnt from, which is what jobs do, and onto 0..255.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from geopixel_edge import Pipeline
from geopixel_edge.checks import check_integer
from geopixel_edge.cli.command import run_command
from geopixel_edge.cli.streams import write_json
from geopixel_edge.cli.terminal import table
from geopixel_edge.errors import OptionError
from geopixel_edge.kernels.native import native
from geopixel_edge.rasters.colouring import Reading
from geopixel_edge.scenes.asking import Asker, PipelineAsker
from geopixel_edge.scenes.door import run_scene
from geopixel_edge.scenes.ledger_file import ledger_path
from geopixel_edge.scenes.options import SceneOptions
from geopixel_edge.scenes.pipeline_scene import reading_of
from synthetic.scenes import EVALUATION_SEED, make_scene

from .scene_judge import Check, Match, judge, match
from .scene_mosaics import PATCH_PX, Mosaic, Shapes, build, parts_of, variants
from .scene_seams import twice

PHRASES = {"the ships": "ship", "the buildings": "building"}
FORMATS = (".gpkg", ".geojson")


def ask(
    mosaic: Mosaic, asker: Asker, folder: Path, window: int, overlap: int, reading: Reading
) -> dict[str, dict[str, Any]]:
    """Run the job; by class the checks of its layer in each format, and what its views are worth unmerged."""
    outs = [folder / f"{mosaic.path.stem}{suffix}" for suffix in FORMATS]
    options = SceneOptions(window=window, overlap=overlap, page=False, keep_job=True, restart=True)
    told: dict[str, Any] = {"window_px": window, "engine": {}, "reading": reading}
    run_scene(mosaic.path, list(PHRASES), outs, asker, options, keep_objects=False, **told)
    found: dict[str, dict[str, Any]] = {}
    for phrase, name in PHRASES.items():
        checks = {out.suffix: judge(mosaic, out, name, window, overlap, phrase) for out in outs}
        found[name] = {
            "checks": {suffix: {one: check._asdict() for one, check in of.items()} for suffix, of in checks.items()},
            "merged": scores(_of(checks[FORMATS[0]])),
            "unmerged": scores(match(views(ledger_path(outs[0]), phrase), mosaic.truth[name])),
        }
    return found


def _of(checks: dict[str, Check]) -> dict[str, Any]:
    return {**checks["recall"].numbers, **checks["precision"].numbers, **checks["duplicates"].numbers}


def scores(found: dict[str, Any] | Match) -> dict[str, Any]:
    """Recall, precision, and what was found twice."""
    if isinstance(found, Match):
        same, _ = twice(found.found, found.p, found.t, found.common, shapely.area(found.truth))
        return {"recall": found.recall, "precision": found.precision, "found_twice": same}
    return {name: found[name] for name in ("recall", "precision", "found_twice")}


def views(ledger: Path, phrase: str) -> Shapes:
    """What every window showed of a phrase, not merged, in pixels of the scene."""
    with closing(sqlite3.connect(ledger)) as file:
        rows = file.execute("SELECT x, y, w, h, counts FROM view WHERE phrase = ?", (phrase,)).fetchall()
    found = np.empty(len(rows), object)
    for number, (x, y, w, h, counts) in enumerate(rows):
        rings = native.rle_polygons((0, 0, w, h), np.frombuffer(counts, np.uint32), 0.0)
        parts = shapely.make_valid([shapely.Polygon(one[0], one[1:]) for one in rings])
        found[number] = moved(shapely.union_all(parts), x, y)
    return found


def moved(shape: shapely.Geometry, x: float, y: float) -> shapely.Geometry:
    """A shape elsewhere."""
    by = np.array([x, y], np.float64)
    return shapely.transform(shape, lambda points: points + by)


def single(pipe: Pipeline, count: int, seed: int) -> dict[str, dict[str, Any]]:
    """Recall and precision by class of scenes that one answer sees whole."""
    scenes = [make_scene(seed + number, PATCH_PX) for number in range(count)]
    found: dict[str, list[Any]] = {name: [] for name in PHRASES.values()}
    truth: dict[str, list[Any]] = {name: [] for name in PHRASES.values()}
    for number, scene in enumerate(scenes):
        with pipe.open(scene.image) as image:
            for phrase, name in PHRASES.items():
                mask = np.zeros((PATCH_PX, PATCH_PX), np.bool_)
                for region in image.segment(phrase):
                    mask |= region.mask.to_array()
                there = scene.mask([one for one in scene.instances if one.class_name == name])
                for bits, into in ((mask, found[name]), (there, truth[name])):
                    into += [moved(one, 2 * PATCH_PX * number, 0) for one in parts_of(bits)]
    return {name: scores(match(np.array(found[name], object), np.array(truth[name], object))) for name in found}


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Every figure, by mosaic and class."""
    by_mosaic: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, Pipeline(args.engine_dir, device=args.device) as pipe:
        folder, asker = Path(name), PipelineAsker(pipe)
        learnt = reading_of(pipe.engine.manifest, SceneOptions())
        for variant in args.variant or variants():
            mosaic = build(folder, variant, tuple(PHRASES.values()), args.scale, args.seed)
            size = {"size_px": [mosaic.width_px, mosaic.height_px]}
            by_mosaic[variant] = {**size, "classes": ask(mosaic, asker, folder, args.window, args.overlap, learnt)}
            if args.both_stretches and variants()[variant].wide:
                plain = ask(mosaic, asker, folder, args.window, args.overlap, Reading())
                by_mosaic[f"{variant}, onto 0..255"] = {**size, "classes": plain}
            mosaic.path.unlink()
        alone = single(pipe, args.single, args.seed)
    asked = {"scale": args.scale, "window": args.window, "overlap": args.overlap, "seed": args.seed}
    return {**asked, "mosaics": by_mosaic, "single_scenes": {"scenes": args.single, "classes": alone}}


def main(arguments: list[str] | None = None) -> int:
    """Build, ask, judge and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine_dir", nargs="?", type=Path, help="default: the engine in the package")
    parser.add_argument("--variant", action="append", choices=list(variants()), help="may repeat (default: all four)")
    parser.add_argument("--scale", type=float, default=1.0, help="of a mosaic's sides (default: 1)")
    parser.add_argument("--window", type=int, default=640, metavar="PX", help="default: 640")
    parser.add_argument("--overlap", type=int, default=160, metavar="PX", help="default: 160")
    parser.add_argument("--single", type=int, default=40, metavar="N", help="single scenes beside them (default: 40)")
    parser.add_argument("--both-stretches", action="store_true", help="ask the mosaic of 16 bits onto 0..255 as well")
    parser.add_argument("--seed", type=int, default=EVALUATION_SEED, help="of the first scene")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    parser.add_argument("--json", action="store_true", help="print one JSON object with every check instead of a table")
    args = parser.parse_args(arguments)
    check_integer("single", args.single, 1, 10_000)
    if not 0.25 <= args.scale <= 1:
        raise OptionError(f"scale={args.scale}: give 0.25 to 1")
    if args.seed < EVALUATION_SEED:
        raise OptionError(f"seed={args.seed} is one of training's; give {EVALUATION_SEED} or more")
    found = run(args)
    if args.json:
        write_json(found)
    else:
        print(rendered(found))
    return 0


def rendered(found: dict[str, Any]) -> str:
    """The scores as a table, and every check that is not right."""
    rows: list[Sequence[str]] = []
    wrong = []
    for mosaic, one in found["mosaics"].items():
        for name, of in one["classes"].items():
            merged, plain = of["merged"], of["unmerged"]
            figures = [merged["recall"], merged["precision"], plain["recall"], plain["precision"]]
            rows.append((mosaic, name, *(f"{value:.2f}" for value in figures), str(plain["found_twice"])))
            for suffix, checks in of["checks"].items():
                bad = [f"{check}: {told['told']}" for check, told in checks.items() if not told["ok"]]
                wrong += [f"NO  {mosaic}, {name}, {suffix}: {told}" for told in bad]
    for name, of in found["single_scenes"]["classes"].items():
        rows.append(("single scenes", name, f"{of['recall']:.2f}", f"{of['precision']:.2f}", "", "", ""))
    head = ("mosaic", "class", "recall", "precision", "unmerged: recall", "precision", "found twice")
    return "\n".join([table(head, rows, left=2), "", *(wrong or ["every check is ok"])])


if __name__ == "__main__":
    sys.exit(run_command(main))
