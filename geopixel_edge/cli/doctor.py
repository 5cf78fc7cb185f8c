"""`geopixel-edge doctor`: what this machine offers and what is missing."""

from __future__ import annotations

import argparse

from .arguments import add_json
from .streams import write_json

SUMMARY = "show what this machine offers and what is missing"
EXIT_MISSING = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Examine and print; returns the exit code."""
    from . import machine

    findings = machine.examine()
    if args.json:
        write_json(machine.document(findings))
    else:
        print(machine.describe(findings))
    return 0 if all(finding.ok for finding in findings) else EXIT_MISSING
