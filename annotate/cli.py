"""The command line: annotate a source, or apply what a reviewer decided."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from geopixel_edge.cli.command import run_command
from geopixel_edge.json_text import encode_json

from .describers.choosing import describer_of
from .describers.openai import Options
from .job import Job, Outcome
from .names import PROFILES
from .patch import apply
from .prompts import Prompts, load_prompts
from .round_trip import RoundTrip
from .settings import SPLITS, Settings, parse_shard
from .sources import open_source

_EPILOG = """\
examples:
  python -m annotate instances.json out --images pictures --describer rules
  python -m annotate scenes:0-99 out --describer openai:http://127.0.0.1:8000/v1,MODEL --profile published
  python -m annotate apply out/review/patch.json

SOURCE is a COCO .json file (iSAID's too), a folder of DOTA labels, or scenes:FIRST-LAST of generated scenes. A run that
was ended in any way goes on with the same command.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m annotate",
        description="Instance masks become grounded conversations in GeoPixelD's layout.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE", help="what to annotate; or `apply`, with a patch in place of OUT")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder of the data set")
    parser.add_argument("--images", type=Path, help="folder of the pictures (default: beside the annotations)")
    parser.add_argument("--describer", help="rules, openai:URL,MODEL or engine:DIR")
    parser.add_argument("--profile", choices=PROFILES, default="strict", help="who stands alone, how it is told")
    parser.add_argument("--split", choices=SPLITS, default="train", help="split to write (default: train)")
    parser.add_argument("--shard", default="1/1", metavar="K/N", help="part K of N; each can run on its own machine")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other wordings (default: 0)")
    parser.add_argument("--prompts", type=Path, help="JSON file of templates in place of the own ones")
    parser.add_argument("--tint", type=float, default=0.0, help="colour the masks this strongly, 0 to 0.8 (default: 0)")
    parser.add_argument("--marks", action="store_true", help="keep the pictures with marks in OUT/marks")
    parser.add_argument("--merge", choices=("rules", "describer"), default="rules", help="who joins the sentences")
    parser.add_argument("--round-trip", metavar="DIR", help="an engine that looks for each phrase, or bundled")
    parser.add_argument("--batch-marks", action="store_true", help="ask about all marks of a picture at once")
    parser.add_argument("--both", action="store_true", help="send the picture without marks beside the marked one")
    asked = parser.add_argument_group("an openai: describer")
    asked.add_argument("--allow-remote", action="store_true", help="let pictures leave this machine")
    asked.add_argument("--key-variable", default="", metavar="NAME", help="environment variable that holds the key")
    asked.add_argument("--timeout", type=float, default=120.0, help="seconds for one reply (default: 120)")
    asked.add_argument("--tries", type=int, default=4, help="how often a question is put (default: 4)")
    asked.add_argument(
        "--input-side", type=int, metavar="PX", help="longer side the model sees pictures at, if smaller"
    )
    asked.add_argument("--budget-tokens", type=int, help="end the run once it has cost so many tokens")
    asked.add_argument("--budget-requests", type=int, help="end the run after so many questions")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    return parser


def _progress(names: list[str]) -> Iterator[str]:
    """The ids, with a count on a terminal."""
    shown = sys.stderr.isatty()
    for number, name in enumerate(names, 1):
        yield name
        if shown:
            print(f"\r{number}/{len(names)}", end="" if number < len(names) else "\n", file=sys.stderr, flush=True)


def _annotate(args: argparse.Namespace) -> int:
    settings = Settings(
        args.profile,
        args.split,
        parse_shard(args.shard),
        args.seed,
        args.tint,
        args.merge == "describer",
        args.marks,
        load_prompts(args.prompts) if args.prompts else Prompts(),
        args.batch_marks,
        args.both,
    )
    options = Options(args.allow_remote, args.key_variable, args.timeout, args.tries, input_side_px=args.input_side)
    source = open_source(args.source, args.images)
    with contextlib.ExitStack() as held:
        describer = describer_of(args.describer, options, settings)
        held.callback(describer.close)
        round_trip = RoundTrip(args.round_trip) if args.round_trip else None
        if round_trip is not None:
            held.callback(round_trip.close)
        job = Job(source, args.out, describer, settings, round_trip)
        outcome = job.run(args.budget_tokens, args.budget_requests, _progress)
    _tell(args.out, outcome, args.json)
    return 0


def _tell(out: Path, outcome: Outcome, as_json: bool) -> None:
    if as_json:
        found: dict[str, Any] = {"pictures": outcome.pictures, "new": outcome.new, "missing": outcome.missing}
        print(encode_json({**found, "summary": outcome.summary}, indent=1).decode(), end="")
        return
    print(f"{outcome.pictures} pictures in this shard, {outcome.new} annotated now")
    if outcome.summary is None:
        print(f"{outcome.missing} pictures of other shards are missing; the last shard writes the index")
        return
    for name in ("pictures", "sentences", "findings", "left_out"):
        counts = ", ".join(f"{count} {what}" for what, count in outcome.summary[name].items()) or "none"
        print(f"{name.replace('_', ' ')}: {counts}")
    print(f"{out / 'GeoPixelD'}: {outcome.summary['masks']} masks; review {out / 'review'}")


def _main(argv: Sequence[str] | None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    if args.source == "apply":
        done = apply(args.out)
        print(
            encode_json(done, indent=1).decode()
            if args.json
            else f"{done['sentences']} decisions in {done['pictures']} pictures"
        )
        for pair, kappa in done["agreement"].items() if not args.json else ():
            print(f"agreement of {pair}: Cohen's kappa {kappa}")
        return 0
    if not args.describer:
        parser.error("--describer is missing; give rules, openai:URL,MODEL or engine:DIR")
    return _annotate(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(
        lambda: _main(argv), interrupted="interrupted: what was annotated is kept; the same command goes on"
    )
