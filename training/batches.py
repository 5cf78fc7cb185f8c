"""From a seed to a training sample: one image, several questions packed behind it, and the masks they point at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from export.config import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD, ModelConfig
from geopixel_edge.divider import divide, grounding_input, plan_grid
from geopixel_edge.manifest import Normalisation
from geopixel_edge.prompt import build_prompt
from geopixel_edge.tokenizer import Tokenizer

from .losses import IGNORED
from .questions import Example, conversation, referring
from .scenes import CLASS_NAMES, Scene, make_scene

VISION = Normalisation(mean=CLIP_MEAN, std=CLIP_STD)
GROUNDING = Normalisation(mean=IMAGENET_MEAN, std=IMAGENET_STD)


@dataclass(frozen=True)
class Sample:
    """One scene. Text tensors are of the packed questions: each sees the image and itself.

    `token_ids`, `targets` (what each position must predict, IGNORED where nothing), `positions` counted from BOS,
    `segment` (which question a token belongs to): all (L,) int64. `seg_at` (n,): packed positions of `[SEG]` inputs;
    `masks` (n, M, M) float32: covered part of each cell. `classes` (M, M) int64: the class at each cell's middle, 0 for
    ground.
    """

    views: Tensor
    grid: tuple[int, int]
    pixels: Tensor
    token_ids: Tensor
    targets: Tensor
    positions: Tensor
    segment: Tensor
    seg_at: Tensor
    masks: Tensor
    classes: Tensor


def pack(examples: Sequence[Example], tokenizer: Tokenizer, first_position: int) -> dict[str, Tensor]:
    """Questions and answers one after the other; each starts at `first_position`, behind BOS and the image."""
    ids: list[int] = []
    targets: list[int] = []
    positions: list[int] = []
    segment: list[int] = []
    for index, example in enumerate(examples):
        prompt = build_prompt(example.question, (), 1, tokenizer, tokenizer.tokens)
        asked = list(prompt.parts[1])
        answered = [*tokenizer.encode(example.answer, bos=False), tokenizer.tokens.eos]
        inputs = asked + answered[:-1]
        ids += inputs
        targets += [IGNORED] * (len(asked) - 1) + answered
        positions += range(first_position, first_position + len(inputs))
        segment += [index] * len(inputs)
    columns = {"token_ids": ids, "targets": targets, "positions": positions, "segment": segment}
    tensors = {name: torch.tensor(values, dtype=torch.int64) for name, values in columns.items()}
    return {**tensors, "seg_at": torch.nonzero(tensors["token_ids"] == tokenizer.tokens.seg)[:, 0]}


def coverage(mask: NDArray[np.bool_], side: int) -> NDArray[np.float32]:
    """bool (S, S) -> float32 (side, side): the part of each cell that the mask covers; S must be a multiple of side."""
    step, rest = divmod(mask.shape[0], side)
    if rest:
        raise ValueError(f"a {mask.shape[0]}-pixel scene does not divide into {side} cells")
    return mask.reshape(side, step, side, step).mean((1, 3), dtype=np.float32)


def class_map(scene: Scene, side: int) -> Tensor:
    """(side, side) int64: 1 + the place in CLASS_NAMES of what is at each cell's middle, 0 for ground."""
    names = np.zeros(int(scene.owners.max(initial=0)) + 1, np.int64)
    for instance in scene.instances:
        names[instance.number] = 1 + CLASS_NAMES.index(instance.class_name)
    step = scene.side_px // side
    return torch.from_numpy(names[scene.owners[step // 2 :: step, step // 2 :: step]])


def prepare(
    scene: Scene, examples: Sequence[Example], config: ModelConfig, tokenizer: Tokenizer, hd_num: int
) -> Sample:
    """Run the scene through the SDK's own divider, as inference will."""
    tile_px = int(config.clip["image_size"])
    grid, _ = plan_grid(scene.side_px, scene.side_px, hd_num, tile_px)
    views = divide(scene.image, grid, VISION, threads=1)
    pixels = grounding_input(scene.image, int(config.sam2["image_size"]), GROUNDING, threads=1)
    packed = pack(examples, tokenizer, 1 + grid.image_tokens(config.tokens_per_side))
    truths = [coverage(mask, config.mask_px) for example in examples for mask in example.masks(scene)]
    masks = torch.from_numpy(np.stack(truths)) if truths else torch.zeros(0, config.mask_px, config.mask_px)
    if len(masks) != len(packed["seg_at"]):
        raise ValueError(f"scene {scene.seed}: {len(packed['seg_at'])} [SEG] for {len(masks)} masks")
    return Sample(
        views=torch.from_numpy(views), grid=(grid.rows, grid.cols), pixels=torch.from_numpy(pixels),
        masks=masks, classes=class_map(scene, config.mask_px), **packed,
    )  # fmt: skip


class Scenes(IterableDataset[Sample]):
    """Samples of the seeds `start`, `start` + 1, ...; the same seeds give the same samples in the same order."""

    def __init__(self, config: ModelConfig, tokenizer: Tokenizer, start: int, side_px: int, hd_num: int,
                 questions: int) -> None:  # fmt: skip
        self.config, self.tokenizer, self.start = config, tokenizer, start
        self.side_px, self.hd_num, self.questions = side_px, hd_num, questions

    def __iter__(self) -> Iterator[Sample]:
        worker = torch.utils.data.get_worker_info()
        offset, step = (worker.id, worker.num_workers) if worker else (0, 1)
        seed = self.start + offset
        while True:
            scene = make_scene(seed, self.side_px)
            examples = [conversation(scene), *referring(scene, self.questions)]
            yield prepare(scene, examples, self.config, self.tokenizer, self.hd_num)
            seed += step
