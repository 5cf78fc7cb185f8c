"""`geopixel-edge build`: an engine directory with its language model in another form."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from .arguments import add_json
from .streams import write_json

SUMMARY = "make an engine directory of another form from one, without the checkpoint"
EPILOG = """\
examples:
  geopixel-edge build engine portable --form portable   # standard operators, opset 24
  geopixel-edge build portable ready                    # for ONNX Runtime, weights quantised in memory as on disk

Weights keep their numbers. The new engine must give its golden values, or nothing is published.

exit codes:
  0  published                                 5  runtime, memory or thread is missing
  2  usage                                     6  nothing was published
  4  the engine directory cannot be used     130  interrupted
"""
_RETURN = "\r\x1b[K"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("engine", type=Path, metavar="ENGINE", help="the engine directory to build from")
    parser.add_argument("target", type=Path, metavar="OUT", help="directory to create")
    parser.add_argument("--runtime", choices=("onnx",), default="onnx", help="what is to run it (default: onnx)")
    parser.add_argument(
        "--form", choices=("ready", "portable"), default="ready", help="of the language model (default: ready)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an engine directory that exists")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Build, check, publish, and print what was checked; returns the exit code."""
    from ..build.forms import build_form
    from .describe import describe_checks

    shown = sys.stderr.isatty()
    checks = build_form(args.engine, args.target, args.form, args.overwrite, _tell if shown else _be_quiet)
    if shown:
        sys.stderr.write(_RETURN)
    if args.json:
        rows = [{**asdict(check), "passed": check.passed} for check in checks]
        write_json({"engine_dir": str(args.target), "runtime": args.runtime, "form": args.form, "checks": rows})
    else:
        print(describe_checks(checks))
        print(f"published {args.target}")
    return 0


def _be_quiet(step: str, done: int, total: int) -> None:
    pass


def _tell(step: str, done: int, total: int) -> None:
    sys.stderr.write(f"{_RETURN}{step}" + (f" {done}/{total}" if total > 1 else ""))
    sys.stderr.flush()
