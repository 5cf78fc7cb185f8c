"""From a scene to a training sample: one image, several questions packed behind it, and what each block must tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from export.config import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD, ModelConfig
from geopixel_edge.blocks.divider import divide, grounding_input, plan_grid
from geopixel_edge.engine.manifest import Normalisation
from geopixel_edge.families.prompt import build_prompt
from geopixel_edge.text.tokenizer import Tokenizer

from .losses import IGNORED
from .meaning import meanings
from .mix import LESSON, Mix
from .questions import Example, conversation, referring
from .scenes import Scene
from .store import TURNS, SceneStore, turned
from .targets import Targets, targets_of

VISION = Normalisation(mean=CLIP_MEAN, std=CLIP_STD)
GROUNDING = Normalisation(mean=IMAGENET_MEAN, std=IMAGENET_STD)


@dataclass(frozen=True)
class Sample:
    """One scene. Text tensors are of the packed questions: each sees the image and itself.

    `token_ids`, `targets` (what each position must predict, IGNORED where nothing), `positions` counted from BOS,
    `segment` (which question a token belongs to): all (L,). `begins` (q,): the position that predicts each answer's
    first token; `looks_for` (q, tokens + 1): how what is asked about spreads over the image's tile tokens, or 1 in the
    last column where nothing fits, or NaN for descriptions. `seg_at` (n,): positions of `[SEG]` inputs; `chosen` (k,):
    those of them whose `masks` (k, M, M) float32, the covered part of each cell, are taught; `meanings` (n, fields):
    what each `[SEG]` was asked for; `taught`: what the heads must tell.
    """

    views: Tensor
    grid: tuple[int, int]
    pixels: Tensor
    token_ids: Tensor
    targets: Tensor
    positions: Tensor
    segment: Tensor
    begins: Tensor
    looks_for: Tensor
    seg_at: Tensor
    chosen: Tensor
    masks: Tensor
    meanings: Tensor
    taught: Targets


def pack(examples: Sequence[Example], tokenizer: Tokenizer, first_position: int) -> dict[str, Tensor]:
    """Questions and answers one after the other; each starts at `first_position`, behind BOS and the image."""
    ids: list[int] = []
    targets: list[int] = []
    positions: list[int] = []
    segment: list[int] = []
    begins: list[int] = []
    for index, example in enumerate(examples):
        prompt = build_prompt(example.question, (), 1, tokenizer, tokenizer.tokens)
        asked = list(prompt.parts[1])
        answered = [*tokenizer.encode(example.answer, bos=False), tokenizer.tokens.eos]
        inputs = asked + answered[:-1]
        begins.append(len(ids) + len(asked) - 1)
        ids += inputs
        targets += [IGNORED] * (len(asked) - 1) + answered
        positions += range(first_position, first_position + len(inputs))
        segment += [index] * len(inputs)
    columns = {"token_ids": ids, "targets": targets, "positions": positions, "segment": segment}
    tensors = {name: torch.tensor(values, dtype=torch.int64) for name, values in columns.items()}
    seg_at = torch.nonzero(tensors["token_ids"] == tokenizer.tokens.seg)[:, 0]
    return {**tensors, "begins": torch.tensor(begins, dtype=torch.int64), "seg_at": seg_at}


def coverage(mask: NDArray[np.bool_], side: int) -> NDArray[np.float32]:
    """bool (S, S) -> float32 (side, side): the part of each cell that the mask covers; S must be a multiple of side."""
    step, rest = divmod(mask.shape[0], side)
    if rest:
        raise ValueError(f"a {mask.shape[0]}-pixel scene does not divide into {side} cells")
    return mask.reshape(side, step, side, step).mean((1, 3), dtype=np.float32)


def prepare(
    scene: Scene,
    examples: Sequence[Example],
    config: ModelConfig,
    tokenizer: Tokenizer,
    hd_num: int,
    masks: int = 1000,
) -> Sample:
    """Run the scene through the SDK's own divider, as inference will; at most `masks` masks are taught."""
    tile_px, side = int(config.clip["image_size"]), config.mask_px
    grid, _ = plan_grid(scene.side_px, scene.side_px, hd_num, tile_px)
    views = divide(scene.image, grid, VISION, threads=1)
    pixels = grounding_input(scene.image, int(config.sam2["image_size"]), GROUNDING, threads=1)
    packed = pack(examples, tokenizer, 1 + grid.image_tokens(config.tokens_per_side))
    groups = [numbers for example in examples for numbers in example.targets]
    if len(groups) != len(packed["seg_at"]):
        raise ValueError(f"scene {scene.seed}: {len(packed['seg_at'])} [SEG] for {len(groups)} masks")
    chosen = np.sort(np.random.default_rng(scene.seed).permutation(len(groups))[:masks])
    truths = np.zeros((len(chosen), side, side), np.float32)
    for place, index in enumerate(chosen):
        members = np.zeros(int(scene.owners.max(initial=0)) + 1, np.bool_)
        members[list(groups[index])] = True
        truths[place] = coverage(members[scene.owners], side)
    taught = targets_of(scene, groups, side, grid.rows * config.tokens_per_side)
    return Sample(
        views=torch.from_numpy(views),
        grid=(grid.rows, grid.cols),
        pixels=torch.from_numpy(pixels),
        chosen=torch.from_numpy(chosen),
        masks=torch.from_numpy(truths),
        meanings=meanings(examples),
        taught=taught,
        looks_for=_looks_for(examples, taught),
        **packed,
    )


def _looks_for(examples: Sequence[Example], taught: Targets) -> Tensor:
    rows = torch.full((len(examples), taught.pointers.shape[1] + 1), float("nan"))
    pointers = iter(taught.pointers)
    for row, example in zip(rows, examples, strict=True):
        own = [next(pointers) for _ in example.targets]
        if example.task == "referring":
            row[:-1], row[-1] = own[0] if own else 0.0, float(example.absent)
    return rows


class Samples(IterableDataset[Sample]):
    """The samples `first`, `first` + `step`, ... of an endless sequence over stored scenes.

    Each round takes every scene once, in an order, an orientation and with questions of its own, so sample n is the
    same whenever it is made.
    """

    def __init__(
        self,
        store: SceneStore,
        seeds: Sequence[int],
        config: ModelConfig,
        tokenizer: Tokenizer,
        hd_num: int,
        questions: int,
        masks: int,
        first: int,
        step: int,
        mix: Mix = LESSON,
    ) -> None:
        self.store, self.seeds, self.config, self.tokenizer = store, seeds, config, tokenizer
        self.hd_num, self.questions, self.masks = hd_num, questions, masks
        self.first, self.step, self.mix = first, step, mix

    def __iter__(self) -> Iterator[Sample]:
        worker = torch.utils.data.get_worker_info()
        offset, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        number = self.first + offset * self.step
        while True:
            yield self.sample(number)
            number += self.step * workers

    def sample(self, number: int) -> Sample:
        """Sample `number` of the sequence."""
        turn_of_all, place = divmod(number, len(self.seeds))
        rng = np.random.default_rng([turn_of_all, 11])
        seed = self.seeds[rng.permutation(len(self.seeds))[place]]
        scene = turned(self.store.load(seed), (seed + 3 * turn_of_all) % TURNS)
        draw = 1 + turn_of_all
        examples = [conversation(scene, draw), *referring(scene, self.questions, draw, self.mix)]
        return prepare(scene, examples, self.config, self.tokenizer, self.hd_num, self.masks)
