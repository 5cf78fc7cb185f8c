"""The commands of `python -m evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from geopixel_edge.cli.command import run_command
from geopixel_edge.cli.terminal import table
from synthetic.scenes import EVALUATION_SEED

from .check import check
from .data.geopixeld import GeoPixelD
from .data.glamm import truth_documents, truth_names
from .data.miniature import LAYOUTS, write_miniature
from .data.questions import DEFAULT, PUBLISHED, in_index
from .data.raster import RASTERS
from .errors import EvaluationError
from .files import write_json
from .metrics.java import Java
from .runs.asking import ask
from .runs.scored import compare, score

CASES = Path(__file__).parents[1] / "tests" / "data" / "evaluation"


def _check(args: argparse.Namespace) -> int:
    java = "no Java was asked for (--no-java)" if args.no_java else Java.find()
    try:
        found = check(args.dir, None if isinstance(java, str) else java)
    finally:
        if isinstance(java, Java):
            java.close()
    wrong = [one for one in found if not one.right]
    for one in wrong:
        print(f"{one.case}: {one.figure} is off by {one.value:g}, {one.allowed:g} is allowed")
    cases = len({one.case for one in found})
    print(f"{len(found)} figures of {cases} cases, {len(wrong)} wrong")
    if isinstance(java, str):
        print(f"METEOR and Stanford's tokeniser were not judged: {java}")
    return 1 if wrong else 0


def _miniature(args: argparse.Namespace) -> int:
    count = write_miniature(args.out, args.layout, args.images, args.seed, args.size)
    print(f"{args.out}: {args.images} images, {count} masks in the layout of {args.layout}")
    return 0


def _questions(args: argparse.Namespace) -> int:
    rows = [[name, "published", text] for name, text in PUBLISHED.items()]
    if args.data is not None:
        found = in_index(args.data)
        rows += [[str(at), str(count), text] for at, (text, count) in enumerate(found.items(), 1)]
    print(table(["--question", "images", "words"], rows))
    return 0


def _truth(args: argparse.Namespace) -> int:
    data = GeoPixelD(args.data, args.split, allow_missing=True)
    triples = ((image, data.size(image), data.truth(image, args.truth_raster)[0]) for image in data.annotations)
    for name, document in zip(truth_names(args.split), truth_documents(triples), strict=True):
        write_json(args.out / name, document)
        print(args.out / name)
    return 0


def _asking(parser: argparse.ArgumentParser) -> None:
    """What every command that asks an engine takes."""
    told = (
        f"RS-GCG: {', '.join(PUBLISHED)}, a number of the index, or words (default: {DEFAULT}); RRSIS-D: {{}} is asked"
    )
    parser.add_argument("--question", help=told)
    parser.add_argument("--hd-num", type=int, default=9, help="views an image is divided into at most (default: 9)")
    parser.add_argument("--max-new-tokens", type=int, default=300, help="longest answer (default: 300)")
    parser.add_argument("--compat", action="store_true", help="keep the original's habits, as the tables do")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, help="CPU threads (default: every core)")
    parser.add_argument("--limit", type=int, help="ask about the first images alone")
    parser.add_argument("--allow-missing", action="store_true", help="count missing images as unanswered")
    parser.add_argument("--ray", nargs="?", const="", metavar="ADDRESS", help="ask on a Ray cluster, or a local one")
    parser.add_argument("--workers", type=int, default=1, help="engines on the Ray cluster (default: 1)")


def _scoring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--similarity", default="words", help="words, table:FILE, bert:DIR or onnx-bert:DIR")


def parser() -> argparse.ArgumentParser:
    """All commands."""
    top = argparse.ArgumentParser(prog="python -m evaluate", description="RS-GCG and RRSIS-D, as published and strict.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("check", help="judge the figures by cases of the original scorers")
    one.add_argument("dir", nargs="?", type=Path, default=CASES)
    one.add_argument("--no-java", action="store_true", help="leave METEOR and Stanford's tokeniser out")
    one.set_defaults(run=_check)
    one = commands.add_parser("miniature", help="write a generated data set in a published layout")
    one.add_argument("out", type=Path)
    one.add_argument("--layout", choices=LAYOUTS, required=True)
    one.add_argument("--images", type=int, default=20)
    one.add_argument("--seed", type=int, default=EVALUATION_SEED, help="first scene (default: %(default)s)")
    one.add_argument("--size", type=int, default=256, help="side in pixels (default: %(default)s)")
    one.set_defaults(run=_miniature)
    for task, splits in (("rsgcg", "test or train"), ("rrsisd", "train, val or test, several together")):
        one = commands.add_parser(task, help=f"ask an engine about {'GeoPixelD' if task == 'rsgcg' else 'RRSIS-D'}")
        one.add_argument("engine", help="an engine's folder, or bundled")
        one.add_argument("--data", type=Path, required=True, help="its folder, or scenes:FIRST-LAST[,SIDE], generated")
        one.add_argument("--out", type=Path, required=True, help="the run's folder; the same command goes on there")
        one.add_argument("--split", nargs="+", default=["test"], help=f"{splits} (default: test)")
        one.add_argument("--shard", default="1/1", help="a part of the images, as in 3/8")
        _asking(one)
        one.set_defaults(run=ask, task=task)
    _add_score(commands.add_parser("score", help="figures and a report of runs, or of anyone's prediction files"))
    _add_compare(commands.add_parser("compare", help="what changes from one engine or run to another"))
    one = commands.add_parser("questions", help="list the wordings of GeoPixelD's question")
    one.add_argument("--data", type=Path, help="also those that its index asks")
    one.set_defaults(run=_questions)
    one = commands.add_parser("truth", help="write GeoPixelD's truth as groundingLMM's script reads it")
    one.add_argument("--data", type=Path, required=True)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--split", default="test", choices=("test", "train"))
    one.add_argument("--truth-raster", default="fill", choices=RASTERS)
    one.set_defaults(run=_truth)
    return top


def _add_score(one: argparse.ArgumentParser) -> None:
    one.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="a run's folder; several are shards of one")
    one.add_argument("--predictions", type=Path, help="a folder of groundingLMM's prediction files instead")
    one.add_argument("--data", type=Path, help="the data set, where it is elsewhere now")
    one.add_argument("--truth", type=Path, help="a folder of groundingLMM's truth files instead")
    one.add_argument("--split", nargs="+", help="of --predictions (default: test)")
    one.add_argument("--truth-raster", default="both", choices=("both", *RASTERS), help="how truth is drawn")
    one.add_argument("--partial", action="store_true", help="score what is there, and mark every figure")
    one.add_argument("--allow-missing", action="store_true", help="count missing images as unanswered")
    one.add_argument("--no-java", action="store_true", help="no METEOR, and a simple tokeniser for CIDEr")
    one.add_argument("--out", type=Path, help="where the report goes (default: the first run's folder)")
    _scoring(one)
    one.set_defaults(run=score)


def _add_compare(one: argparse.ArgumentParser) -> None:
    one.add_argument("first", help="an engine's folder, bundled, or a run's folder")
    one.add_argument("second")
    one.add_argument("--data", type=Path)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--task", choices=("rsgcg", "rrsisd"), default="rsgcg")
    one.add_argument("--no-java", action="store_true", help="no METEOR, and a simple tokeniser for CIDEr")
    one.add_argument("--split", nargs="+", default=["test"])
    _asking(one)
    _scoring(one)
    one.set_defaults(run=compare)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = parser().parse_args(argv)
    return run_command(lambda: _run(args), "interrupted; the same command goes on where this one ended")


def _run(args: argparse.Namespace) -> int:
    for name in ("limit", "workers"):
        value = getattr(args, name, None)
        if value is not None and value < 1:
            raise EvaluationError(f"{name}={value} is out of range; give 1 or more")
    return int(args.run(args))
