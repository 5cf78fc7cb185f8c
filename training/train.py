"""`python -m training.train RUN_DIR`: train a small GeoPixel on generated scenes; an interrupted run goes on."""

from __future__ import annotations

import argparse
import itertools
import json
import math
import pickle
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from export.config import ModelConfig, read_config
from export.publish import special_tokens
from export.tokenizer import convert
from geopixel_edge.errors import CheckpointError, GeoPixelError, OptionError
from geopixel_edge.tokenizer import Tokenizer

from .batches import Sample, Scenes
from .heads import ClassHeads
from .model import GeoPixel
from .questions import conversation, referring
from .scenes import EVALUATION_SEED, make_scene
from .step import losses_of
from .vocabulary import train_tokenizer

CONFIG = Path(__file__).parent / "configs" / "small.json"
VOCABULARY_SCENES, VOCABULARY_SIDE_PX = 300, 256


@dataclass(frozen=True)
class Plan:
    """What a run does; stored with it, and a resumed run must have the same."""

    steps: int
    batch: int
    side_px: int
    hd_num: int
    questions: int
    learning_rate: float
    masks_per_image: int


def prepare_run(run: Path, config: Path) -> tuple[dict[str, Any], ModelConfig, Tokenizer]:
    """The run's tokenizer and config, made on first use from the first training scenes."""
    tokenizer_dir = run / "tokenizer"
    if not (tokenizer_dir / "tokenizer_config.json").is_file():
        texts = []
        for seed in range(VOCABULARY_SCENES):
            scene = make_scene(seed, VOCABULARY_SIDE_PX)
            for example in (conversation(scene), *referring(scene, 6)):
                texts += [f"user\n{example.question}", f"assistant\n{example.answer}"]
        train_tokenizer(texts, tokenizer_dir)
    facts = convert(tokenizer_dir, tokenizer_dir / "tokenizer.json")
    raw = {**json.loads(config.read_text()), "vocab_size": facts.phrase_close + 1}
    (run / "config.json").write_text(json.dumps(raw, indent=1))
    return raw, read_config(run / "config.json"), Tokenizer(tokenizer_dir / "tokenizer.json", special_tokens(facts))


class Run:
    """Model, optimiser and step of a run directory, restored when it holds a state."""

    def __init__(self, directory: Path, plan: Plan, device: str, config: Path = CONFIG) -> None:
        self.directory, self.plan, self.device = directory, plan, device
        directory.mkdir(parents=True, exist_ok=True)
        self.raw, sizes, self.tokenizer = prepare_run(directory, config)
        torch.manual_seed(0)
        self.model, self.heads = GeoPixel(sizes).to(device), ClassHeads(sizes).to(device)
        parameters = [*self.model.parameters(), *self.heads.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.02)
        self.parameters, self.step = parameters, 0
        self.state_path = directory / "state.pt"
        self._keep_plan()
        if self.state_path.is_file():
            self._restore()

    def _keep_plan(self) -> None:
        """A resumed run must do what it was begun to do, or its curve would lie."""
        path, wanted = self.directory / "plan.json", json.dumps(asdict(self.plan), indent=1)
        if path.is_file() and path.read_text() != wanted:
            raise OptionError(f"{path} says {path.read_text()}; give the same options, or another directory")
        path.write_text(wanted)

    def _restore(self) -> None:
        try:
            state = torch.load(self.state_path, map_location=self.device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.heads.load_state_dict(state["heads"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]
        except (OSError, RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise CheckpointError(f"{self.state_path} cannot be resumed ({error}); remove it to start anew") from None

    def save(self) -> None:
        """Write the state aside, then rename; and the model as a checkpoint to export."""
        state = {"model": self.model.state_dict(), "heads": self.heads.state_dict(),
                 "optimizer": self.optimizer.state_dict(), "step": self.step}  # fmt: skip
        partial = self.state_path.with_suffix(".partial")
        torch.save(state, partial)
        partial.rename(self.state_path)
        self.model.save(self.directory / "checkpoint", self.raw, self.directory / "tokenizer")

    def train(self, save_every_s: float) -> None:
        """Run the remaining steps; `curve.jsonl` gets a line each."""
        plan = self.plan
        scenes = Scenes(self.model.config, self.tokenizer, self.step * plan.batch, plan.side_px, plan.hd_num,
                        plan.questions)  # fmt: skip
        workers = 1 if self.device == "cpu" else 14
        loader = DataLoader(scenes, batch_size=None, num_workers=workers, prefetch_factor=2 * plan.batch)
        samples, saved_s = iter(loader), time.monotonic()
        with (
            (self.directory / "curve.jsonl").open("a") as curve,
            tqdm(total=plan.steps, initial=self.step, disable=None, unit="step") as bar,
        ):
            while self.step < plan.steps:
                line = self._one(list(itertools.islice(samples, plan.batch)))
                curve.write(json.dumps(line) + "\n")
                curve.flush()
                bar.update()
                if time.monotonic() - saved_s > save_every_s:
                    self.save()
                    saved_s = time.monotonic()
        self.save()

    def _one(self, samples: list[Sample]) -> dict[str, float]:
        plan, start = self.plan, time.perf_counter()
        torch.manual_seed(self.step)  # which masks are chosen must not depend on when a run was interrupted
        warm = min(1.0, (self.step + 1) / 200)
        rate = plan.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.step / plan.steps)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        teach = max(0.0, 1 - 2 * self.step / plan.steps)
        with torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.device != "cpu"):
            losses = losses_of(self.model, self.heads, samples, self.tokenizer.tokens.bos, plan.masks_per_image, teach)
        losses.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        values = {name: round(value.item(), 5) for name, value in vars(losses).items()}
        return {"step": self.step, **values, "norm": round(float(norm), 4), "s": round(time.perf_counter() - start, 3)}


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("run", type=Path, help="directory of the run; an existing one is resumed")
    parser.add_argument("--config", type=Path, default=CONFIG, help="sizes of the model")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=4, help="scenes per step")
    parser.add_argument("--side-px", type=int, default=640)
    parser.add_argument("--hd-num", type=int, default=9)
    parser.add_argument("--questions", type=int, default=8, help="referring questions per scene")
    parser.add_argument("--learning-rate", type=float, default=6e-4)
    parser.add_argument("--masks-per-image", type=int, default=10)
    parser.add_argument("--save-every-s", type=float, default=300)
    args = parser.parse_args(argv)
    if args.steps * args.batch >= EVALUATION_SEED:
        parser.error(f"steps x batch reaches the evaluation seeds, {EVALUATION_SEED} and above; lower one")
    plan = Plan(args.steps, args.batch, args.side_px, args.hd_num, args.questions, args.learning_rate,
                args.masks_per_image)  # fmt: skip
    try:
        Run(args.run, plan, args.device, args.config).train(args.save_every_s)
    except GeoPixelError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
