"""The command line: `geopixel-edge ask | segment | info | verify | doctor`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..version import __version__
from .command import run_command
from .streams import write_json
from .verbs import add_installed
from .words import is_there, looks_like_a_file

_EPILOG = """\
examples:
  geopixel-edge ask scene.png "Describe this image with interleaved segmentation masks." --out out
  geopixel-edge ask before.png after.png "<ImageHere> or <ImageHere>: which shows more ships?" --engine engine
  geopixel-edge ask "What is a pier?" --engine engine
  geopixel-edge segment scene.png "the red ship" --json
  geopixel-edge verify engine
  geopixel-edge doctor

exit codes:
  0  done                      4  the engine directory cannot be used or fails its checks
  1  any other error           5  runtime, device, kernel, memory or thread is missing
  2  usage                     6  the result cannot be written
  3  image, question or option cannot be used       130  interrupted    141  the reader of the output went away
"""
_EXIT_MISMATCH, _EXIT_MISSING = 4, 5
_OWN = ("ask", "segment", "info", "verify", "doctor")


def _parser(with_installed: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="geopixel-edge",
        description="Questions about aerial and satellite images, answered with pixel masks.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"geopixel-edge {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.set_defaults(run=run, parser=made)
        made.add_argument("--json", action="store_true", help="print one JSON object instead of text")
        return made

    ask = command("ask", _ask, "answer a question about an image (or several, or none)")
    ask.usage = "geopixel-edge ask [IMAGE ...] QUESTION [options]"
    ask.add_argument("words", nargs="+", metavar="IMAGE ... QUESTION", help="images first, if any; the question last")
    _add_generation(ask)
    ask.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (default); higher is more varied")
    ask.add_argument("--top-p", type=float, default=1.0, help="draw from the likeliest tokens of this probability")
    ask.add_argument("--seed", type=int, help="repeat a draw")
    ask.add_argument("--compat", action="store_true", help="refuse or drop what the original model would lose")
    segment = command("segment", _segment, "find what a phrase names, without prose")
    segment.add_argument("image", metavar="IMAGE")
    segment.add_argument("phrase", metavar="PHRASE", help='what to look for, as in "the red ship"')
    _add_generation(segment)
    info = command("info", _info, "show what an engine directory holds, without loading it")
    _add_engine(info)
    verify = command("verify", _verify, "check an engine's hashes and compare every block with its golden values")
    _add_engine(verify)
    _add_machine(verify)
    command("doctor", _doctor, "show what this machine offers and what is missing")
    if with_installed:
        add_installed(commands)
    return parser


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("engine", type=Path, metavar="ENGINE", nargs="?", help="default: the bundled one")


def _add_machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads per block (default: every core)")


def _add_generation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine", type=Path, metavar="DIR", help="what `geopixel-edge export` wrote (default: the bundled engine)"
    )
    parser.add_argument("--out", metavar="DIR", help="save report.html, overlay.png, regions.geojson, ...")
    _add_machine(parser)
    parser.add_argument("--hd-num", type=int, default=9, metavar="N", help="how finely to divide (default: 9)")
    parser.add_argument("--max-new-tokens", type=int, default=1024, metavar="N", help="length limit (default: 1024)")
    parser.add_argument("--deadline-s", type=float, metavar="S", help="end with what is known after S seconds")
    parser.add_argument("--verbose", action="store_true", help="print seconds and bytes by stage to standard error")


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
    parser = _parser(with_installed=first not in _OWN)
    args, rest = parser.parse_known_args(argv)
    if rest and (args.command != "ask" or any(word.startswith("-") for word in rest)):
        args.parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if args.command == "ask":
        args.words += rest
        _check_text(args, args.words[-1], "question")
    elif args.command == "segment":
        _check_text(args, args.phrase, "phrase")
    return args


def _check_text(args: argparse.Namespace, text: str, kind: str) -> None:
    """A usage error when a file, or what looks like the name of one, stands where the question or phrase should."""
    if is_there(text):
        args.parser.error(f"the {kind} is missing: the last word, {text!r}, is a file or directory")
    if looks_like_a_file(text):
        args.parser.error(
            f"the {kind} is missing: the last word, {text!r}, looks like the name of a file, and there is none; "
            f"correct the path and put the {kind} behind it"
        )


# --- Asking -----------------------------------------------------------------------------------------------


def _ask(args: argparse.Namespace) -> int:
    *images, question = args.words
    sampling = {"temperature": args.temperature, "top_p": args.top_p, "seed": args.seed, "compat": args.compat}
    return _answer(args, images, question, sampling, None)


def _segment(args: argparse.Namespace) -> int:
    from ..families.prompt import check_phrase
    from ..session import SEGMENT_QUERY

    check_phrase(args.phrase)
    return _answer(args, [args.image], SEGMENT_QUERY.format(args.phrase), {}, args.phrase)


def _answer(
    args: argparse.Namespace, images: list[str], question: str, options: dict[str, Any], phrase: str | None
) -> int:
    """Ask, and print what comes; with a `phrase` only the regions, each called by it unless the model has a name."""
    from ..images import load_image
    from ..pipeline import Pipeline
    from ..writers.files import check_place
    from .terminal import Painter, printable, regions_table, timings_table, wants_colour, write_stream

    # A wrong path, or a place that would not take the answer, is told before a large engine is verified and loaded.
    loaded = [load_image(image) for image in images]
    if args.out is not None:
        check_place(args.out, [image.path for image in loaded if image.path is not None])
    del loaded
    pipeline = Pipeline(args.engine, device=args.device, threads=args.threads)
    painter = Painter(wants_colour(sys.stdout))
    prose = phrase is None and not args.json
    with pipeline.open(images or None, hd_num=args.hd_num) as opened:
        stream = opened.stream(question, max_new_tokens=args.max_new_tokens, deadline_s=args.deadline_s, **options)
        if prose and sys.stdout.isatty():
            write_stream(stream, sys.stdout, painter)
        answer = stream.answer if phrase is None else stream.answer.with_phrase(phrase)
    if args.json:
        write_json(answer.to_dict())
    else:
        if prose and not sys.stdout.isatty():
            print(printable(answer.text))
        if answer.regions:
            print(regions_table(answer.regions, painter))
        elif phrase is not None:
            print("no regions")
    _tell([f"note: {note}" for note in answer.notes])
    if args.verbose:
        _tell([timings_table(answer.timings)])
    if args.out is not None:
        _tell([f"wrote {path}" for path in answer.save(args.out)])
    return 0


def _tell(lines: list[str]) -> None:
    from .terminal import printable

    for line in lines:
        print(printable(line), file=sys.stderr)


# --- Engines and machines ---------------------------------------------------------------------------------


def _info(args: argparse.Namespace) -> int:
    import msgspec

    from ..engine import BUNDLED
    from ..engine.directory import read_manifest
    from .describe import describe

    root = args.engine or BUNDLED
    manifest = read_manifest(root)
    if args.json:
        write_json(msgspec.to_builtins(manifest))
    else:
        print(describe(root, manifest))
    return 0


def _verify(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from ..engine.golden import NO_RECORD, verify
    from ..pipeline import Pipeline
    from .describe import describe_checks

    pipeline = Pipeline(args.engine, device=args.device, threads=args.threads)
    checks = verify(pipeline)
    passed = all(check.passed for check in checks)
    notes = [NO_RECORD] if all(check.drift is None for check in checks) else []
    if args.json:
        rows = [{**asdict(check), "passed": check.passed} for check in checks]
        write_json({"engine_dir": str(pipeline.engine.root), "passed": passed, "checks": rows, "notes": notes})
    else:
        print(describe_checks(checks))
        for note in notes:
            print(f"note: {note}")
        print("every file and every block is as exported" if passed else "this engine does not give its golden values")
    return 0 if passed else _EXIT_MISMATCH


def _doctor(args: argparse.Namespace) -> int:
    from . import doctor

    findings = doctor.examine()
    if args.json:
        write_json(doctor.document(findings))
    else:
        print(doctor.describe(findings))
    return 0 if all(finding.ok for finding in findings) else _EXIT_MISSING
