"""`geopixel-edge doctor`: what this machine offers and what is missing."""

from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import add_json
from .streams import write_json

SUMMARY = "show what this machine offers and what is missing"
EXIT_MISSING = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_json(parser)
    parser.add_argument("engines", nargs="*", type=Path, metavar="ENGINE", help="say, too, what these need of it")


def run(args: argparse.Namespace) -> int:
    """Examine and print; returns the exit code."""
    from . import finding, machine

    findings = machine.examine(args.engines)
    if args.json:
        write_json(finding.document(findings))
    else:
        print(finding.describe(findings))
    return 0 if all(finding.ok for finding in findings) else EXIT_MISSING
