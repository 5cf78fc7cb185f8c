"""`python -m training.diagnose CHECKPOINT`: which block holds a model back, on tuning scenes, with the true text given.

Every question is put with its true answer already written ("oracle text"). So the masks are judged whatever the text
would have been, and the text token by token whatever the masks are: `decided` is how often the first word of an answer
(is it there or not?) is the likeliest, `tokens` how often any is. `pointed` is how often the language model itself
knows where: the likeliest image token of its teaching head, if `heads.safetensors` lies beside the checkpoint, is one
that the true mask covers. mIoU is at the scene's own size.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from export.tokenizer import read_tokenizer
from export.torch_model.vision_encoder import stitch
from geopixel_edge.checks import check_integer
from geopixel_edge.cli.command import run_command
from geopixel_edge.cli.streams import write_json
from geopixel_edge.cli.terminal import table
from geopixel_edge.text.tokenizer import Tokenizer
from synthetic.questions import Example, conversation, referring
from synthetic.scenes import Scene, make_scene
from synthetic.scenes.generate import TUNING_SEED

from .batches import make_sample
from .heads import HEADS_NAME, TeachingHeads, read_heads, stitched_grid
from .model import GeoPixel
from .step import language_states

Scores = dict[str, list[float]]


def judge(
    model: GeoPixel,
    heads: TeachingHeads | None,
    tokenizer: Tokenizer,
    scene: Scene,
    examples: list[Example],
    hd_num: int,
    groups: dict[str, Scores],
) -> None:
    """Add what the model makes of a scene's questions to the scores of each question's form and class."""
    sample = make_sample(scene, examples, model.config, tokenizer, hd_num)
    rows, cols = sample.grid
    tokens, separators = model.vision_encoder(sample.views)
    pyramid = model.grounding_encoder(sample.pixels)
    image = stitch(tokens, separators, rows, cols)[None]
    _, image_states, hidden, targets = language_states(model, image, [sample], tokenizer.tokens.bos)
    pointed: list[float] = []
    if heads:
        grid = stitched_grid(image_states, model.config.tokens_per_side, rows, cols)[0]
        pointed = (
            heads.points_at_target(hidden[0][sample.seg_positions], grid, sample.head_targets.pointers).float().tolist()
        )
    right = (model.language_model.output(hidden[0]).argmax(-1) == targets[0]).float()
    logits, _ = model.pixel_decoder(hidden[0][sample.seg_positions], *pyramid)
    masks = iter(F.interpolate(logits[:, None], size=(scene.side_px,) * 2, mode="bilinear")[:, 0] > 0)
    shown = 0
    for index, example in enumerate(examples):
        in_answer = (sample.segment == index) & (targets[0] != -100)
        names = ["all", f"form {example.form}"]
        if example.expression:
            names.append(f"class {example.expression.class_name}")
        found = [float(right[sample.answer_starts[index]])], [float(right[in_answer].mean())]
        ious = [_iou(next(masks).numpy(), truth) for truth in example.masks(scene)]
        hits = pointed[shown : shown + len(ious)]
        shown += len(ious)
        for name in names:
            for key, values in zip(("decided", "tokens", "iou", "pointed"), (*found, ious, hits), strict=True):
                groups[name][key] += values


def _iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / max(1, (found | truth).sum()))


def diagnose(
    checkpoint: Path, scenes: int, hd_num: int, side_px: int = 640
) -> dict[str, dict[str, float | int | None]]:
    """Means by form of question and by class; CheckpointError when the checkpoint is not whole."""
    model = GeoPixel.load(checkpoint).eval()
    tokenizer = read_tokenizer(checkpoint)
    heads = read_heads(checkpoint, model.config) if (checkpoint.parent / HEADS_NAME).is_file() else None
    groups: dict[str, Scores] = defaultdict(lambda: {"decided": [], "tokens": [], "iou": [], "pointed": []})
    with torch.no_grad():
        for seed in tqdm(range(TUNING_SEED, TUNING_SEED + scenes), disable=None, unit="scene", leave=False):
            scene = make_scene(seed, side_px)
            judge(model, heads, tokenizer, scene, [conversation(scene), *referring(scene, 12)], hd_num, groups)
    return {
        name: {
            "questions": len(scores["decided"]),
            "decided": _mean(scores["decided"]),
            "tokens": _mean(scores["tokens"]),
            "pointed": _mean(scores["pointed"]),
            "miou": _mean(scores["iou"]),
            "p50": _mean([float(iou >= 0.5) for iou in scores["iou"]]),
        }
        for name, scores in sorted(groups.items())
    }


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.diagnose", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="RUN_DIR/checkpoint")
    parser.add_argument("--scenes", type=int, default=40, help="default: 40")
    parser.add_argument("--hd-num", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    check_integer("scenes", args.scenes, 1, 1_000_000 - TUNING_SEED)
    found = diagnose(args.checkpoint, args.scenes, args.hd_num)
    if args.json:
        write_json(found, indent=1)
        return 0
    figures = ("decided", "tokens", "pointed", "miou", "p50")
    rows = [
        (name, str(one["questions"]), *("-" if one[key] is None else f"{one[key]:.3f}" for key in figures))
        for name, one in found.items()
    ]
    print(table(("group", "questions", *figures), rows))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
