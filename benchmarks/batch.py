"""`python -m benchmarks.batch`: a decode step of several sequences beside a step of one, at GeoPixel-7B's widths.

A slice of the language model (two of 32 layers and the output head) with random weights is written to a folder that is
removed in the end; its steps, of one sequence and of eight behind as many cached positions, take turns.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np

from export.manifest import block_spec
from export.precision import parse_precision
from geopixel_edge.blocks.embeddings import TokenEmbeddings
from geopixel_edge.blocks.kv_cache import KVCache
from geopixel_edge.blocks.language_model import LanguageModel
from geopixel_edge.build.decoder import DecoderSizes
from geopixel_edge.build.forms import GRAPHS
from geopixel_edge.checks import check_integer
from geopixel_edge.cli.command import run_command
from geopixel_edge.cli.machine import usable_cores
from geopixel_edge.cli.streams import write_json
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.engine.manifest import BlockSpec
from geopixel_edge.runtimes.host import HostDevice
from geopixel_edge.runtimes.onnx import OnnxRunner

from .scale.ours import TEXT_TOKEN
from .scale.random_engine import RandomWeights
from .scale.shapes import GEOPIXEL_7B, Shapes
from .scale.turns import in_turn

MOST = 2.5  # times a step of one: what a step of eight may cost
BLOCK = "language_model"
_STEPS = 4  # of each in a turn


@dataclass(frozen=True)
class Slice:
    """A language model of some layers, loaded, and its entry of a manifest."""

    model: LanguageModel
    spec: BlockSpec

    def stepping(self, batch: int, cached: int, steps: int) -> Callable[[], object]:
        """An action that runs one step of `batch` sequences behind `cached` positions, at most `steps` times."""
        capacity = -(-(cached + steps) // 128) * 128
        cache = KVCache.new(self.model.device, self.spec, capacity, batch)
        cache.lengths[:] = [cached] * batch
        return lambda: self.model.step([TEXT_TOKEN] * batch, cache)


def written(folder: Path, shapes: Shapes, precision: str, threads: int) -> Slice:
    """Write the slice's files and load them."""
    record = parse_precision(precision)[BLOCK]
    sizes = DecoderSizes(
        shapes.layers, shapes.hidden, shapes.heads, shapes.kv_heads, shapes.head_dim, shapes.vocabulary, 1e-5
    )
    path, table = folder / f"{BLOCK}.onnx", folder / "embeddings.npy"
    weights = RandomWeights(shapes, record)
    GRAPHS["ready"](path, sizes, record, weights).write()
    spec = block_spec(folder, BLOCK, record)
    rows = np.lib.format.open_memmap(table, mode="w+", dtype=np.float16, shape=(shapes.vocabulary, shapes.hidden))
    rows[TEXT_TOKEN] = weights.numbers()[: shapes.hidden]  # no other row is read; a file with holes takes no room
    rows.flush()
    known = msgspec.structs.replace(
        read_manifest(BUNDLED).sizes, hidden=shapes.hidden, layers=shapes.layers, vocabulary=shapes.vocabulary
    )
    runner = OnnxRunner(path, spec, BLOCK, HostDevice(), threads)
    return Slice(LanguageModel(runner, TokenEmbeddings(table, known), known), spec)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Medians of both kinds of step, in seconds, and their ratio."""
    steps = (args.turns + 1) * (_STEPS + 1)
    with TemporaryDirectory(prefix="geopixel-edge-slice-") as folder:
        one = written(Path(folder), replace(GEOPIXEL_7B, layers=args.layers), args.precision, args.threads)
        actions = {str(batch): one.stepping(batch, args.cached, steps) for batch in (1, args.batch)}
        seconds = in_turn(actions, args.turns, _STEPS)
    return {
        "settings": {name: getattr(args, name) for name in ("layers", "precision", "threads", "cached", "turns")},
        "seconds": seconds,
        "ratio": seconds[str(args.batch)] / seconds["1"],
        "at_most": MOST,
    }


def report(found: dict[str, Any]) -> str:
    """One line."""
    (one, one_s), (several, several_s) = found["seconds"].items()
    return (
        f"a step of {several} sequences {1000 * several_s:.1f} ms, of {one} {1000 * one_s:.1f} ms: "
        f"{found['ratio']:.2f} times, at most {found['at_most']}"
    )


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    parser.add_argument("--layers", type=int, default=2, help="decoder layers of the slice (default: 2)")
    parser.add_argument("--precision", default="int4", help="of the slice (default: int4)")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="CPU threads (default: every core)")
    parser.add_argument("--batch", type=int, default=8, help="sequences of a step (default: 8)")
    parser.add_argument("--cached", type=int, default=1024, help="positions behind which it stands (default: 1024)")
    parser.add_argument("--turns", type=int, default=9, help="turns that both take (default: 9)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    for name, least, most in (("layers", 1, 32), ("batch", 2, 64), ("cached", 0, 16_384), ("turns", 1, 1000)):
        check_integer(name, getattr(args, name), least, most)
    found = run(args)
    if args.json:
        write_json(found)
    else:
        print(report(found))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
