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
from geopixel_edge.images import load_image
from geopixel_edge.memory.preview import preview
from geopixel_edge.model import Model

from . import encoders, llama_cpp, memory, ours, recompute, resident
from .floor import matrix_flop_per_s, read_bytes_per_s
from .shapes import GEOPIXEL_7B, Shapes
from .turns import in_turn

PARTS = ("decode", "prefill", "encoders", "whole_answer", "memory")
CACHED = (0, 4000)
PROMPTS = (512, 4096)
BATCH = 8
_STEPS = 4  # of each competitor in a turn
_MOST_PROMPT_TURNS = 3  # a prompt takes seconds


def measure_all(args: argparse.Namespace) -> dict[str, Any]:
    """Make what is missing in `args.work`, measure the parts asked for; plain values for JSON."""
    shapes = GEOPIXEL_7B if args.whole else replace(GEOPIXEL_7B, layers=args.layers)
    args.work.mkdir(parents=True, exist_ok=True)
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
    if "memory" in args.only:
        found["memory"] = {"export_peak_bytes": exported["peak_bytes"], **_memory(engine, args.whole)}
    if set(args.only) - {"memory"}:
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
        }
        for name, part in parts.items():
            if name in args.only:
                found.update(part() if name == "encoders" else {name: part()})
    return found


def _prepared(work: Path, layers: int, precision: str) -> tuple[Path, Path, dict[str, Any]]:
    """The random checkpoint, its engine, and what the export told; each made once."""
    name = re.sub(r"[^\w.]+", "-", f"{layers}-{precision}")
    checkpoint, engine, told = work / f"checkpoint-{layers}", work / f"engine-{name}", work / f"export-{name}.json"
    if not (checkpoint / "config.json").is_file():
        command = [sys.executable, "-m", "tests.support.random_checkpoint", str(checkpoint), "--layers", str(layers)]
        subprocess.run(command, check=True)
    if not engine.is_dir():
        command = [sys.executable, "-m", "export", str(checkpoint), str(engine), "--precision", precision, "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        told.write_text(done.stdout)
    exported = json.loads(told.read_text())
    return checkpoint, engine, {key: exported[key] for key in ("seconds", "peak_bytes")}


def _peer(work: Path, shapes: Shapes) -> Path:
    path = work / f"llama-{shapes.layers}.gguf"
    if not path.is_file():
        aside = path.with_suffix(".partial")
        llama_cpp.write_gguf(aside, shapes)
        shutil.move(aside, path)
    return path


def _decode(model: Model, shapes: Shapes, args: argparse.Namespace, bandwidth: float) -> dict[str, Any]:
    """Steps of one sequence and of eight, ours and llama.cpp's in turn, beside the time of reading it all once."""
    weights, path = ours.step_bytes(model), _peer(args.work, shapes)
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


def _memory(engine: Path, whole: bool) -> dict[str, Any]:
    """Peaks of a square image finely divided, without and with a budget, beside what the plan says.

    `whole`: also of a wide image of 24 tiles, and whether the engine gives its golden values.
    """
    square = _pair(engine, (1680, 1680), 9, "6GB" if whole else None)
    found = {
        "load_peak_bytes": square["unlimited"]["load_peak_bytes"],
        "run_peak_bytes": square["unlimited"]["run_peak_bytes"],
        "run_limited_peak_bytes": square["limited"]["run_peak_bytes"],
        "plan_error": square["unlimited"]["plan_error"],
        "follow_up_ratio": square["unlimited"]["follow_up_first_token_s"] / square["unlimited"]["first_token_s"],
        "language_model": resident.measured(engine),
        "square": square,
    }
    if whole:
        found["wide"] = _pair(engine, (3840, 2160), 24, "8GB")
        command = [sys.executable, "-m", "geopixel_edge", "verify", str(engine), "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        found["verify"] = {"exit_code": done.returncode, **json.loads(done.stdout or "{}")}
    return found


def _pair(engine: Path, size: tuple[int, int], hd_num: int, budget: str | None) -> dict[str, Any]:
    """An image answered without and with a budget, each in a process of its own; None is 0.7 of what is planned."""
    found: dict[str, Any] = {"size": list(size), "hd_num": hd_num}
    for name in ("unlimited", "limited"):
        limit = None if name == "unlimited" else budget or f"{int(found['unlimited']['planned_bytes'] * 0.7 / 1e6)}MB"
        plan = preview(engine, None, f"{size[0]}x{size[1]}", hd_num, memory.NEW_TOKENS, 1, limit)
        one = memory.measured(engine, size, hd_num, limit)
        error = plan.peak_bytes / one["run_peak_bytes"] - 1
        found[name] = {"limit": limit, "planned_bytes": plan.peak_bytes, "plan_error": error, **one}
    return found
