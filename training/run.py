"""One process of a training run: its share of every step, and the run's state on disk."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader
from tqdm import tqdm

from geopixel_edge.errors import CheckpointError

from .batches import Sample, Samples
from .heads import TeachingHeads
from .model import GeoPixel
from .pointing import Kept, Lesson, keep, learn, renew, whiten
from .processes import averaged, summed
from .step import losses_of
from .store import SceneStore
from .train import Plan, prepare_run

HEADS_NAME = "heads.safetensors"  # beside the directory `checkpoint`
WARM_STEPS = 200
GPU_WORKERS = 14
KEPT_FIRST = 10_000_000  # of samples: orientations and questions that no step of a run takes
LAST_TEACHING = 0.5  # what the encoders' heads still count for when the rate begins to fall


class Run:
    """Model, heads, optimiser and step of a run directory, restored when it holds a state."""

    def __init__(self, directory: Path, plan: Plan, device: str, rank: int = 0) -> None:
        self.directory, self.plan, self.device, self.rank = directory, plan, device, rank
        self.raw, sizes, self.tokenizer = prepare_run(directory, directory / "config.json")
        torch.manual_seed(0)
        self.model, self.heads = GeoPixel(sizes), TeachingHeads(sizes)
        if plan.start:
            self._begin_with(Path(plan.start))
        self.model, self.heads = self.model.to(device), self.heads.to(device)
        # Of the two forms of the same attention, the plain one is several times as fast on these short sequences.
        self.model.vision_encoder.clip.config._attn_implementation = "eager"
        self.parameters = [*self.model.parameters(), *self.heads.parameters()]
        self._new_optimizer()
        self.step, self.pointed, self.stopping = 0, False, False
        self.state_path = directory / "state.pt"
        if self.state_path.is_file():
            self._restore()

    def _begin_with(self, checkpoint: Path) -> None:
        """Weights of a checkpoint; and the heads' beside it, since fresh heads would first unteach it."""
        self.model = GeoPixel.load(checkpoint)
        path = checkpoint.parent / HEADS_NAME
        try:
            self.heads.load_state_dict({name: value.float() for name, value in load_file(path).items()})
        except (OSError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"{path} holds no heads of this model ({error}); copy it from the run") from None

    def _new_optimizer(self) -> None:
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=self.plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.02, fused=True
        )

    def _restore(self) -> None:
        try:
            state = torch.load(self.state_path, map_location=self.device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.heads.load_state_dict(state["heads"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.pointed = state["step"], state["pointed"]
        except (OSError, RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise CheckpointError(f"{self.state_path} cannot be resumed ({error}); remove it to start anew") from None

    def save(self) -> None:
        """Write the state aside, then rename; and the model as a checkpoint to export."""
        state = {"model": self.model.state_dict(), "heads": self.heads.state_dict(),
                 "optimizer": self.optimizer.state_dict(), "step": self.step, "pointed": self.pointed}  # fmt: skip
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

    def _samples(self, store: SceneStore, first: int) -> Iterator[Sample]:
        """This process's share of all samples from `first` on."""
        plan = self.plan
        samples = Samples(store, plan.scenes, self.model.config, self.tokenizer, plan.hd_num, plan.questions,
                          plan.masks, first + self.rank, plan.processes)  # fmt: skip
        workers = 0 if self.device == "cpu" else GPU_WORKERS
        return iter(DataLoader(samples, batch_size=None, num_workers=workers))

    def train(self, store: SceneStore, save_every_s: float) -> None:
        """Run the remaining steps, or until `stop`; `curve.jsonl` gets a line each."""
        plan = self.plan
        loader = self._samples(store, self.step * plan.batch)
        saved_s = time.monotonic()
        first = self.rank == 0
        if first:
            self._cut_curve()
        with (
            (self.directory / "curve.jsonl").open("a") as curve,
            tqdm(total=plan.steps, initial=self.step, disable=None if first else True, unit="step") as bar,
        ):
            while self.step < plan.steps and not self.stopping:
                if self.step >= plan.pointing_at and not self.pointed and not self.point_anew(store):
                    return
                line = self.one(list(islice(loader, plan.batch // plan.processes)))
                if not first:
                    continue
                curve.write(json.dumps(line) + "\n")
                curve.flush()
                bar.update()
                if time.monotonic() - saved_s > save_every_s:
                    self.save()
                    saved_s = time.monotonic()
        if first:
            self.save()

    def point_anew(self, store: SceneStore) -> bool:
        """The phase in which the pixel decoder starts anew and learns alone; `pointing.jsonl` gets a line a step.

        The run is saved before it and after it. False when it was stopped on the way: it begins again then.
        """
        plan, kept, samples = self.plan, list[Kept](), self._samples(store, KEPT_FIRST)
        if self.rank == 0:
            self.save()
        while len(kept) < plan.kept_scenes // plan.processes and not self.stopping:
            one = keep(self.model, next(samples), self.tokenizer.tokens.bos)
            kept += [one] if one else []
        if summed(torch.tensor([float(self.stopping)]), plan.processes) > 0:
            return False
        whiten(self.model, self.heads, kept, plan.processes)
        torch.manual_seed(3)
        renew(self.model.pixel_decoder)
        lesson = Lesson(plan.pointing_steps, plan.learning_rate, plan.learning_rate / 4, 2, plan.masks)
        lines = learn(self.model, self.heads, kept, lesson, self.rank, plan.processes,
                      lambda: self.stopping)  # fmt: skip
        with (self.directory / "pointing.jsonl").open("w") as curve:
            for line in tqdm(lines, total=plan.pointing_steps, disable=None if self.rank == 0 else True, unit="step"):
                if line.pop("stopped") > 0:
                    return False
                if self.rank == 0:
                    curve.write(json.dumps(line) + "\n")
        self._new_optimizer()  # what it knew of the whitened layers is of another scale
        self.pointed = True
        if self.rank == 0:
            self.save()
        return True

    def _cut_curve(self) -> None:
        """Forget lines of steps that were made after the last save, and are made again now."""
        path = self.directory / "curve.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
        path.write_text("".join(lines[: self.step]))

    def one(self, samples: list[Sample]) -> dict[str, float]:
        """One step over this process's samples; returns a line of the curve."""
        plan, start = self.plan, time.perf_counter()
        left = min(1.0, (plan.steps - self.step) / max(1.0, plan.decay * plan.steps))
        rate = plan.learning_rate * min(1.0, (self.step + 1) / WARM_STEPS) * left
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        gone = min(1.0, self.step / max(1.0, (1 - plan.decay) * plan.steps))
        teach = 1 - (1 - LAST_TEACHING) * gone
        seeing_only = self.step < plan.seeing_steps
        with torch.autocast(self.device.split(":")[0], torch.bfloat16):
            losses = losses_of(self.model, self.heads, samples, self.tokenizer.tokens.bos, teach, seeing_only)
        losses.total.backward()
        # One process that stops stops all, after the same step.
        stopping = losses.total.new_tensor(float(self.stopping)).float()
        values = torch.stack([*(value.detach().float() for value in vars(losses).values()), stopping])
        *means, stopped = averaged(self.parameters, values, plan.processes).tolist()
        self.stopping = stopped > 0
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        named = {name: round(value, 5) for name, value in zip(vars(losses), means, strict=True)}
        cost = {"norm": round(float(norm), 4), "rate": round(rate, 7), "s": round(time.perf_counter() - start, 3)}
        return {"step": self.step, **named, **cost}
