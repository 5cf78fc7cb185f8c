"""`geopixel-edge ask`: a question about an image, several, or none."""

from __future__ import annotations

import argparse

from .arguments import add_generation, add_json
from .placing import add_place

SUMMARY = "answer a question about an image (or several, or none)"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.usage = "geopixel-edge ask [IMAGE ...] QUESTION [options]"
    parser.add_argument(
        "words", nargs="+", metavar="IMAGE ... QUESTION", help="images first, if any; the question last"
    )
    add_json(parser)
    add_generation(parser)
    add_place(parser)
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (default); higher is more varied")
    parser.add_argument("--top-p", type=float, default=1.0, help="draw from the likeliest tokens of this probability")
    parser.add_argument("--seed", type=int, help="repeat a draw")
    parser.add_argument("--compat", action="store_true", help="refuse or drop what the original model would lose")


def run(args: argparse.Namespace) -> int:
    """Ask and print; returns the exit code."""
    from ..options import AskOptions
    from .asking import answer

    *images, question = args.words
    options = AskOptions(
        max_new_tokens=args.max_new_tokens,
        deadline_s=args.deadline_s,
        temperature=args.temperature,
        top_p=args.top_p,
        seed=args.seed,
        compat=args.compat,
    )
    return answer(args, images, question, options, None)
