"""The parts of the comparison, each measured on the same engine in the same process, and gathered for JSON."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from export.checkpoint import Checkpoint
from geopixel_edge.errors import ExportError
from geopixel_edge.images import load_image
from geopixel_edge.model import Model

from . import answers, encoders, growth, llama_cpp, ours, recompute
from .floor import matrix_flop_per_s, read_bytes_per_s
from .shapes import GEOPIXEL_7B, Shapes
from .turns import in_turn

# Of all 32 layers torch's module alone takes 28 GB: what is measured without peers.
WHOLE_PARTS = ("memory",)
PARTS = ("decode", "prefill", "encoders", "whole_answer", "growth", "memory")
CACHED = (0, 4000)
PROMPTS = (512, 4096)
BATCH = 8
_LAYER_NUMBERS, _OTHER_NUMBERS = 237_000_000, 1_340_000_000
_ENGINE_BYTES = 1  # a number, at int4 with the table of embeddings at float16; an upper bound
_STEPS = 4  # of each competitor in a turn
_MOST_PROMPT_TURNS = 3  # a prompt takes seconds


def measure_all(args: argparse.Namespace) -> dict[str, Any]:
    """Make what is missing in `args.work`, measure the parts asked for; plain values for JSON."""
    shapes = GEOPIXEL_7B if args.whole else replace(GEOPIXEL_7B, layers=args.layers)
    args.work.mkdir(parents=True, exist_ok=True)
    wanted = args.only or (WHOLE_PARTS if args.whole else PARTS)
    checkpoint, engine, exported = _prepared(args.work, shapes.layers, args.precision)
    found: dict[str, Any] = {
        "settings": {
            "layers": shapes.layers,
            "precision": args.precision,
            "threads": args.threads,
            "turns": args.turns,
        },
        "engine": {"bytes": sum(path.stat().st_size for path in engine.rglob("*") if path.is_file())},
        "export": exported,
    }
    if "memory" in wanted:
        found["memory"] = {"export_peak_bytes": exported["peak_bytes"], **answers.measured(engine, args.whole)}
    if set(wanted) - {"memory"}:
        model = Model.open(engine, "cpu", args.threads)
        found["floor"] = {
            "read_bytes_per_s": read_bytes_per_s(args.threads),
            "matrix_flop_per_s": matrix_flop_per_s(args.threads),
        }
        parts: dict[str, Callable[[], Any]] = {
            "decode": lambda: _decode(model, shapes, args, found["floor"]["read_bytes_per_s"]),
            "prefill": lambda: _prefill(model, shapes, args),
            "encoders": lambda: {
                name: encoders.compare(name, model, Checkpoint(checkpoint), args.work, args.threads, args.turns)
                for name in encoders.ENCODERS
            },
            "whole_answer": lambda: _whole_answer(model, Checkpoint(checkpoint), args),
            "growth": lambda: growth.measured(model),
        }
        for name, part in parts.items():
            if name in wanted:
                found.update(part() if name == "encoders" else {name: part()})
    return found


def _prepared(work: Path, layers: int, precision: str) -> tuple[Path, Path, dict[str, Any]]:
    """The random checkpoint, its engine, and what the export told; each made once.

    ExportError where the disk has no room for what is still to be made.
    """
    name = re.sub(r"[^\w.]+", "-", f"{layers}-{precision}")
    checkpoint, engine, told = work / f"checkpoint-{layers}", work / f"engine-{name}", work / f"export-{name}.json"
    _check_room(work, layers, checkpoint.is_dir(), engine.is_dir())
    if not checkpoint.is_dir():
        aside = work / f"checkpoint-{layers}.partial"
        shutil.rmtree(aside, ignore_errors=True)  # of a run that was stopped
        command = [sys.executable, "-m", "tests.support.random_checkpoint", str(aside), "--layers", str(layers)]
        subprocess.run(command, check=True)
        aside.rename(checkpoint)
    if not engine.is_dir():
        command = [sys.executable, "-m", "export", str(checkpoint), str(engine), "--precision", precision, "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        told.write_text(done.stdout)
    exported = json.loads(told.read_text())
    return checkpoint, engine, {key: exported[key] for key in ("seconds", "peak_bytes")}


def _check_room(work: Path, layers: int, has_checkpoint: bool, has_engine: bool) -> None:
    needed = (_OTHER_NUMBERS + layers * _LAYER_NUMBERS) * (
        (0 if has_checkpoint else 2) + (0 if has_engine else _ENGINE_BYTES)
    )
    free = shutil.disk_usage(work).free
    if free < needed:
        raise ExportError(
            f"--work {work} has {free / 1e9:.1f} GB free, checkpoint and engine need about {needed / 1e9:.1f} GB more; "
            "make room first, or give another folder"
        )


def _peer(work: Path, shapes: Shapes) -> Path:
    path = work / f"llama-{shapes.layers}.gguf"
    if not path.is_file():
        aside = path.with_suffix(".partial")
        llama_cpp.write_gguf(aside, shapes)
        shutil.move(aside, path)
    return path


def _decode(model: Model, shapes: Shapes, args: argparse.Namespace, bandwidth: float) -> dict[str, Any]:
    """Steps of one sequence and of eight, ours and llama.cpp's in turn, beside the time of reading it all once."""
    weights, path = ours.step_bytes(model, shapes), _peer(args.work, shapes)
    number = next(one.dtype for one in model.manifest.blocks["language_model"].inputs if one.name.startswith("past_"))
    found: dict[str, Any] = {"batch8": {}}
    for batch in (1, BATCH):
        steps = 2 * _STEPS * (args.turns + 1)
        for cached in CACHED:
            with llama_cpp.opened(path, args.threads, cached + steps + 1, batch) as peer:
                for sequence in range(batch if cached else 0):
                    peer.prefill(cached, sequence)
                actions = {"ours": ours.decode(model, cached, batch, steps), "llamacpp": peer.step}
                seconds = in_turn(actions, args.turns, _STEPS)
            kv = batch * shapes.kv_bytes(cached + 1, np.dtype(number).itemsize)
            floor_s = (weights + kv) / bandwidth
            row = {
                "seconds": seconds,
                "tokens_per_s": batch / seconds["ours"],
                "ratio_llamacpp": seconds["llamacpp"] / seconds["ours"],
                "ratio_floor": floor_s / seconds["ours"],
                "kv_dtype": number,
                "kv_dtype_llamacpp": llama_cpp.LlamaCpp.kv_dtype,
            }
            (found if batch == 1 else found["batch8"])[str(cached)] = row
    return found


