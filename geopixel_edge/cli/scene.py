"""`geopixel-edge scene`: a layer of the objects that a scene of any size shows."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import add_json, add_machine, tell
from .command import EXIT_INTERRUPTED
from .placing import add_place
from .progress import Line, json_lines
from .scene_arguments import add_windows, options_of
from .streams import write_json

if TYPE_CHECKING:
    from ..batch.windows import RayWorkers
    from ..scenes.many import OneOf
    from ..scenes.options import SceneOptions
    from ..scenes.result import SceneResult
    from ..stop import StopToken

SUMMARY = "find every thing of a kind in a scene larger than memory, and write a map layer"
EPILOG = """\
examples:
  geopixel-edge scene geo.tif "ships" --out ships.gpkg
  geopixel-edge scene geo.tif "ships" "buildings" --out ships.gpkg --out ships.geojson
  geopixel-edge scene geo.tif --describe --out described.geojson
  geopixel-edge scene geo.tif "ships" --out ships.gpkg --retry-failed
  geopixel-edge scene scenes "ships" --out layers/{}.gpkg --ray auto --jobs 8

A job that was ended goes on when the same command is given; FILE.job is its ledger. Of a folder every scene is a job,
{} in FILE its name; their ledgers are kept until all are done.

exit codes:
  0  written                                   5  runtime, memory or thread is missing
  2  usage                                     6  an output or the ledger cannot be written
  3  image, phrase or option cannot be used    7  windows failed, see the layer `windows`
  4  the engine directory cannot be used     130  interrupted, the ledger is kept
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="a GeoTIFF or any other image, or a folder of them")
    parser.add_argument("phrases", metavar="PHRASE", nargs="*", help='kinds of things, as in "ships" "planes"')
    parser.add_argument(
        "--out",
        action="append",
        required=True,
        metavar="FILE",
        help=".gpkg .geojson .fgb .parquet .tif .png; may repeat; {} is the scene's name",
    )
    parser.add_argument("--engine", type=Path, metavar="DIR", help="default: the bundled engine")
    add_machine(parser)
    add_json(parser)
    add_place(parser)
    add_windows(parser)
    parser.add_argument("--stretch", metavar="LOW,HIGH[,...]", help="samples that the stretch starts from")
    parser.add_argument("--min-valid", type=float, default=0.0, metavar="PART", help="least part of valid pixels")
    parser.add_argument("--min-area", type=int, metavar="PX", help="of an object (default: 0.002%% of a window)")
    parser.add_argument("--min-score", type=float, default=0.0, metavar="S", help="least estimated IoU of an object")
    parser.add_argument("--per-window", action="store_true", help="also ask phrases that compare, in every window")
    parser.add_argument("--simplify", type=float, default=0.0, metavar="PX", help="outlines may be off by so much")
    parser.add_argument("--ids", action="store_true", help="a .tif holds the ids of objects, not classes")
    parser.add_argument("--batch", type=int, metavar="N", help="windows asked together (default: by the memory plan)")
    parser.add_argument("--ray", nargs="?", const="", metavar="ADDRESS", help="ask on a Ray cluster, or a local one")
    parser.add_argument("--hd-num", type=int, default=9, metavar="N", help="how finely to divide (default: 9)")
    parser.add_argument("--restart", action="store_true", help="forget what an ended job has recorded")
    parser.add_argument("--retry-failed", action="store_true", help="ask windows that failed again")
    parser.add_argument("--no-page", dest="page", action="store_false", help="write no page to look at beside FILE")
    parser.add_argument("--keep-job", action="store_true", help="keep the ledger FILE.job")


def run(args: argparse.Namespace) -> int:
    """Run or go on with the jobs; returns the exit code: 7 where windows failed, 130 when interrupted."""
    from ..errors import SceneIncompleteError
    from ..scenes.many import scenes_of
    from ..scenes.opening import Scene
    from ..scenes.phrases import check_phrases
    from ..stop import StopToken

    options = options_of(args)
    # What is wrong with the command is told before a large engine is verified and loaded.
    if args.phrases or not args.describe:
        check_phrases(args.phrases, args.per_window)
    many = Path(args.image).is_dir()
    todo = scenes_of(Path(args.image), args.out, args.page)
    for one in todo:
        Scene(one.scene).state()
    stop = StopToken()
    _end_on_interrupt(stop)
    try:
        found = _all(args, todo, replace(options, keep_job=options.keep_job or many), stop)
    except SceneIncompleteError as error:
        if stop.reason is None:
            raise
        tell(["", str(error)])
        return EXIT_INTERRUPTED
    if failed := sum(one.failed for one in found):
        raise SceneIncompleteError(
            f"{failed} of {sum(one.windows for one in found)} windows failed, see the layer of windows; give the same "
            "command with --retry-failed"
        )
    if many and not options.keep_job:
        _forget(todo)
    return 0


def _all(args: argparse.Namespace, todo: Sequence[OneOf], options: SceneOptions, stop: StopToken) -> list[SceneResult]:
    """One scene after another, each told when it is done."""
    from ..pipeline import Pipeline
    from ..scenes.pipeline_scene import scene_of

    shown = json_lines if args.json else Line().show
    results: list[SceneResult] = []
    with _workers(args) as workers:
        threads = args.threads if workers is None else workers.share.threads
        with Pipeline(args.engine, device=args.device, threads=threads, memory=args.memory) as pipeline:
            for scene, outs in todo:
                asked = (pipeline, scene, args.phrases, outs, options)
                found = scene_of(*asked, on_progress=shown, stop=stop, keep_objects=False, workers=workers)
                _report(found, args.json, scene.name if len(todo) > 1 else None)
                results.append(found)
    return results


@contextmanager
def _workers(args: argparse.Namespace) -> Iterator[RayWorkers | None]:
    """Those of a Ray cluster, where one is asked for."""
    if args.ray is None:
        yield None
        return
    from ..batch.windows import ray_workers

    with ray_workers(args.jobs, address=args.ray or None, threads=args.threads, device=args.device) as found:
        yield found


def _forget(todo: Sequence[OneOf]) -> None:
    """Remove the ledgers of a folder's scenes, which were kept until all were done."""
    from ..scenes.ledger_file import ledger_path, remove_ledger

    for one in todo:
        with suppress(OSError):
            remove_ledger(ledger_path(one.outs[0]))


def _end_on_interrupt(stop: StopToken) -> None:
    """Ctrl-C ends the job after the current window; a second one at once."""

    def first(number: int, frame: Any) -> None:
        stop.set("cancelled")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nending after this window; Ctrl-C again ends at once", file=sys.stderr)

    signal.signal(signal.SIGINT, first)


def _report(found: SceneResult, as_json: bool, name: str | None) -> None:
    """What was found in a scene; `name` tells it from others."""
    if as_json:
        paths = [str(path) for path in found.paths]
        told = {"objects": found.counts, "windows": found.windows, "empty": found.empty, "failed": found.failed}
        head = {} if name is None else {"scene": name}
        write_json({**head, **told, "notes": found.notes, "paths": paths})
        sys.stdout.flush()
        return
    if name is not None:
        print(name)
    for phrase, number in found.counts.items():
        print(f"{number} {phrase}")
    asked = found.windows - found.empty
    tell([f"{asked} windows asked, {found.empty} without pixels", *(f"note: {note}" for note in found.notes)])
    tell([f"wrote {path}" for path in found.paths])
