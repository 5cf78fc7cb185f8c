"""`python -m training.train RUN_DIR`: train a small GeoPixel on generated scenes; an interrupted run goes on.

On a CPU every process has one core and a share of each step's scenes, and gradients are averaged between them. Ctrl-C
ends a run after its step and saves it; the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import shutil
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.multiprocessing.spawn import ProcessRaisedException, spawn

from export.checkpoint import Checkpoint
from export.config import ModelConfig, read_config
from export.publish import special_tokens
from export.tokenizer import convert
from geopixel_edge import limits
from geopixel_edge.divider import check_integer
from geopixel_edge.errors import CheckpointError, GeoPixelError, OptionError
from geopixel_edge.tokenizer import Tokenizer

from .model import TOKENIZER_FILES
from .questions import conversation, referring
from .scenes import EVALUATION_SEED, make_scene
from .store import SceneStore
from .vocabulary import train_tokenizer

CONFIG = Path(__file__).parent / "configs" / "small.json"
VOCABULARY_SCENES, VOCABULARY_SIDE_PX = 300, 256
MAX_COUNT = 100_000_000


@dataclass(frozen=True)
class Plan:
    """What a run does; stored with it, and a resumed run must have the same, but for `steps`.

    The rate warms up, stays, and falls to nothing over the last `decay` of the steps, so that a run may be made longer
    or shorter while it stays. In the first `seeing_steps` only the encoders learn, from the teaching heads. Before step
    `pointing_at` the pixel decoder starts anew and learns alone for `pointing_steps`, from `kept_scenes`.
    """

    steps: int
    seeing_steps: int
    pointing_at: int
    pointing_steps: int
    kept_scenes: int
    batch: int
    processes: int
    scenes: int
    side_px: int
    hd_num: int
    questions: int
    masks: int
    learning_rate: float
    decay: float
    start: str | None = None  # a checkpoint whose weights, sizes and tokenizer a run begins with


def prepare_run(
    run: Path, config: Path, start: str | None = None
) -> tuple[dict[str, Any], ModelConfig, Tokenizer]:
    """The run's tokenizer and config: those of `start`, or made on first use from the first training scenes."""
    tokenizer_dir = run / "tokenizer"
    if not (run / "config.json").is_file() and start:
        Checkpoint(Path(start)).check_all()
        tokenizer_dir.mkdir(parents=True, exist_ok=True)
        for name in TOKENIZER_FILES:
            shutil.copy(Path(start) / name, tokenizer_dir / name)
        shutil.copy(Path(start) / "config.json", run / "config.json")
    elif not (run / "config.json").is_file():
        texts = []
        for seed in range(VOCABULARY_SCENES):
            scene = make_scene(seed, VOCABULARY_SIDE_PX)
            for example in (conversation(scene), *referring(scene, 6)):
                texts += [f"user\n{example.question}", f"assistant\n{example.answer}"]
        size = train_tokenizer(texts, tokenizer_dir)
        (run / "config.json").write_text(json.dumps({**json.loads(config.read_text()), "vocab_size": size}, indent=1))
    raw = json.loads((run / "config.json").read_text())
    with TemporaryDirectory() as aside:  # every process of a run converts for itself
        converted = Path(aside) / "tokenizer.json"
        tokenizer = Tokenizer(converted, special_tokens(convert(tokenizer_dir, converted)))
    return raw, read_config(run / "config.json"), tokenizer


def keep_plan(run: Path, plan: Plan) -> None:
    """A resumed run must do what it was begun to do, or its curve would lie; OptionError names what differs."""
    path, wanted = run / "plan.json", asdict(plan)
    if path.is_file():
        try:
            kept = json.loads(path.read_text())
        except ValueError as error:
            raise CheckpointError(f"{path} is no plan ({error}); begin in another directory") from None
        if other := sorted(name for name in wanted if name != "steps" and kept.get(name) != wanted[name]):
            said = ", ".join(f"{name}={kept.get(name)!r}" for name in other)
            raise OptionError(f"{path} says {said}; give the same options, or another directory")
    path.write_text(json.dumps(wanted, indent=1))


def _check(plan: Plan, device: str) -> None:
    """OptionError for what no run can do."""
    for name in ("steps", "pointing_steps", "batch", "processes", "questions", "masks"):
        check_integer(name, getattr(plan, name), 1, MAX_COUNT)
    for name in ("seeing_steps", "pointing_at"):
        check_integer(name, getattr(plan, name), 0, MAX_COUNT)
    # Scenes are seeds 0, 1, ...; those from EVALUATION_SEED on are never trained on.
    check_integer("scenes", plan.scenes, 1, EVALUATION_SEED)
    check_integer("kept_scenes", plan.kept_scenes, plan.processes, MAX_COUNT)
    check_integer("hd_num", plan.hd_num, 1, limits.MAX_HD_NUM)
    for name, low in (("learning_rate", 1e-9), ("decay", 0.0)):
        if not low <= getattr(plan, name) <= 1:
            raise OptionError(f"{name}={getattr(plan, name)} is out of range; give a number from {low} to 1")
    if plan.batch % plan.processes:
        raise OptionError(f"batch={plan.batch} is no multiple of processes={plan.processes}; make it one")
    if plan.processes > 1 and device != "cpu":
        raise OptionError(f"processes={plan.processes} on device={device!r}: only a CPU is shared; give 1")
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise OptionError(f"device={device!r} cannot be used ({reason}); give 'cpu' or a GPU that is there") from None