def _prefill(model: Model, shapes: Shapes, args: argparse.Namespace) -> dict[str, Any]:
    """Prompts of text rows, read into an empty cache."""
    found, path = {}, _peer(args.work, shapes)
    for rows in PROMPTS:
        with llama_cpp.opened(path, args.threads, rows + 1) as peer:

            def theirs(peer: llama_cpp.LlamaCpp = peer, rows: int = rows) -> None:
                peer.clear()
                peer.prefill(rows)

            actions = {"ours": ours.prefill(model, rows), "llamacpp": theirs}
            seconds = in_turn(actions, min(args.turns, _MOST_PROMPT_TURNS))
        found[str(rows)] = {
            "seconds": seconds,
            "ratio_llamacpp": seconds["llamacpp"] / seconds["ours"],
            "gflops": shapes.prefill_flop(rows) / seconds["ours"] / 1e9,
        }
    return found


def _whole_answer(model: Model, checkpoint: Checkpoint, args: argparse.Namespace) -> dict[str, Any]:
    """One question with 64 new tokens, against recomputing the sequence for each."""
    scene = load_image(Path(__file__).parents[2] / "examples" / "scene.png")
    found = {}
    for hd_num in (1, 9) if args.whole else (1,):
        recompute.ours(model, scene, hd_num)
        seconds, prompt_tokens = recompute.ours(model, scene, hd_num)
        views = np.zeros((1 + hd_num, 3, model.manifest.sizes.tile_px, model.manifest.sizes.tile_px), np.float32)
        theirs = recompute.torchs(checkpoint, views, prompt_tokens, args.threads)
        found[f"hd{hd_num}"] = {
            "seconds": seconds,
            "prompt_tokens": prompt_tokens,
            "recompute": theirs,
            "ratio_recompute": theirs["total_s"] / seconds,
        }
    return {"ratio_recompute": found["hd1"]["ratio_recompute"], "interpolated_steps": recompute.TIMED_STEPS, **found}
