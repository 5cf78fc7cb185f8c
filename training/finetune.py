"""`python -m training.finetune DATA RUN`: go on training a checkpoint on pictures in GeoPixelD's layout.

What is taught is what such data holds: the words of the answers and the masks of their phrases. Both encoders stay as
they are. Ctrl-C ends a run after its step and saves it; the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import pickle
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from geopixel_edge import limits
from geopixel_edge.checks import check_integer
from geopixel_edge.cli.command import run_command
from geopixel_edge.errors import CheckpointError, OptionError, OutputError

from .annotated import AnnotatedPictures, losses_of
from .dataset import load_dataset
from .errors import DatasetError
from .model import GeoPixel
from .optimizer import Optimizer
from .plan import MAX_COUNT, check_device, store_plan
from .prepare import CONFIG, prepare_run

START = Path(__file__).parent / "checkpoint"
WARM_PART = 0.05  # of a run's steps


@dataclass(frozen=True)
class Tuning:
    """Stored with a run; a resumed run must have the same. `batch` pictures a step, at most `masks` of each taught;
    the rate warms up and falls evenly from `rate` to 0."""

    data: str
    start: str
    steps: int
    batch: int
    masks: int
    hd_num: int
    rate: float

    def check(self) -> None:
        """OptionError for what no run can do."""
        for name in ("steps", "batch", "masks"):
            check_integer(name, getattr(self, name), 1, MAX_COUNT)
        check_integer("hd_num", self.hd_num, 1, limits.MAX_HD_NUM)
        if not 1e-9 <= self.rate <= 1:
            raise OptionError(f"rate={self.rate!r} is out of range; give a number from 1e-9 to 1")

    def rate_at(self, step: int) -> float:
        """The rate of a step counted from 0."""
        return self.rate * (1 - step / self.steps) * min(1.0, (step + 1) / (WARM_PART * self.steps))


class Finetuning:
    """Model, optimiser and step of a run directory, restored when it holds a state."""

    def __init__(self, directory: Path, tuning: Tuning, device: str) -> None:
        """DatasetError for data, CheckpointError for weights that cannot be used, before anything is written;
        OptionError for a directory of another run."""
        tuning.check()
        check_device(device)
        self.data = load_dataset(tuning.data)
        if bad := self.data.usable()[1]:
            raise DatasetError(f"{len(bad)} of {len(self.data)} entries cannot be used, the first: {bad[0]}")
        self.model = GeoPixel.load(Path(tuning.start)).to(device).requires_grad_(False)
        directory.mkdir(parents=True, exist_ok=True)
        store_plan(directory, asdict(tuning))
        self.directory, self.tuning, self.device = directory, tuning, device
        self.raw, sizes, tokenizer = prepare_run(directory, CONFIG, tuning.start)
        self.pictures = AnnotatedPictures(self.data, sizes, tokenizer, tuning.hd_num, tuning.masks)
        self.bos, self.step, self.stopping = tokenizer.tokens.bos, 0, False
        taught = (self.model.language_model, self.model.token_embeddings, self.model.pixel_decoder)
        self.parameters = [one for module in taught for one in module.requires_grad_(True).parameters()]
        self.optimizer = Optimizer(self.model, self.parameters, tuning.rate)
        self.state_path = directory / "state.pt"
        if self.state_path.is_file():
            self._restore()

    def _restore(self) -> None:
        try:
            state = torch.load(self.state_path, map_location=self.device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]
        except (OSError, RuntimeError, LookupError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise CheckpointError(f"{self.state_path} cannot be resumed ({error}); remove it to start anew") from None

    def save(self) -> None:
        """Write the state aside, then rename; and the model as a checkpoint to export."""
        optimizer, model = self.optimizer.state_dict(), self.model.state_dict()
        partial = self.state_path.with_suffix(".partial")
        torch.save({"model": model, "optimizer": optimizer, "step": self.step}, partial)
        partial.rename(self.state_path)
        self.model.save(self.directory / "checkpoint", self.raw, self.directory / "tokenizer")

    def stop(self, *_: object) -> None:
        """End after the step that is being made; fit for a signal handler."""
        self.stopping = True

    def train(self, save_every_s: float = 300) -> None:
        """Run the remaining steps, or until `stop`; `curve.jsonl` gets a line each."""
        path, saved_s = self.directory / "curve.jsonl", time.monotonic()
        lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
        path.write_text("".join(lines[: self.step]))  # steps after the last save are made again
        with path.open("a") as curve, tqdm(total=self.tuning.steps, initial=self.step, disable=None) as bar:
            while self.step < self.tuning.steps and not self.stopping:
                curve.write(json.dumps(self.train_step()) + "\n")
                curve.flush()
                bar.update()
                if time.monotonic() - saved_s > save_every_s:
                    self.save()
                    saved_s = time.monotonic()
        self.save()

    def train_step(self) -> dict[str, Any]:
        """One step; returns a line of the curve. Step n sees the same pictures and masks whenever it is made."""
        sums: dict[str, float] = {}
        for place in range(self.tuning.batch):
            sample = self.pictures.sample(self.step * self.tuning.batch + place)
            with torch.autocast(self.device.split(":")[0], torch.bfloat16):
                losses = losses_of(self.model, sample, self.bos)
            (losses["total"] / self.tuning.batch).backward()
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, 1.0))
        if not np.isfinite(norm):
            raise OptionError(f"rate={self.tuning.rate}: losses are not finite at step {self.step + 1}; lower it")
        self.optimizer.step(self.tuning.rate_at(self.step))
        self.step += 1
        means = {name: round(value / self.tuning.batch, 5) for name, value in sums.items()}
        return {"step": self.step, **means, "norm": round(norm, 4)}


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.finetune", description=__doc__)
    parser.add_argument("data", type=Path, help="index, or folder of GeoPixelD's files: DATA/GeoPixelD/GeoPixelD.json")
    parser.add_argument("run", type=Path, help="directory of the run; an existing one is resumed")
    parser.add_argument(
        "--start", type=Path, default=START, help="checkpoint to go on from (default: the bundled one's)"
    )
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=4, help="pictures a step (default: 4)")
    parser.add_argument("--masks", type=int, default=16, help="masks taught of a picture at most (default: 16)")
    parser.add_argument("--hd-num", type=int, default=9, help="views a picture is divided into at most (default: 9)")
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(argv)
    names = str(args.data.resolve()), str(args.start.resolve())
    tuning = Tuning(*names, args.steps, args.batch, args.masks, args.hd_num, args.rate)
    try:
        run = Finetuning(args.run, tuning, args.device)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, run.stop)
        run.train()
    except OSError as error:
        raise OutputError(f"run={str(args.run)[:200]!r} stopped ({error}); make room or correct the path") from None
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
