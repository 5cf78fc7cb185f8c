"""The command line: one file a verb, and others that installed packages add."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from ..version import __version__
from .command import run_command
from .verbs import add_installed, add_verb

_EPILOG = """\
examples:
  geopixel-edge ask scene.png "Describe this image with interleaved segmentation masks." --out out
  geopixel-edge ask before.png after.png "<ImageHere> or <ImageHere>: which shows more ships?" --engine engine
  geopixel-edge ask "What is a pier?" --engine engine
  geopixel-edge segment scene.png "the red ship" --json
  geopixel-edge scene geo.tif "ships" --out ships.gpkg
  geopixel-edge serve --port 8080
  geopixel-edge verify engine
  geopixel-edge plan --size 4000x3000 --memory 2GB
  geopixel-edge build engine portable --form portable
  geopixel-edge doctor

exit codes:
  0  done                      4  the engine directory cannot be used or fails its checks
  1  any other error           5  runtime, device, kernel, memory or thread is missing
  2  usage                     6  the result cannot be written
  3  image, question or option cannot be used       7  windows of a scene failed
  130  interrupted             141  the reader of the output went away
"""

VERBS = ("ask", "segment", "scene", "serve", "info", "verify", "plan", "build", "doctor")


def _parser(with_installed: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="geopixel-edge",
        description="Questions about aerial and satellite images, answered with pixel masks.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"geopixel-edge {__version__}")
    commands: Any = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in VERBS:
        verb: ModuleType = importlib.import_module(f".{name}", __name__)
        add_verb(commands, name, verb, getattr(verb, "EPILOG", _EPILOG))
    if with_installed:
        add_installed(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code. A GeoPixelError becomes one line on standard error."""

    # NumPy's linear algebra is not used here: its threads would only take memory, and may not be had.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    def run() -> int:
        args = _parse(sys.argv[1:] if argv is None else argv)
        code: int = args.run(args)
        return code

    return run_command(run)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """Arguments; positionals of `ask` may stand on both sides of the options."""
    first = next((word for word in argv if not word.startswith("-")), None)
    parser = _parser(with_installed=first not in VERBS)
    args, rest = parser.parse_known_args(argv)
    from .asking import check_text

    if rest and (args.command != "ask" or any(word.startswith("-") for word in rest)):
        args.parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if args.command == "ask":
        args.words += rest
        check_text(args, args.words[-1], "question")
    elif args.command == "segment":
        check_text(args, args.phrase, "phrase")
    return args
