"""From a scene to a training sample: one image, questions packed behind it, and what each block must predict."""

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
from synthetic.mix import TRAINING_MIX
from synthetic.questions import Example, conversation, referring
from synthetic.scenes import Scene

from .losses import IGNORED
from .prompt_targets import prompt_targets
from .store import ORIENTATIONS, SceneStore, oriented
from .targets import Targets, targets_of

VISION = Normalisation(mean=CLIP_MEAN, std=CLIP_STD)
GROUNDING = Normalisation(mean=IMAGENET_MEAN, std=IMAGENET_STD)


@dataclass(frozen=True)
class Packed:
    """One picture and the packed questions about it: each sees the image and itself.

    `token_ids`, `targets` (what each position must predict, IGNORED where nothing), `positions` counted from BOS,
    `segment` (which question a token belongs to): int64 (L,). `answer_starts` int64 (q,): the position that predicts
    each answer's first token. `seg_positions` int64 (n,): where `[SEG]` is among the inputs; `supervised` int64 (k,):
    those of them whose `masks` (k, M, M) float32, the covered part of each cell, are taught.
    """

    views: Tensor
    grid: tuple[int, int]
    pixels: Tensor
    token_ids: Tensor
    targets: Tensor
    positions: Tensor
    segment: Tensor
    answer_starts: Tensor
    seg_positions: Tensor
    supervised: Tensor
    masks: Tensor


@dataclass(frozen=True)
class Sample(Packed):
    """One scene, of which everything is known.

    `attention_targets` float32 (q, tokens + 1): how what is asked about spreads over the image's tile tokens, or 1 in
    the last column where nothing fits, or NaN for descriptions; `prompt_targets` int64 (n, fields): what each `[SEG]`
    was asked for; `head_targets`: what the teaching heads must predict.
    """

    prompt_targets: Tensor
    head_targets: Targets
    attention_targets: Tensor


def pack(turns: Sequence[tuple[str, str]], tokenizer: Tokenizer, first_position: int) -> dict[str, Tensor]:
    """Questions and answers one after the other; each starts at `first_position`, behind BOS and the image."""
    ids: list[int] = []
    targets: list[int] = []
    positions: list[int] = []
    segment: list[int] = []
    answer_starts: list[int] = []
    for index, (asked, told) in enumerate(turns):
        prompt = build_prompt(asked, (), 1, tokenizer, tokenizer.tokens)
        question = list(prompt.parts[1])
        answer = [*tokenizer.encode(told, bos=False), tokenizer.tokens.eos]
        inputs = question + answer[:-1]
        answer_starts.append(len(ids) + len(question) - 1)
        ids += inputs
        targets += [IGNORED] * (len(question) - 1) + answer
        positions += range(first_position, first_position + len(inputs))
        segment += [index] * len(inputs)
    columns = {"token_ids": ids, "targets": targets, "positions": positions, "segment": segment}
    tensors = {name: torch.tensor(values, dtype=torch.int64) for name, values in columns.items()}
    seg_positions = torch.nonzero(tensors["token_ids"] == tokenizer.tokens.seg)[:, 0]
    return {
        **tensors,
        "answer_starts": torch.tensor(answer_starts, dtype=torch.int64),
        "seg_positions": seg_positions,
    }


def coverage(mask: NDArray[np.bool_], side: int) -> NDArray[np.float32]:
    """bool (S, S) -> float32 (side, side): the part of each cell that the mask covers; S must be a multiple of side."""
    step, rest = divmod(mask.shape[0], side)
    if rest:
        raise ValueError(f"a {mask.shape[0]}-pixel scene does not divide into {side} cells")
    return mask.reshape(side, step, side, step).mean((1, 3), dtype=np.float32)


def make_sample(
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
    turns = [(example.question, example.answer) for example in examples]
    packed = pack(turns, tokenizer, 1 + grid.image_tokens(config.tokens_per_side))
    groups = [numbers for example in examples for numbers in example.targets]
    if len(groups) != len(packed["seg_positions"]):
        raise ValueError(f"scene {scene.seed}: {len(packed['seg_at'])} [SEG] for {len(groups)} masks")
    supervised = np.sort(np.random.default_rng(scene.seed).permutation(len(groups))[:masks])
    truths = np.zeros((len(supervised), side, side), np.float32)
    for place, index in enumerate(supervised):
        members = np.zeros(int(scene.owners.max(initial=0)) + 1, np.bool_)
        members[list(groups[index])] = True
        truths[place] = coverage(members[scene.owners], side)
    head_targets = targets_of(scene, groups, side, grid.rows * config.tokens_per_side)
    return Sample(
        views=torch.from_numpy(views),
        grid=(grid.rows, grid.cols),
        pixels=torch.from_numpy(pixels),
        supervised=torch.from_numpy(supervised),
        masks=torch.from_numpy(truths),
        prompt_targets=prompt_targets(examples),
        head_targets=head_targets,
        attention_targets=_attention_targets(examples, head_targets),
        **packed,
    )


def _attention_targets(examples: Sequence[Example], head_targets: Targets) -> Tensor:
    rows = torch.full((len(examples), head_targets.pointers.shape[1] + 1), float("nan"))
    pointers = iter(head_targets.pointers)
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
    ) -> None:
        self.store, self.seeds, self.config, self.tokenizer = store, seeds, config, tokenizer
        self.hd_num, self.questions, self.masks = hd_num, questions, masks
        self.first, self.step = first, step

    def __iter__(self) -> Iterator[Sample]:
        worker = torch.utils.data.get_worker_info()
        offset, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        number = self.first + offset * self.step
        while True:
            yield self.sample(number)
            number += self.step * workers

    def sample(self, number: int) -> Sample:
        """Sample `number` of the sequence."""
        epoch, place = divmod(number, len(self.seeds))
        rng = np.random.default_rng([epoch, 11])
        seed = self.seeds[rng.permutation(len(self.seeds))[place]]
        scene = oriented(self.store.load(seed), (seed + 3 * epoch) % ORIENTATIONS)
        draw = 1 + epoch
        examples = [conversation(scene, draw), *referring(scene, self.questions, draw, TRAINING_MIX)]
        return make_sample(scene, examples, self.config, self.tokenizer, self.hd_num, self.masks)
