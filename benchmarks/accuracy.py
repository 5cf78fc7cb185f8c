"""`python -m benchmarks.accuracy ENGINE_DIR`: how well an engine grounds scenes that no training has seen."""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from evaluate.scorers import Conversation, Referring, Shown, score_conversations, score_referring, well_formed
from geopixel_edge import Answer, Pipeline, limits
from geopixel_edge.answer import Region
from geopixel_edge.checks import check_integer
from geopixel_edge.cli.command import run_command
from geopixel_edge.cli.streams import write_json
from geopixel_edge.cli.terminal import table
from geopixel_edge.errors import OptionError, OutputError
from geopixel_edge.masks import Mask
from geopixel_edge.writers.overlay import render
from synthetic.questions import Example, conversation, referring
from synthetic.scenes import EVALUATION_SEED, GENERATOR_VERSION, Scene, make_scene

from .agreement import Text, agreement, read_texts, write_texts

MAX_SCENES = 100_000
MAX_PICTURES = 60
GAP_PX = 6


@dataclass
class Run:
    """What was asked and what came of it."""

    referring: list[tuple[Example, Referring]] = field(default_factory=list)
    conversations: list[tuple[Example, Conversation]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    pictures: int = 0


def judge_referring(scene: Scene, example: Example, answer: Answer) -> Referring:
    """The answer to a referring question beside the truth."""
    masks = example.masks(scene)
    expected = Mask.from_array(masks[0]) if masks else None
    shown = tuple(region.mask for region in answer.regions)
    return Referring(shown, expected, "[SEG]" not in answer.response and not shown)


def judge_conversation(scene: Scene, example: Example, answer: Answer) -> Conversation:
    """The description of a scene beside the truth."""
    expected = tuple(
        Shown(Mask.from_array(mask), phrase) for mask, phrase in zip(example.masks(scene), example.phrases, strict=True)
    )
    predicted = tuple(Shown(region.mask, region.phrase, region.score) for region in answer.regions)
    formed = well_formed(answer.response, len(answer.regions), answer.finish_reason)
    return Conversation(predicted, expected, formed)


def run(args: argparse.Namespace) -> Run:
    """Ask everything; the time of a scene is that of opening it and answering its first question."""
    pipe, done = Pipeline(args.engine_dir, device=args.device, threads=args.threads), Run()
    for seed in tqdm(range(args.seed, args.seed + args.scenes), disable=None, unit="scene", leave=False):
        scene = make_scene(seed, args.size)
        examples = referring(scene, args.questions) if args.task != "conversation" else []
        examples += [conversation(scene)] if args.task != "referring" else []
        start = time.perf_counter()
        with pipe.open(scene.image, hd_num=args.hd_num) as image:
            for number, example in enumerate(examples):
                answer = image.ask(example.question, max_new_tokens=args.max_new_tokens)
                if number == 0:
                    done.seconds.append(time.perf_counter() - start)
                done.texts.append(Text(seed, example.question, answer.response))
                _judge(done, scene, example, answer, args.out)
    return done


def _judge(done: Run, scene: Scene, example: Example, answer: Answer, out: Path | None) -> None:
    if example.task == "conversation":
        told = judge_conversation(scene, example, answer)
        done.conversations.append((example, told))
        failed = not told.well_formed or (score_conversations([told])["miou"] or 0.0) < 0.5
    else:
        found = judge_referring(scene, example, answer)
        done.referring.append((example, found))
        failed = not found.refused if found.expected is None else found.iou < 0.5
    if failed and out is not None and done.pictures < MAX_PICTURES:
        save_failure(out, scene, example, answer, done.pictures)
        done.pictures += 1


def save_failure(out: Path, scene: Scene, example: Example, answer: Answer, number: int) -> None:
    """Expected masks on the left, shown ones on the right, and both texts beside them; OutputError if it cannot."""
    wanted = [
        Region(phrase, (0, 0), Mask.from_array(mask), 1.0)
        for mask, phrase in zip(example.masks(scene), example.phrases, strict=True)
    ]
    sheet = Image.new("RGB", (2 * scene.side_px + GAP_PX, scene.side_px))
    for place, regions in enumerate((wanted, answer.regions)):
        sheet.paste(render(scene.image, regions, labels=True), (place * (scene.side_px + GAP_PX), 0))
    text = (
        f"question: {example.question}\nexpected: {example.answer}\nanswered: {answer.response}\nform: {example.form}\n"
    )
    name = re.sub(r"[^a-z0-9]+", "_", example.form)
    try:
        out.mkdir(parents=True, exist_ok=True)
        sheet.save(out / f"{number:03d}_{scene.seed}_{name}.png")
        (out / f"{number:03d}_{scene.seed}_{name}.txt").write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"out={str(out)!r} cannot be written ({error.strerror}); choose another folder") from None


