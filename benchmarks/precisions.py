"""`python -m benchmarks.precisions CHECKPOINT OUT`: what each precision costs in the tables' own figures.

The checkpoint is exported at the precisions people choose from, with `--all` at every variant of them, too; these
engines and the bundled one are asked about generated data sets in
GeoPixelD's and RRSIS-D's layouts, all of it is scored as published and strictly, and each is compared with float32
answer by answer. A run that was ended goes on, and takes in precisions that are new. No times are taken.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from evaluate.cli import main as evaluate
from evaluate.data.glamm import load_json
from evaluate.data.miniature import LAYOUTS, write_miniature
from evaluate.errors import EvaluationError
from evaluate.files import write_json
from evaluate.runs.report import percent
from export.publish import export_engine
from geopixel_edge.cli.command import run_command
from geopixel_edge.cli.terminal import table
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.precision import PRECISIONS

BASE = "fp32"
CHOICES = (BASE, "fp16", "int8", "int4")
TASKS = {"geopixeld": ("rsgcg", "test"), "rrsisd": ("rrsisd", "train val test")}


def every_precision() -> list[str]:
    """CHOICES, then each further variant; of two names for one precision, as int4 and int4:128 are, the first."""
    known: dict[str, str] = {}
    for name in (*CHOICES, *PRECISIONS):
        known.setdefault(repr(replace(PRECISIONS[name], name="")), name)
    return list(known.values())


def exported_as(precision: str) -> str:
    """The precision of all blocks: a variant of int4 stands in int4's mix, in the language model's place."""
    return f"int4,language_model={precision}" if precision.startswith("int4") and precision != "int4" else precision


def measure(
    checkpoint: Path, out: Path, images: int, side_px: int, precisions: Sequence[str], *java: str
) -> dict[str, Any]:
    """Precision -> layout -> figures; EvaluationError where a step fails."""
    for layout in LAYOUTS:
        if not (out / layout).exists():
            write_miniature(out / layout, layout, images, side_px=side_px)
    found: dict[str, Any] = {}
    for precision in (*precisions, "bundled"):
        engine = BUNDLED if precision == "bundled" else out / f"engine-{precision}"
        if not engine.exists():
            export_engine(checkpoint, engine, exported_as(precision))
        found[precision] = {
            layout: _figures(layout, engine, out / f"run-{layout}-{precision}", out, *java) for layout in LAYOUTS
        }
        for layout in LAYOUTS if precision != BASE else ():
            found[precision][layout]["against"] = _against(layout, precision, out, *java)
    return found


def _against(layout: str, precision: str, out: Path, *java: str) -> dict[str, Any]:
    """What changed from float32: how alike texts and masks are, and paired differences of all figures."""
    runs = [str(out / f"run-{layout}-{one}") for one in (BASE, precision)]
    folder = out / f"compared-{layout}-{precision}"
    _evaluate("compare", *runs, "--data", str(out / layout), "--out", str(folder), *java)
    report = load_json(folder / "comparison.json")
    return {name: report[name] for name in ("agreement", "figures")}


def _figures(layout: str, engine: Path, run: Path, out: Path, *java: str) -> dict[str, Any]:
    task, splits = TASKS[layout]
    asked = ["--question", "guide"] if task == "rsgcg" else []  # the one of these that the small model was trained on
    _evaluate(task, str(engine), "--data", str(out / layout), "--out", str(run), "--split", *splits.split(), *asked)
    _evaluate("score", str(run), *java)
    report = load_json(run / "report.json")
    if task == "rrsisd":
        return {name: report[name] for name in ("expressions", "without_mask", "published", "strict")}
    return {"images": report["images"], "captions": report["captions"], **report["parts"]["overall"]}


def _evaluate(*arguments: str) -> None:
    if evaluate(list(arguments)):
        raise EvaluationError(f"{' '.join(arguments[:2])} failed, as it said above; mend it and run the same again")


def rows(found: dict[str, Any]) -> list[list[str]]:
    """A line for each precision: strict figures of RS-GCG and RRSIS-D, and masks' IoU to float32's, times 100."""
    lines = []
    for precision, layouts in found.items():
        strict = [layouts["geopixeld"]["strict"], layouts["rrsisd"]["strict"]]
        values = [strict[0]["recall"], strict[0]["mIoU"], strict[0]["AP50"], strict[1]["P@0.5"], strict[1]["mIoU"]]
        same = [one["against"]["agreement"]["mask IoU"]["value"] for one in layouts.values() if "against" in one]
        lines.append([precision, *(percent(one["value"]) for one in values), *(percent(one) for one in same)])
    return lines


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precisions", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path, help="folder for data, engines and runs")
    parser.add_argument("--images", type=int, default=40, help="of each layout (default: 40)")
    parser.add_argument("--size", type=int, default=512, help="their side in pixels (default: 512)")
    parser.add_argument("--all", action="store_true", help="every variant of a precision that exports")
    parser.add_argument("--no-java", action="store_true", help="no METEOR, and a simple tokeniser for CIDEr")
    args = parser.parse_args(argv)
    java, precisions = ["--no-java"] * args.no_java, every_precision() if args.all else CHOICES
    found = measure(args.checkpoint, args.out, args.images, args.size, precisions, *java)
    settings = {"images": args.images, "side_px": args.size, "checkpoint": args.checkpoint.name}
    write_json(args.out / "precisions.json", {"precisions": 1, **settings, "figures": found}, indent=1)
    header = ["strict", "RS-GCG recall", "mIoU", "AP50", "RRSIS-D P@0.5", "mIoU", "mask IoU to fp32", "and RRSIS-D"]
    print(table(header, [line + ["-"] * (len(header) - len(line)) for line in rows(found)]))
    print(args.out / "precisions.json")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(lambda: _main(argv), "interrupted; the same command goes on where this one ended")


if __name__ == "__main__":
    sys.exit(main())