def _worker(
    rank: int, directory: Path, store: Path, plan: Plan, device: str, save_every_s: float, meeting: str
) -> None:
    from .run import Run

    if plan.processes > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{meeting}", rank=rank, world_size=plan.processes
        )
    if device == "cpu":
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // plan.processes))
    try:
        run = Run(directory, plan, device, rank)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, run.stop)
        run.train(SceneStore(store, plan.side_px), save_every_s)
    except GeoPixelError as error:  # the parent would only get a traceback
        Path(f"{meeting}.error").write_bytes(pickle.dumps(error))
        raise
    if plan.processes > 1:
        torch.distributed.destroy_process_group()


def train(run: Path, plan: Plan, device: str, config: Path = CONFIG, store: Path | None = None,
          save_every_s: float = 300) -> None:  # fmt: skip
    """Begin a run in directory `run`, or go on with it; scenes are drawn into `store` first."""
    _check(plan, device)
    run.mkdir(parents=True, exist_ok=True)
    keep_plan(run, plan)
    _, sizes, _ = prepare_run(run, config, plan.start)
    if plan.side_px % sizes.mask_px:
        raise OptionError(f"side_px={plan.side_px} is no multiple of the masks' {sizes.mask_px} px; make it one")
    store = store or run / "scenes"
    SceneStore(store, plan.side_px).fill(range(plan.scenes), os.cpu_count() or 1)
    with TemporaryDirectory() as aside:
        arguments = (run, store, plan, device, save_every_s, f"{aside}/meeting")
        if plan.processes == 1:
            _worker(0, *arguments)
        else:
            _spawn(arguments, plan.processes)


def _spawn(arguments: tuple[Any, ...], processes: int) -> None:
    """Run the workers; an interruption is passed on to them, and they end together after a step."""
    workers = spawn(_worker, arguments, processes, join=False)
    assert workers is not None

    def pass_on(number: int, frame: object) -> None:
        for process in workers.processes:
            if process.is_alive() and process.pid:
                os.kill(process.pid, signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    try:
        while not workers.join():
            pass
    except ProcessRaisedException:
        told = Path(f"{arguments[-1]}.error")
        if told.is_file():
            raise pickle.loads(told.read_bytes()) from None  # written by our own worker, in our own directory
        raise


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("run", type=Path, help="directory of the run; an existing one is resumed")
    parser.add_argument("--config", type=Path, default=CONFIG, help="sizes of the model")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--store", type=Path, help="where drawn scenes are kept (default: RUN/scenes)")
    parser.add_argument("--start", type=Path, help="begin with the weights of this checkpoint")
    parser.add_argument("--steps", type=int, default=7_360)
    parser.add_argument("--seeing-steps", type=int, help="first steps, only encoders learn (1500; 0 with --start)")
    parser.add_argument(
        "--pointing-at", type=int, help="before this step the pixel decoder starts anew (5510; never with --start)"
    )
    parser.add_argument("--pointing-steps", type=int, default=1_490, help="how long it then learns alone")
    parser.add_argument("--kept-scenes", type=int, default=690, help="scenes whose features it learns from")
    parser.add_argument("--batch", type=int, default=2, help="scenes per step")
    parser.add_argument("--processes", type=int, help="default: one per core on a CPU, up to the batch")
    parser.add_argument("--scenes", type=int, default=6_000, help="how many scenes are drawn; each has 8 orientations")
    parser.add_argument("--side-px", type=int, default=640)
    parser.add_argument("--hd-num", type=int, default=9)
    parser.add_argument("--questions", type=int, default=16, help="referring questions per scene")
    parser.add_argument("--masks", type=int, default=12, help="masks taught per scene")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--decay", type=float, default=0.7, help="part of the steps over which the rate falls")
    parser.add_argument("--save-every-s", type=float, default=300)
    args = parser.parse_args(argv)
    processes = args.processes or (min(os.cpu_count() or 1, args.batch) if args.device == "cpu" else 1)
    seeing, pointing = (0, MAX_COUNT) if args.start else (1_500, 5_510)
    seeing = seeing if args.seeing_steps is None else args.seeing_steps
    pointing = pointing if args.pointing_at is None else args.pointing_at
    plan = Plan(args.steps, seeing, pointing, args.pointing_steps, args.kept_scenes, args.batch, processes,
                args.scenes, args.side_px, args.hd_num, args.questions, args.masks, args.learning_rate, args.decay,
                str(args.start.resolve()) if args.start else None)  # fmt: skip
    try:
        train(args.run, plan, args.device, args.config, args.store, args.save_every_s)
    except GeoPixelError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
