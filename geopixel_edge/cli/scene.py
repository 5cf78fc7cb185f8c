"""`geopixel-edge scene`: a layer of the objects that a scene of any size shows."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import add_json, add_machine, tell
from .command import EXIT_INTERRUPTED
from .placing import add_place
from .progress import Line, json_lines
from .scene_arguments import add_windows, options_of
from .streams import write_json

if TYPE_CHECKING:
    from ..scenes.result import SceneResult
    from ..stop import StopToken

SUMMARY = "find every thing of a kind in a scene larger than memory, and write a map layer"
EPILOG = """\
examples:
  geopixel-edge scene geo.tif "ships" --out ships.gpkg
  geopixel-edge scene geo.tif "ships" "buildings" --out ships.gpkg --out ships.geojson
  geopixel-edge scene geo.tif --describe --out described.geojson
  geopixel-edge scene geo.tif "ships" --out ships.gpkg --retry-failed

A job that was ended goes on when the same command is given; FILE.job is its ledger.

exit codes:
  0  written                                   5  runtime, memory or thread is missing
  2  usage                                     6  an output or the ledger cannot be written
  3  image, phrase or option cannot be used    7  windows failed, see the layer `windows`
  4  the engine directory cannot be used     130  interrupted, the ledger is kept
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="a GeoTIFF or any other image")
    parser.add_argument("phrases", metavar="PHRASE", nargs="*", help='kinds of things, as in "ships" "planes"')
    parser.add_argument(
        "--out",
        action="append",
        required=True,
        metavar="FILE",
        help=".gpkg .geojson .fgb .parquet .tif .png; may repeat",
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
    parser.add_argument("--hd-num", type=int, default=9, metavar="N", help="how finely to divide (default: 9)")
    parser.add_argument("--restart", action="store_true", help="forget what an ended job has recorded")
    parser.add_argument("--retry-failed", action="store_true", help="ask windows that failed again")
    parser.add_argument("--no-page", dest="page", action="store_false", help="write no page to look at beside FILE")
    parser.add_argument("--keep-job", action="store_true", help="keep the ledger FILE.job")


def run(args: argparse.Namespace) -> int:
    """Run or go on with the job; returns the exit code: 7 where windows failed, 130 when interrupted."""
    from ..errors import SceneIncompleteError
    from ..pipeline import Pipeline
    from ..scenes.opening import Scene
    from ..scenes.phrases import check_phrases
    from ..scenes.pipeline_scene import scene_of
    from ..stop import StopToken
    from ..writers.layers.publishing import check_outputs

    options = options_of(args)
    # What is wrong with the command is told before a large engine is verified and loaded.
    if args.phrases or not args.describe:
        check_phrases(args.phrases, args.per_window)
    source = Path(args.image).absolute()
    check_outputs(args.out, source, args.page)
    Scene(source).state()
    stop = StopToken()
    _end_on_interrupt(stop)
    pipeline = Pipeline(args.engine, device=args.device, threads=args.threads, memory=args.memory)
    shown = json_lines if args.json else Line().show
    try:
        found = scene_of(
            pipeline, source, args.phrases, args.out, options, on_progress=shown, stop=stop, keep_objects=False
        )
    except SceneIncompleteError as error:
        if stop.reason is None:
            raise
        tell(["", str(error)])
        return EXIT_INTERRUPTED
    _report(found, args.json)
    if found.failed:
        raise SceneIncompleteError(
            f"{found.failed} of {found.windows} windows failed, see the layer of windows; give the same command with "
            "--retry-failed"
        )
    return 0


def _end_on_interrupt(stop: StopToken) -> None:
    """Ctrl-C ends the job after the current window; a second one at once."""

    def first(number: int, frame: Any) -> None:
        stop.set("cancelled")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nending after this window; Ctrl-C again ends at once", file=sys.stderr)

    signal.signal(signal.SIGINT, first)


def _report(found: SceneResult, as_json: bool) -> None:
    if as_json:
        paths = [str(path) for path in found.paths]
        told = {"objects": found.counts, "windows": found.windows, "empty": found.empty, "failed": found.failed}
        write_json({**told, "notes": found.notes, "paths": paths})
        return
    for phrase, number in found.counts.items():
        print(f"{number} {phrase}")
    asked = found.windows - found.empty
    tell([f"{asked} windows asked, {found.empty} without pixels", *(f"note: {note}" for note in found.notes)])
    tell([f"wrote {path}" for path in found.paths])
