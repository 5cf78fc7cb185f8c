"""`python -m benchmarks.scale`: GeoPixel-7B's widths with random numbers, beside llama.cpp, OpenVINO, torch, the floor.

A checkpoint of the real keys and shapes is made, exported and measured in `--work`, where a later run finds it again,
and the peaks of the answers that were measured; remove a file there to have its part measured anew.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from geopixel_edge.cli.command import run_command
from geopixel_edge.cli.machine import usable_cores
from geopixel_edge.cli.streams import write_json

from . import growth, report, run

EPILOG = """\
examples:
  python -m benchmarks.scale --work scale --json
  python -m benchmarks.scale --work scale --only decode prefill
  python -m benchmarks.scale --work scale --only growth --plot growth.png
  python -m benchmarks.scale --work scale-whole --whole
"""


def main(argv: list[str] | None = None) -> int:
    """Measure, and print tables or JSON; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--layers", type=int, default=2, help="decoder layers of the slice (default: 2)")
    parser.add_argument(
        "--whole", action="store_true", help="all 32 layers: export, questions, verify; goes on where it stopped"
    )
    parser.add_argument("--work", type=Path, default=Path("build/scale"), help="where checkpoint and engine are kept")
    parser.add_argument("--precision", default="int4", help="of the engine (default: int4)")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="CPU threads (default: every core)")
    parser.add_argument("--turns", type=int, default=7, help="turns that competitors take (default: 7)")
    parser.add_argument(
        "--only", nargs="+", choices=run.PARTS, help="parts to measure (default: all; memory with --whole)"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the part `growth` as a picture, .png")
    parser.add_argument("--json", action="store_true", help="print one JSON object, seconds and bytes")
    args = parser.parse_args(argv)
    found = run.measure_all(args)
    if args.plot and "growth" in found:
        growth.draw(found["growth"], args.plot)
    if args.json:
        write_json(found)
    else:
        print(report.text(found))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
