"""`geopixel-edge segment`: the regions of what a phrase names, without prose."""

from __future__ import annotations

import argparse

from .arguments import add_generation, add_json
from .placing import add_place

SUMMARY = "find what a phrase names, without prose"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument("phrase", metavar="PHRASE", help='what to look for, as in "the red ship"')
    add_json(parser)
    add_generation(parser)
    add_place(parser)


def run(args: argparse.Namespace) -> int:
    """Ask for the mask and print the regions; returns the exit code."""
    from ..options import AskOptions
    from .asking import answer

    options = AskOptions(max_new_tokens=args.max_new_tokens, deadline_s=args.deadline_s)
    return answer(args, [args.image], None, options, args.phrase)
