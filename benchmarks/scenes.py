"""`python -m benchmarks.scenes [ENGINE_DIR]`: windows a second of scene jobs, and merging beside its peers.

A scene is asked with 1, 4 and 8 windows together and, by turns, the same windows held in memory: reading, recording,
merging and writing have to hide behind the model; what they take alone is told, too. Then the views of a larger scene
are merged, and with `--peer sahi=PYTHON` or `samgeo=PYTHON`, an interpreter that has it, by those, too; boxes in one
true thing are counted. Last, which promises the figures keep.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geopixel_edge.checks import check_integer
from geopixel_edge.cli.command import run_command
from geopixel_edge.cli.streams import write_json
from geopixel_edge.cli.terminal import table
from geopixel_edge.errors import OptionError

from .scene_peers import PEERS
from .scene_rates import rates
from .scene_views import Views, duplicates, make_views, merge, save

ROOT = Path(__file__).parents[1]


def merging(count: int, repeat: int, seed: int) -> dict[str, Any]:
    """Merging so many views: seconds (median), objects, and duplicates."""
    return _merged(make_views(count, seed), repeat)


def beside(peers: dict[str, str], count: int, repeat: int, seed: int) -> dict[str, Any]:
    """The same views merged here and by peers, in one run: seconds, objects, duplicates, and how many times ours.

    What a peer spends in its files is told beside and not counted.
    """
    views = make_views(count, seed)
    ours = _merged(views, repeat)
    found: dict[str, Any] = {"geopixel_edge": {**ours, "times_ours": 1.0}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "views.npz"
        save(path, views)
        for name, python in peers.items():
            command = [python, str(ROOT / "benchmarks" / "scene_peers.py"), name, str(path)]
            told = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
            if told.returncode:
                said = told.stderr.strip().splitlines() or [f"it ended with {told.returncode}"]
                raise OptionError(f"peer={name}={python}: it failed: {said[-1][:300]}")
            theirs = json.loads(told.stdout.splitlines()[-1])
            lie = np.array(theirs.pop("boxes"), np.float64).reshape(-1, 4)
            things = {"objects": len(lie), "duplicates": duplicates(views.truth, lie)}
            found[name] = {**theirs, **things, "times_ours": theirs["seconds"] / ours["seconds"]}
    return {"views": len(views.views), "truth": len(views.truth), "by": found}


def _merged(views: Views, repeat: int) -> dict[str, Any]:
    runs = [merge(views) for _ in range(repeat)]
    boxes = runs[0][1]
    things = {"objects": len(boxes), "truth": len(views.truth), "duplicates": duplicates(views.truth, boxes)}
    return {"views": len(views.views), "seconds": statistics.median(seconds for seconds, _ in runs), **things}


def bounds(found: dict[str, Any]) -> dict[str, bool]:
    """Which of the promises these figures keep."""
    merged = found["merging"]
    kept = {
        f"batch {name} within 10 % of the engine": one["ratio"] >= 0.9
        for name, one in found["windows"]["by_batch"].items()
    }
    kept["answers of batches equal"] = all(one["answers_equal"] for one in found["windows"]["by_batch"].values())
    kept["reading, recording, merging and writing below a tenth of the engine"] = (
        found["windows"]["without_model"]["share_of_engine"] < 0.1
    )
    kept[f"{merged['views']} views in under 10 s, none twice"] = merged["seconds"] < 10 and not merged["duplicates"]
    for name, one in found["peers"]["by"].items():
        if name != "geopixel_edge":
            kept[f"{name} takes 20 times as long"] = one["times_ours"] >= 20
    return kept


def _peers(values: Sequence[str]) -> dict[str, str]:
    found = {}
    for value in values:
        name, _, python = value.partition("=")
        if name not in PEERS or not python:
            raise OptionError(f"peer={value!r}: give NAME=PYTHON, NAME one of {', '.join(PEERS)}")
        found[name] = python
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine_dir", nargs="?", type=Path, help="default: the engine in the package")
    parser.add_argument("--windows", type=int, default=24, metavar="N", help="asked, about (default: 24)")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="times, in turn (default: 3)")
    parser.add_argument("--views", type=int, default=100_000, metavar="N", help="merged (default: 100000)")
    parser.add_argument("--peer-views", type=int, default=10_000, metavar="N", help="merged by all (default: 10000)")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON", help="sahi or samgeo; may repeat")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads per block (default: every core)")
    parser.add_argument("--seed", type=int, default=1_000_000, help="of the first scene")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    args = parser.parse_args(arguments)
    for name, most in (("windows", 10_000), ("repeat", 100), ("views", 10_000_000), ("peer_views", 10_000_000)):
        check_integer(name, getattr(args, name), 1, most)
    peers = _peers(args.peer)
    found = {  # peers first: where one is missing that is known in seconds
        "peers": beside(peers, args.peer_views, args.repeat, 1),
        "merging": merging(args.views, args.repeat, 1),
        "windows": rates(args.engine_dir, args.windows, args.repeat, args.threads, args.seed),
    }
    found["kept"] = bounds(found)
    if args.json:
        write_json(found)
    else:
        print(_rendered(found))
    return 0


def _rendered(found: dict[str, Any]) -> str:
    windows, merged, peers = found["windows"], found["merging"], found["peers"]
    rates_rows = [
        (
            batch,
            f"{one['job_per_s']:.2f}",
            f"{one['engine_per_s']:.2f}",
            f"{one['ratio']:.2f}",
            str(one["answers_equal"]),
        )
        for batch, one in windows["by_batch"].items()
    ]
    peer_rows = [
        (
            f"{name} {one.get('version', '')}".strip(),
            f"{one['seconds']:.2f}",
            f"{one.get('files_s', 0.0):.2f}",
            str(one["objects"]),
            str(one["duplicates"]),
            f"{one['times_ours']:.1f}",
        )
        for name, one in peers["by"].items()
    ]
    own = windows["without_model"]
    return "\n".join(
        [
            table(("batch", "windows/s, job", "engine alone", "ratio", "answers equal"), rates_rows, left=0),
            "",
            f"without the model: {1000 * own['seconds_a_window']:.1f} ms a window, {own['share_of_engine']:.1%} of it",
            "",
            f"merging {merged['views']} views: {merged['seconds']:.2f} s, {merged['objects']} objects of "
            f"{merged['truth']}, {merged['duplicates']} duplicates",
            "",
            f"{peers['views']} views of {peers['truth']} things",
            table(("by", "seconds", "its files", "objects", "duplicates", "times ours"), peer_rows, left=1),
            "",
            *(f"{'ok' if ok else 'NO':4}{promise}" for promise, ok in found["kept"].items()),
        ]
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
