"""`python -m training.write OUT`: scenes, questions and masks in GeoPixelD's layout, made from seeds."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from geopixel_edge.cli.command import run_command
from geopixel_edge.masks import Mask
from synthetic.questions import Example, conversation, referring
from synthetic.scenes import EVALUATION_SEED, GENERATOR_VERSION, Scene, make_scene

from .errors import DatasetError


def entry(scene: Scene, example: Example, name: str, image: str) -> dict[str, Any]:
    """One entry of an index; masks as COCO RLE, since polygons cannot hold the hole a car leaves in a road."""
    return {
        "id": name,
        "conversations": [{"from": "human", "value": example.question}, {"from": "bot", "value": example.answer}],
        "image": image,
        "segmentation": [Mask.from_array(mask).to_coco() for mask in example.masks(scene)],
        "task": example.task,
        "form": example.form,
        "unseen": example.unseen,
        "seed": scene.seed,
        "kind": scene.kind,
        "gsd": round(scene.gsd, 4),
        "generator_version": GENERATOR_VERSION,
    }


def write_dataset(
    root: str | Path, seeds: Iterable[int], split: str = "train", size_px: int = 640, questions: int = 4
) -> Path:
    """Write `root/SPLIT.json` and `root/SPLIT/*.png`; returns the index.

    The index comes last and by one rename, so an interrupted run leaves no dataset. DatasetError when nothing was asked
    for, a "train" split would hold an evaluation seed, or the place cannot be written.
    """
    base, chosen = Path(root), list(seeds)
    if not chosen:
        raise DatasetError(f"{base}: no seeds were given, so split {split!r} would be empty; give at least one")
    if split == "train" and max(chosen) >= EVALUATION_SEED:
        raise DatasetError(
            f"{base}: seed {max(chosen)} is for evaluation; train below {EVALUATION_SEED} or name another split"
        )
    entries = []
    try:
        (base / split).mkdir(parents=True, exist_ok=True)
        for seed in tqdm(chosen, disable=None, unit="scene", leave=False):
            scene = make_scene(seed, size_px)
            image = f"{split}/scene_{seed:07d}.png"
            Image.fromarray(scene.image).save(base / image, compress_level=4)
            for number, example in enumerate([conversation(scene), *referring(scene, questions)]):
                entries.append(entry(scene, example, f"{seed}-{number}", image))
        index = base / f"{split}.json"
        aside = index.with_suffix(f".{os.getpid()}.tmp")
        aside.write_text(json.dumps(entries), encoding="ascii")
        aside.replace(index)
    except OSError as error:
        raise DatasetError(f"{base}: cannot be written ({error.strerror}); choose a place with room") from None
    return index


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.write", description=__doc__)
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--split", default="train", help="name of the split (default: train)")
    parser.add_argument("--seed", type=int, default=0, help="first seed (default: 0)")
    parser.add_argument("--scenes", type=int, default=100, help="how many scenes (default: 100)")
    parser.add_argument("--size", type=int, default=640, help="side in pixels (default: 640)")
    parser.add_argument("--questions", type=int, default=4, help="referring questions per scene (default: 4)")
    args = parser.parse_args(argv)
    index = write_dataset(args.out, range(args.seed, args.seed + args.scenes), args.split, args.size, args.questions)
    print(index)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
