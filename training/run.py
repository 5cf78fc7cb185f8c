"""One process of a training run: its share of every step, and the run's state on disk."""

from __future__ import annotations

import json
import pickle
import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from geopixel_edge.errors import CheckpointError

from .batches import Sample, Samples
from .feature_cache import CachedScene, cache_pointed_scene, cache_scene, cached_losses, reinitialise, whiten
from .heads import HEADS_NAME, TeachingHeads, read_heads
from .model import GeoPixel
from .optimizer import Optimizer
from .plan import MAX_COUNT, Part, Phase, Plan
from .prepare import prepare_run
from .processes import averaged
from .step import losses_of
from .store import SceneStore

WARM_STEPS = 100
GPU_WORKERS = 14
PHASE_SAMPLES = 10_000_000  # apart: no two phases show the same scene in the same way with the same questions


class Run:
    """Model, heads, optimiser, phase and step of a run directory, restored when it holds a state."""

    def __init__(self, directory: Path, plan: Plan, device: str, rank: int = 0) -> None:
        self.directory, self.plan, self.device, self.rank = directory, plan, device, rank
        self.raw, sizes, self.tokenizer = prepare_run(directory, directory / "config.json")
        torch.manual_seed(0)
        self.model, self.heads = GeoPixel(sizes), TeachingHeads(sizes)
        if plan.start:
            self._load_start(Path(plan.start))
        self.model, self.heads = self.model.to(device), self.heads.to(device)
        # Of the two forms of the same attention, the plain one is several times as fast on these short sequences.
        self.model.vision_encoder.clip.config._attn_implementation = "eager"
        self.stopping = False
        self.enter(0)
        self.state_path = directory / "state.pt"
        if self.state_path.is_file():
            self._restore()

    @property
    def phase(self) -> Phase:
        """The phase the run is in."""
        return self.plan.phases[self.index]

    @property
    def steps_before(self) -> int:
        """Steps of the phases that are over."""
        return sum(phase.steps for phase in self.plan.phases[: self.index])

    def enter(self, index: int) -> None:
        """Begin a phase, or after the last one the end; only what learns in it needs gradients."""
        self.index, self.step = index, 0
        for parameter in (*self.model.parameters(), *self.heads.parameters()):
            parameter.requires_grad_(False)
        self.parameters: list[nn.Parameter] = []
        self.optimizer: Optimizer | None = None
        if index < len(self.plan.phases):
            self.parameters = trainable_parameters(self.phase.part, self.model, self.heads)
            for parameter in self.parameters:
                parameter.requires_grad_(True)
            self.optimizer = Optimizer(self.model, self.parameters, self.phase.rate)

    def _load_start(self, checkpoint: Path) -> None:
        """Weights of a checkpoint; and the heads' beside it, since fresh heads would first unteach it."""
        self.model = GeoPixel.load(checkpoint)
        self.heads = read_heads(checkpoint, self.model.config)

    def _restore(self) -> None:
        try:
            state = torch.load(self.state_path, map_location=self.device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.heads.load_state_dict(state["heads"])
            self.enter(state["phase"])
            self.step = state["step"]
            if self.optimizer:
                self.optimizer.load_state_dict(state["optimizer"])
        except (OSError, RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise CheckpointError(f"{self.state_path} cannot be resumed ({error}); remove it to start anew") from None

    def save(self) -> None:
        """Write the state aside, then rename; and the model as a checkpoint to export."""
        state = {
            "model": self.model.state_dict(),
            "heads": self.heads.state_dict(),
            "phase": self.index,
            "optimizer": self.optimizer.state_dict() if self.optimizer else None,
            "step": self.step,
        }
        partial = self.state_path.with_suffix(".partial")
        torch.save(state, partial)
        partial.rename(self.state_path)
        heads = self.state_path.with_name(HEADS_NAME + ".partial")
        save_file({name: value.cpu().contiguous() for name, value in self.heads.state_dict().items()}, heads)
        heads.rename(self.directory / HEADS_NAME)
        self.model.save(self.directory / "checkpoint", self.raw, self.directory / "tokenizer")

    def stop(self, *_: object) -> None:
        """End after the step that is being made; fit for a signal handler."""
        self.stopping = True

    def train(self, store: SceneStore, save_every_s: float) -> None:
        """Run the remaining steps of all phases, or until `stop`; `curve.jsonl` gets a line each."""
        first = self.rank == 0
        total = sum(phase.steps for phase in self.plan.phases)
        if first:
            self._cut_curve()
        with (
            (self.directory / "curve.jsonl").open("a") as curve,
            tqdm(total=total, initial=self.steps_before + self.step, disable=None if first else True) as bar,
        ):
            while self.index < len(self.plan.phases) and not self.stopping:
                self._run_phase(store, save_every_s, curve, bar)
        if first:
            self.save()

    def _run_phase(self, store: SceneStore, save_every_s: float, curve: TextIO, bar: tqdm) -> None:
        """The rest of the phase the run is in."""
        phase, first, saved_s = self.phase, self.rank == 0, time.monotonic()
        source = self._samples(store)
        cached = self._cached_scenes(store) if phase.part is Part.MASKS else []
        while self.step < phase.steps:
            line = self.train_step(cached or list(islice(source, phase.batch // self.plan.processes)))
            if first:
                curve.write(json.dumps(line) + "\n")
                curve.flush()
                bar.update()
                bar.set_description(phase.part.value, refresh=False)
            if self.stopping:
                return
            if first and time.monotonic() - saved_s > save_every_s:
                self.save()
                saved_s = time.monotonic()
        self.enter(self.index + 1)

    def _samples(self, store: SceneStore) -> Iterator[Sample]:
        """This process's share of the samples that the phase has not seen yet; with all masks if they are cached."""
        plan, phase = self.plan, self.phase
        cached = phase.part is Part.MASKS
        done, masks = (0, MAX_COUNT) if cached else (self.step * phase.batch, phase.masks)
        samples = Samples(
            store,
            plan.seeds,
            self.model.config,
            self.tokenizer,
            plan.hd_num,
            phase.questions,
            masks,
            self.index * PHASE_SAMPLES + done + self.rank,
            plan.processes,
        )
        return iter(DataLoader(samples, batch_size=None, num_workers=0 if self.device == "cpu" else GPU_WORKERS))

    def _cached_scenes(self, store: SceneStore) -> list[CachedScene]:
        """Scenes as the decoder sees them; if it starts anew, their features are whitened before the first step."""
        if self.phase.anew and self.step == 0:
            whiten(self.model, self.heads, self._cache(store), self.plan.processes)
            torch.manual_seed(3)
            reinitialise(self.model.pixel_decoder, self.heads)
        return self._cache(store)

    def _cache(self, store: SceneStore) -> list[CachedScene]:
        source, cached = self._samples(store), list[CachedScene]()
        while len(cached) < self.phase.kept_scenes // self.plan.processes:
            sample = next(source)
            if self.phase.own_states:
                one = cache_pointed_scene(self.model, self.heads, sample, self.tokenizer.tokens.bos)
            else:
                one = cache_scene(self.model, sample)
            cached += [one] if one else []
        return cached

    def _cut_curve(self) -> None:
        """Forget lines of steps that were made after the last save, and are made again now."""
        path = self.directory / "curve.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
        path.write_text("".join(lines[: self.steps_before + self.step]))

    def _losses(self, scenes: list[Any]) -> dict[str, Tensor]:
        phase, bos = self.phase, self.tokenizer.tokens.bos
        if phase.part is not Part.MASKS:
            return losses_of(self.model, self.heads, scenes, bos, phase.part)
        draw = random.Random(f"{self.index} {self.step} {self.rank}")
        chosen = draw.choices(scenes, k=phase.batch // self.plan.processes)
        return cached_losses(self.model, self.heads, chosen, phase.masks, draw)

    def train_step(self, scenes: list[Any]) -> dict[str, Any]:
        """One step over this process's samples, or drawn from its cached scenes; returns a line of the curve."""
        start, phase, optimizer = time.perf_counter(), self.phase, self.optimizer
        assert optimizer is not None
        rate = phase.rate_at(self.step, WARM_STEPS)
        with torch.autocast(self.device.split(":")[0], torch.bfloat16):
            losses = self._losses(scenes)
        losses["total"].backward()
        # One process that stops stops all, after the same step.
        stopping = losses["total"].new_tensor(float(self.stopping)).float()
        values = torch.stack([*(value.detach().float() for value in losses.values()), stopping])
        *means, stopped = averaged(self.parameters, values, self.plan.processes).tolist()
        self.stopping = stopped > 0
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        optimizer.step(rate)
        self.step += 1
        named = {name: round(value, 5) for name, value in zip(losses, means, strict=True)}
        cost = {"norm": round(float(norm), 4), "rate": round(rate, 7), "s": round(time.perf_counter() - start, 3)}
        return {"step": self.steps_before + self.step, "part": phase.part.value, **named, **cost}


def trainable_parameters(part: Part, model: GeoPixel, heads: TeachingHeads) -> list[nn.Parameter]:
    """The parameters that learn with a part."""
    reading = (model.language_model, model.token_embeddings, *heads.language_heads())
    modules: dict[Part, tuple[nn.Module, ...]] = {
        Part.ENCODERS: (model.vision_encoder, model.grounding_encoder, heads.patches, heads.pyramid),
        Part.MASKS: (model.pixel_decoder, heads.asked, heads.coarse),
        Part.READING: reading,
        Part.GROUNDING: (model.vision_encoder, heads.patches, *reading, model.pixel_decoder, heads.coarse),
        Part.ALL: (model, heads),
    }
    return [parameter for module in modules[part] for parameter in module.parameters()]
