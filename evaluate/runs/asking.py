"""`python -m evaluate rsgcg|rrsisd ENGINE`: from a data set to a folder of answers, here or on a Ray cluster."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from geopixel_edge import Pipeline
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import manifest_digest, read_manifest

from ..data.dataset import Item
from ..data.generated import folder_of
from ..data.geopixeld import GeoPixelD
from ..data.opening import open_dataset
from ..data.rrsisd import RrsisD
from .ask import Answered, Settings, answers_here, chosen, keep, parse_shard, run_key, waiting
from .ledger import Run


def engine_path(text: str) -> Path:
    """A folder; "bundled" is the small engine in the package."""
    return BUNDLED if text == "bundled" else Path(text)


def settings_of(args: argparse.Namespace, engine: Path) -> Settings:
    """What the command line says about asking."""
    return Settings(engine, args.device, args.threads, args.hd_num, args.max_new_tokens, args.compat)


def ask(args: argparse.Namespace) -> int:
    """Ask what is not answered yet; says what is done and how to score it."""
    shard = parse_shard(args.shard)
    root = folder_of(args.data, args.task, args.out)
    data = open_dataset(args.task, root, args.split, args.question, args.allow_missing, args.out / "cache")
    engine = engine_path(args.engine)
    items = chosen(data.items, shard, args.limit)
    run = begin(args, data, engine, args.out)
    left = waiting(run, items)
    if left:
        keep(run, _answers(args, settings_of(args, engine), left), len(left))
    told = f"{len(items)} of {len(data.items)} images here, {len(items) - len(left)} were answered before"
    print(f"{told}; score with: python -m evaluate score {args.out}")
    for one in data.exclusions:
        print(f"{len(one.images)} of {one.what}", file=sys.stderr)
    return 0


def begin(args: argparse.Namespace, data: GeoPixelD | RrsisD, engine: Path, out: Path) -> Run:
    """The run's folder, of this engine and data set alone."""
    key = run_key(data, data.question, settings_of(args, engine), read_manifest(engine), manifest_digest(engine))
    where = {"data": str(data.root.absolute()), "engine": args.engine}
    return Run.begin(out, {**key, **where, "splits": list(args.split), "allow_missing": args.allow_missing})


def _answers(args: argparse.Namespace, settings: Settings, items: list[Item]) -> Iterator[Answered]:
    if args.ray is not None:
        from .on_ray import answers_on_ray

        yield from answers_on_ray(items, settings, args.ray or None, args.workers)
        return
    with Pipeline(settings.engine, device=settings.device, threads=settings.threads) as pipe:
        yield from answers_here(pipe, items, settings)
