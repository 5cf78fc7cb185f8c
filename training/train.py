"""`python -m training.train RUN_DIR`: train a small GeoPixel on generated scenes; an interrupted run goes on.

On a CPU every process has its part of the cores and of each step's scenes, and gradients are averaged between them.
Ctrl-C ends a run after its step and saves it; the same command goes on.
"""

from __future__ import annotations

import argparse
import os
import pickle
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.multiprocessing.spawn import ProcessRaisedException, spawn

from geopixel_edge.cli.command import run_command
from geopixel_edge.errors import GeoPixelError, OptionError, OutputError

from .plan import RECIPES, Plan, check_plan, read_recipe, store_plan
from .prepare import CONFIG, prepare_run
from .run import Run
from .store import SceneStore


def _worker(
    rank: int, directory: Path, store: Path, plan: Plan, device: str, save_every_s: float, meeting: str
) -> None:
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


def train(
    run: Path, plan: Plan, device: str, config: Path = CONFIG, store: Path | None = None, save_every_s: float = 300
) -> None:
    """Begin a run in directory `run`, or go on with it; scenes are drawn into `store` first."""
    check_plan(plan, device)
    run.mkdir(parents=True, exist_ok=True)
    store_plan(run, plan.as_json())
    _, sizes, _ = prepare_run(run, config, plan.start)
    if plan.side_px % sizes.mask_px:
        raise OptionError(f"side_px={plan.side_px} is no multiple of the masks' {sizes.mask_px} px; make it one")
    store = store or run / "scenes"
    SceneStore(store, plan.side_px).fill(plan.seeds, os.cpu_count() or 1)
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
        error = Path(f"{arguments[-1]}.error")
        if error.is_file():
            raise pickle.loads(error.read_bytes()) from None  # written by our own worker, in our own directory
        raise


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("run", type=Path, help="directory of the run; an existing one is resumed")
    parser.add_argument("--recipe", type=Path, default=RECIPES / "small.json", help="its scenes and phases")
    parser.add_argument("--config", type=Path, default=CONFIG, help="sizes of the model")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--store", type=Path, help="where drawn scenes are kept (default: RUN/scenes)")
    parser.add_argument("--start", type=Path, help="begin with the weights of this checkpoint")
    parser.add_argument("--processes", type=int, help="default: two on a CPU of several cores, or one")
    parser.add_argument("--save-every-s", type=float, default=300)
    args = parser.parse_args(argv)
    cores = os.cpu_count() or 1
    processes = (2 if args.device == "cpu" and cores > 1 else 1) if args.processes is None else args.processes
    plan = read_recipe(args.recipe, processes, str(args.start.resolve()) if args.start else None)
    try:
        train(args.run, plan, args.device, args.config, args.store, args.save_every_s)
    except OSError as error:
        raise OutputError(
            f"run={str(args.run)[:200]!r} stopped ({error}); correct the path or make room: a run that was begun "
            "goes on from its last saved state"
        ) from None
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
