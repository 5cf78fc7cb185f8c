"""`python -m benchmarks.draft [ENGINE_DIR]`: what drafting the usual answer to `segment` saves; it changes none.

Every question is asked of an opened image with a draft and without, one right after the other, each first in turn.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from geopixel_edge import Answer, Pipeline
from geopixel_edge.checks import check_integer
from geopixel_edge.cli.command import run_command
from geopixel_edge.cli.streams import write_json
from geopixel_edge.cli.terminal import table
from geopixel_edge.errors import OptionError
from geopixel_edge.session import OpenedImage
from geopixel_edge.timings import DECODE
from synthetic.questions import referring
from synthetic.scenes import EVALUATION_SEED, make_scene
from synthetic.wording import describe

MAX_QUESTIONS = 100_000
PER_SCENE = 4


@dataclass
class Pairs:
    """Answers to the same questions, without a draft and with one."""

    plain: list[Answer] = field(default_factory=list)
    drafted: list[Answer] = field(default_factory=list)

    def add(self, image: OpenedImage, query: str) -> None:
        """Ask both ways; which comes first alternates, so that neither has the warmer caches."""
        ways = [(self.plain, False), (self.drafted, True)]
        for answers, draft in ways if len(self.plain) % 2 else reversed(ways):
            answers.append(image.ask(query, draft=draft))


def phrases(seed: int, size_px: int) -> tuple[Any, list[str]]:
    """A generated scene's image and what to look for there; about one phrase in five names nothing that is there."""
    scene = make_scene(seed, size_px)
    expressions = [example.expression for example in referring(scene, PER_SCENE)]
    return scene.image, [f"the {describe(one)}" for one in expressions if one is not None]


def run(args: argparse.Namespace) -> Pairs:
    """Ask `args.questions` questions about scenes that no training has seen."""
    pairs, seed = Pairs(), args.seed
    with (
        Pipeline(args.engine_dir, device=args.device, threads=args.threads) as pipe,
        tqdm(total=args.questions, disable=None, unit="question", leave=False) as bar,
    ):
        while len(pairs.plain) < args.questions:
            image, wanted = phrases(seed, args.size)
            with pipe.open(image, hd_num=args.hd_num) as opened:
                opened.ask(pipe.model.family.segment_query("anything"), max_new_tokens=1)  # reads the image
                for phrase in wanted[: args.questions - len(pairs.plain)]:
                    pairs.add(opened, pipe.model.family.segment_query(phrase))
                    bar.update()
            seed += 1
    return pairs


def overlaps(pairs: Pairs) -> Iterator[float]:
    """IoU of each mask with a draft and its mask without; 0 where one of the two is missing."""
    for plain, drafted in zip(pairs.plain, pairs.drafted, strict=True):
        ours, theirs = ([region.mask.to_array() for region in one.regions] for one in (plain, drafted))
        if len(ours) != len(theirs):
            yield 0.0
        for one, other in zip(ours, theirs, strict=False):
            union = int((one | other).sum())
            yield int((one & other).sum()) / union if union else 1.0


def figures(pairs: Pairs) -> dict[str, Any]:
    """Counts, which are the same on any machine, and ratios of seconds, which are those of this one."""
    both = list(zip(pairs.plain, pairs.drafted, strict=True))
    timings = [one.timings for one in pairs.drafted]
    read = sum(one.drafted_tokens for one in timings)
    steps = {name: [runs_of(one) for one in getattr(pairs, name)] for name in ("plain", "drafted")}
    shared = list(overlaps(pairs))
    return {
        "questions": len(both),
        "equal": sum(one.token_ids == other.token_ids for one, other in both) / len(both),
        "masks": len(shared),
        "least_mask_iou": min(shared, default=1.0),
        "tokens": sum(len(one.token_ids) for one in pairs.drafted),
        "drafted_tokens": read,
        "accepted_tokens": sum(one.accepted_tokens for one in timings),
        "acceptance": sum(one.accepted_tokens for one in timings) / read if read else 0.0,
        "runs_per_answer": {name: statistics.mean(runs) for name, runs in steps.items()},
        "speedup": {
            "decode": statistics.median(decode_s(one) / decode_s(other) for one, other in both),
            "whole_answer": statistics.median(one.timings.total_s / other.timings.total_s for one, other in both),
        },
    }


def runs_of(answer: Answer) -> int:
    """Decode runs of the language model."""
    cost = answer.timings.blocks.get(DECODE)
    return cost.runs if cost else 0


def decode_s(answer: Answer) -> float:
    """Seconds of these runs; those of an answer of one token, which has none, are the least a clock shows."""
    cost = answer.timings.blocks.get(DECODE)
    return max(cost.time_s if cost else 0.0, 1e-9)


def report(found: dict[str, Any]) -> str:
    """The figures as a table."""
    flat = {name: value for name, value in found.items() if not isinstance(value, dict)}
    for group in ("runs_per_answer", "speedup"):
        flat |= {f"{group}.{name}": value for name, value in found[group].items()}
    rows = [(name, str(value) if isinstance(value, int) else f"{value:.4f}") for name, value in flat.items()]
    return table(("figure", "value"), rows)


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.draft", description=__doc__)
    parser.add_argument("engine_dir", nargs="?", type=Path, help="default: the engine in the package")
    parser.add_argument("--questions", type=int, default=200, help="how many phrases (default: 200)")
    parser.add_argument("--seed", type=int, default=EVALUATION_SEED, help="first scene, as of benchmarks.accuracy")
    parser.add_argument("--size", type=int, default=640, help="side of a scene in pixels (default: 640)")
    parser.add_argument("--hd-num", type=int, default=9, help="how finely to divide (default: 9)")
    parser.add_argument("--threads", type=int, help="CPU threads per block (default: every core)")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    check_integer("questions", args.questions, 1, MAX_QUESTIONS)
    if args.seed < EVALUATION_SEED:
        raise OptionError(f"seed={args.seed} is a training seed; give one from {EVALUATION_SEED} up")
    found = figures(run(args))
    if args.json:
        write_json(found, indent=1)
    else:
        print(report(found))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
