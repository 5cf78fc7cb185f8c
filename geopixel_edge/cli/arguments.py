"""Arguments that several verbs share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def add_engine(parser: argparse.ArgumentParser) -> None:
    """The engine directory as the only positional."""
    parser.add_argument("engine", type=Path, metavar="ENGINE", nargs="?", help="default: the bundled one")


def add_machine(parser: argparse.ArgumentParser) -> None:
    """What the engine runs on."""
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda[:N] or tensorrt[:N]")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads per block (default: every core)")
    parser.add_argument("--memory", metavar="SIZE", help="take at most so much, as 6GB or 512MiB (default: no limit)")


def add_generation(parser: argparse.ArgumentParser) -> None:
    """The engine, the machine, and how long an answer may be."""
    parser.add_argument(
        "--engine", type=Path, metavar="DIR", help="what `geopixel-edge export` wrote (default: the bundled engine)"
    )
    parser.add_argument("--out", metavar="DIR", help="save report.html, overlay.png, regions.geojson, ...")
    add_machine(parser)
    parser.add_argument("--hd-num", type=int, default=9, metavar="N", help="how finely to divide (default: 9)")
    parser.add_argument("--max-new-tokens", type=int, default=1024, metavar="N", help="length limit (default: 1024)")
    parser.add_argument("--deadline-s", type=float, metavar="S", help="end with what is known after S seconds")
    parser.add_argument(
        "--verbose", action="store_true", help="print the device, and seconds and bytes by stage, to standard error"
    )


def tell(lines: Iterable[str]) -> None:
    """Lines for people, on standard error."""
    from .terminal import printable

    for line in lines:
        print(printable(line), file=sys.stderr)
