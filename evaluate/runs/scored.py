"""`python -m evaluate score` and `compare`: from folders of answers to reports."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from geopixel_edge.cli.terminal import table

from ..data.generated import folder_of
from ..data.geopixeld import GeoPixelD
from ..data.opening import open_dataset
from ..data.raster import RASTERS
from ..data.rrsisd import RrsisD
from ..errors import RunError
from ..files import write_bytes, write_json
from ..metrics.embedding import open_similarity
from ..metrics.java import Java
from . import compare as comparing
from . import gallery
from .asking import ask
from .ledger import RUN, Run
from .pictures import Picture
from .report import figure, labelled, note, page, percent, rows, with_interval, write_report
from .report import table as html_table
from .score import (
    Measures,
    Predictions,
    Report,
    as_told,
    check_same_data,
    score_coco_truth,
    score_geopixeld,
    score_rrsisd,
)


@contextmanager
def measures(similarity: str, with_java: bool) -> Iterator[Measures]:
    """Both ways of comparing texts; Java's process ends with the block."""
    java: Java | str = Java.find() if with_java else "no Java was asked for (--no-java)"
    try:
        yield Measures(open_similarity(similarity), java)
    finally:
        if isinstance(java, Java):
            java.close()


def score(args: argparse.Namespace) -> int:
    """Score runs, or prediction files, print the figures and write the report."""
    runs = [Run.open(root) for root in args.runs]
    if bool(runs) == (args.predictions is not None):
        raise RunError("give either runs or --predictions DIR, and not both")
    with measures(args.similarity, not args.no_java) as found:
        predictions = Predictions.of_runs(runs) if runs else Predictions.of_files(args.predictions)
        if args.truth is not None:
            report, pictures = _of_coco_truth(args, predictions, found), list[Picture]()
        else:
            data = data_of(args, runs)
            report, pictures = scored(data, predictions, found, args.partial, args.truth_raster)
    out = args.out or (args.runs[0] if runs else None)
    print_figures(report)
    if out is not None:
        for path in write_report(out, report, pictures):
            print(path)
    return 0


def _of_coco_truth(args: argparse.Namespace, predictions: Predictions, found: Measures) -> Report:
    if predictions.origin["task"] != "rsgcg":
        raise RunError("--truth holds RS-GCG's truth, the run is of rrsisd; give --data")
    return score_coco_truth(args.truth, (args.split or ["test"])[0], predictions, found, args.partial)


def data_of(args: argparse.Namespace, runs: Sequence[Run]) -> GeoPixelD | RrsisD:
    """The data set of the runs, or the one that is given; RunError where they are not the same."""
    if not runs:
        if args.data is None:
            raise RunError("--predictions needs the truth beside it: give --data or --truth")
        return open_dataset("rsgcg", args.data, args.split or ["test"], None, args.allow_missing)
    run = runs[0]
    root = args.data or Path(run.setting("data"))
    missing = bool(run.key.get("allow_missing")) or args.allow_missing
    data = open_dataset(run.task, root, run.setting("splits"), run.setting("question"), missing)
    check_same_data(data, runs)
    return data


def scored(
    data: GeoPixelD | RrsisD, predictions: Predictions, found: Measures, partial: bool, raster: str
) -> tuple[Report, list[Picture]]:
    """The report and its pictures; `raster` "both" draws the published truth in both ways, the strict one filled."""
    if isinstance(data, RrsisD):
        report = score_rrsisd(data, predictions, partial)
        return report, gallery.of_rrsisd(data, predictions, report)
    rasters = RASTERS if raster == "both" else (raster,)
    report = score_geopixeld(data, predictions, found, partial, rasters)
    return report, gallery.of_geopixeld(data, predictions, report)


def print_figures(report: Report) -> None:
    """The tables of figures, reasons left to the report."""
    for title, header, lines in rows(report):
        short = [line[: len(header) - 1] if len(header) > 2 else line for line in lines]
        print(f"{title}\n{table(header[:-1] if len(header) > 2 else header, short)}\n")
    for one in report["exclusions"]:
        print(f"{one['count']} of {one['what']}")
    if report["partial"]:
        print("partial: not every image has a prediction")


def compare(args: argparse.Namespace) -> int:
    """Ask both engines, or take both runs, and say what changed."""
    runs = []
    data_root = args.data and folder_of(args.data, args.task, args.out)
    for name, engine in (("a", args.first), ("b", args.second)):
        if (Path(engine) / RUN).is_file():
            runs.append(Run.open(Path(engine)))
            continue
        if data_root is None:
            raise RunError(f"{engine!r} is an engine, so --data must say what to ask it about")
        one = copy.copy(args)
        one.engine, one.data, one.out, one.shard = engine, data_root, args.out / name, "1/1"
        ask(one)
        runs.append(Run.open(one.out))
    comparing.check_same_questions(*runs)
    one = copy.copy(args)
    one.split = None
    one.data = data_root
    data = data_of(one, runs[:1])
    check_same_data(data, runs)
    both = [Predictions.of_runs([run]) for run in runs]
    images, left_out = comparing.answered_by_both(data, both)
    with measures(args.similarity, not args.no_java) as found:
        figures, told = comparing.figures(data, both, images, found)
        similarity = {"similarity": found.similarity.name} if isinstance(data, GeoPixelD) else {}
    changes = comparing.changes(runs[0], runs[1], images)
    report = {
        "comparison": 1,
        "images": len(images),
        "exclusions": as_told([*left_out, *told]),
        **similarity,
        "agreement": comparing.agreement(changes),
        "figures": figures,
    }
    origin = {name: dict(run.key) for name, run in zip(("first", "second"), runs, strict=True)}
    paths = {item.image_id: item.path for item in data.items}
    pictures = comparing.most_changed(runs[0], runs[1], changes, paths)
    _write_comparison(args.out, {**report, **origin}, pictures)
    return 0


def _write_comparison(out: Path, report: Report, pictures: Sequence[Picture]) -> None:
    agreed = report["agreement"]
    lines = [["questions", str(agreed["questions"])]]
    lines += [[name.replace("_", " "), percent(agreed[name])] for name in ("same_text", "same_masks")]
    lines += [[f"mean {name}", with_interval(agreed[name])] for name in ("edit", "mask IoU")]
    header = ["figure", "first", "second", "second - first (95 %)", "images better", "worse"]
    paired = []
    for name, one in report["figures"].items():
        means = [percent(one["first"]), percent(one["second"]), with_interval(one["difference"])]
        moved = ["-" if one[which] is None else str(one[which]) for which in ("better", "worse")]
        paired.append([labelled(name, report.get("similarity")), *means, *moved])
    counted = [f"{one['count']} of {one['what']}" for one in report["exclusions"]]
    print(f"{report['images']} images", *counted, sep="\n")
    print(table(["agreement", "value"], lines), table(header, paired), sep="\n\n")
    parts = [f"<h1>{report['images']} images</h1>", *map(note, counted)]
    parts += [html_table(["agreement", "value"], lines), html_table(header, paired), *map(figure, pictures)]
    write_json(out / "comparison.json", report, indent=1)
    write_bytes(out / "comparison.html", page("Two engines", parts).encode("utf-8", "replace"))
    print(out / "comparison.html")