def figures(done: Run, args: argparse.Namespace) -> dict[str, Any]:
    """Everything measured, as plain values."""
    found: dict[str, Any] = {}
    if args.task != "conversation":
        found["referring"] = score_referring([result for _, result in done.referring])
    if args.task != "referring":
        found["conversation"] = score_conversations([result for _, result in done.conversations])
    # The first scene warms everything up.
    found["latency_s"] = {"median": statistics.median(done.seconds[1:] or done.seconds)}
    unseen = [result for example, result in done.referring if example.unseen]
    told_unseen = [result for example, result in done.conversations if example.unseen]
    found["details"] = {
        "referring_by_form": _by(done.referring, lambda example: example.form),
        "referring_by_class": _by(done.referring, lambda one: one.expression.class_name if one.expression else ""),
        "referring_unseen": {"questions": len(unseen), **score_referring(unseen)},
        "conversation_unseen": {"scenes": len(told_unseen), **score_conversations(told_unseen)},
    }
    found["settings"] = {
        "task": args.task,
        "scenes": args.scenes,
        "seed": args.seed,
        "size_px": args.size,
        "hd_num": args.hd_num,
        "referring_questions": len(done.referring),
        "max_new_tokens": args.max_new_tokens,
        "generator_version": GENERATOR_VERSION,
    }
    return found


def _by(results: list[tuple[Example, Referring]], key: Callable[[Example], str]) -> dict[str, Any]:
    """Scores of the questions that share a key."""
    groups: dict[str, list[Referring]] = {}
    for example, result in results:
        groups.setdefault(key(example), []).append(result)
    return {name: {"questions": len(one), **score_referring(one)} for name, one in sorted(groups.items())}


def report(found: dict[str, Any]) -> str:
    """The figures as text."""
    parts = ("referring", "conversation", "agreement", "latency_s")
    values = [(f"{group}.{name}", value) for group in parts for name, value in found.get(group, {}).items()]
    rows = [(name, "-" if value is None else f"{value:.4f}") for name, value in values]
    lines = [
        ", ".join(f"{name} {value}" for name, value in found["settings"].items()),
        "",
        table(("figure", "value"), rows),
    ]
    for name in ("form", "class"):
        groups = found["details"][f"referring_by_{name}"]
        shown = [
            (
                group,
                str(one["questions"]),
                *("-" if one[key] is None else f"{one[key]:.3f}" for key in ("p50", "miou", "absent_refused")),
            )
            for group, one in groups.items()
        ]
        if shown:
            lines += ["", table((name, "questions", "P@0.5", "mIoU", "refused"), shown)]
    return "\n".join(lines)


def _check(args: argparse.Namespace) -> None:
    check_integer("scenes", args.scenes, 1, MAX_SCENES)
    check_integer("questions", args.questions, 1, 32)
    check_integer("max_new_tokens", args.max_new_tokens, 1, limits.MAX_NEW_TOKENS)
    if args.seed < EVALUATION_SEED:
        raise OptionError(
            f"seed={args.seed} is a training seed; give one from {EVALUATION_SEED} up, which no training has seen"
        )


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument(
        "engine_dir", nargs="?", type=Path, help="what `geopixel-edge export` wrote (default: the bundled one)"
    )
    parser.add_argument("--task", choices=("referring", "conversation", "all"), default="all", help="default: all")
    parser.add_argument("--scenes", type=int, default=500, help="how many scenes (default: 500)")
    parser.add_argument(
        "--seed", type=int, default=EVALUATION_SEED, help=f"first seed, from {EVALUATION_SEED} up (default)"
    )
    parser.add_argument("--size", type=int, default=640, help="side of a scene in pixels (default: 640)")
    parser.add_argument("--questions", type=int, default=3, help="referring questions per scene (default: 3)")
    parser.add_argument("--hd-num", type=int, default=9, help="how finely to divide (default: 9)")
    parser.add_argument("--max-new-tokens", type=int, default=512, help="longest answer (default: 512)")
    parser.add_argument("--threads", type=int, help="CPU threads per block (default: every core)")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    parser.add_argument("--texts", type=Path, metavar="FILE", help="write every response to FILE, a JSON object a line")
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare responses with another run's --texts")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, help="folder for pictures of failures")
    args = parser.parse_args(argv)
    _check(args)
    others = read_texts(args.against) if args.against else []
    done = run(args)
    found = figures(done, args)
    if args.against:
        found["agreement"] = agreement(done.texts, others)
    if args.texts:
        write_texts(args.texts, done.texts)
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
