"""Peaks of whole answers, without and with a budget, beside what the plan says; each is kept in a file once known.

A run that was stopped goes on behind what it kept: the answers of 32 layers take minutes each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from geopixel_edge.errors import MemoryBudgetError
from geopixel_edge.memory.preview import preview

from . import memory, resident

SQUARE, WIDE = ((1680, 1680), 9), ((3840, 2160), 24)
BUDGETS = {SQUARE: "6GB", WIDE: "8GB"}  # of all 32 layers; of a slice, a part of what is planned without one
_PART = 0.8


def kept(path: Path, made: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the file holds, or what is made now and written there."""
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text())
        return found
    value = made()
    aside = path.with_suffix(".partial")
    aside.write_text(json.dumps(value, indent=1))
    os.replace(aside, path)
    return value


def measured(engine: Path, is_whole: bool) -> dict[str, Any]:
    """Of a square image, finely divided.

    `is_whole`: also of a wide image of 24 tiles, and whether the engine gives its golden values.
    """
    folder = engine.with_name(f"{engine.name}-answers")
    folder.mkdir(exist_ok=True)
    found: dict[str, Any] = {"language_model": kept(folder / "load.json", lambda: resident.measured(engine))}
    found["square"] = square = _pair(engine, folder, "square", *SQUARE, is_whole)
    free, tight = square["unlimited"], square["limited"]
    found |= {
        "load_peak_bytes": free["load_peak_bytes"],
        "run_peak_bytes": free["run_peak_bytes"],
        "run_limited_peak_bytes": tight.get("run_peak_bytes"),
        "plan_error": free["plan_error"],
        "follow_up_ratio": free["follow_up_first_token_s"] / free["first_token_s"],
    }
    if is_whole:
        found["wide"] = _pair(engine, folder, "wide", *WIDE, is_whole)
        found["verify"] = kept(folder / "verify.json", lambda: verified_engine(engine))
    return found


def verified_engine(engine: Path) -> dict[str, Any]:
    """What `geopixel-edge verify` says of an engine, in a process of its own."""
    command = [sys.executable, "-m", "geopixel_edge", "verify", str(engine), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    return {"exit_code": done.returncode, **json.loads(done.stdout or "{}")}


def _pair(engine: Path, folder: Path, name: str, size: tuple[int, int], hd_num: int, is_whole: bool) -> dict[str, Any]:
    """An image answered without and with a budget, each in a process of its own."""
    free = kept(folder / f"{name}-unlimited.json", lambda: _one(engine, size, hd_num, None))
    part = f"{int(free['planned_bytes'] * _PART / 1e6)}MB"
    budget = BUDGETS[size, hd_num] if is_whole else part
    tight = kept(folder / f"{name}-limited.json", lambda: _one(engine, size, hd_num, budget))
    return {"size": list(size), "hd_num": hd_num, "unlimited": free, "limited": tight}


def _one(engine: Path, size: tuple[int, int], hd_num: int, limit: str | None) -> dict[str, Any]:
    """One answer beside its plan; a budget that no plan meets is told with the reason."""
    try:
        plan = preview(engine, None, f"{size[0]}x{size[1]}", hd_num, memory.NEW_TOKENS, 1, limit)
    except MemoryBudgetError as error:
        return {"limit": limit, "refused": str(error)}
    one = memory.measured(engine, size, hd_num, limit)
    error_part = plan.peak_bytes / one["run_peak_bytes"] - 1
    chosen = {"kv_dtype": plan.kv_dtype, "split": plan.split, "prompt_chunk": plan.dims.prompt_chunk}
    return {"limit": limit, "planned_bytes": plan.peak_bytes, "plan_error": error_part, **chosen, **one}
