"""What the verbs `ask` and `segment` share: put a question, and print the answer as it comes."""

from __future__ import annotations

import argparse
import sys

from ..options import AskOptions
from .arguments import tell
from .placing import bands_of, given_by, opening
from .streams import write_json
from .words import is_there, looks_like_a_file


def check_text(args: argparse.Namespace, text: str, kind: str) -> None:
    """A usage error when a file, or what looks like the name of one, stands where the question or phrase should."""
    if is_there(text):
        args.parser.error(f"the {kind} is missing: the last word, {text!r}, is a file or directory")
    if looks_like_a_file(text):
        args.parser.error(
            f"the {kind} is missing: the last word, {text!r}, looks like the name of a file, and there is none; "
            f"correct the path and put the {kind} behind it"
        )


def answer(
    args: argparse.Namespace, images: list[str], question: str | None, options: AskOptions, phrase: str | None
) -> int:
    """Ask, and print what comes; with a `phrase`, asked for as the engine's family does where there is no question,
    only the regions, each called by it unless the model has a name.
    """
    from ..images import open_images
    from ..pipeline import Pipeline
    from ..writers.files import check_place
    from .terminal import Painter, printable, regions_table, timings_table, wants_colour, write_stream

    # A wrong path, or a place that would not take the answer, is told before a large engine is verified and loaded.
    loaded = open_images(images or None, bands_of(args), given_by(args), None)
    if args.out is not None:
        check_place(args.out, [image.path for image in loaded if image.path is not None])
    pipeline = Pipeline(args.engine, device=args.device, threads=args.threads, memory=args.memory)
    painter = Painter(wants_colour(sys.stdout))
    prose = phrase is None and not args.json
    # A raster is stretched to what the engine learnt from, which is known now.
    wide = any(image.reading is not None for image in loaded)
    place = opening(args) if wide else {}
    with pipeline.open((images if wide else loaded) or None, hd_num=args.hd_num, **place) as opened:
        stream = opened.stream(question or pipeline.model.family.segment_query(phrase or ""), options)
        if prose and sys.stdout.isatty():
            write_stream(stream, sys.stdout, painter)
        found = stream.answer if phrase is None else stream.answer.with_phrase(phrase)
    if args.json:
        write_json(found.to_dict())
    else:
        if prose and not sys.stdout.isatty():
            print(printable(found.text))
        if found.regions:
            print(regions_table(found.regions, painter))
        elif phrase is not None:
            print("no regions")
    tell([f"note: {note}" for note in found.notes])
    if args.verbose:
        tell([f"device {pipeline.placement}", timings_table(found.timings)])
    if args.out is not None:
        tell([f"wrote {path}" for path in found.save(args.out)])
    return 0
