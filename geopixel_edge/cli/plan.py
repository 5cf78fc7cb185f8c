"""`geopixel-edge plan`: how a question about an image would fit in memory, before anything is loaded."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import limits
from ..checks import check_integer
from ..errors import OptionError
from .arguments import add_json
from .placing import add_place
from .scene_arguments import add_windows, options_of
from .streams import write_json
from .terminal import human_bytes, human_span, table

if TYPE_CHECKING:
    from ..memory.plan import Plan
    from ..scenes.plan import ScenePlan

SUMMARY = "show which blocks are loaded when, the memory it takes, and the windows of a scene, without loading any"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("image", nargs="?", metavar="IMAGE", help="the image to be asked about")
    parser.add_argument("--size", metavar="WxH", help="or its size in pixels, as 4000x3000 (default: 1024x1024)")
    parser.add_argument("--engine", type=Path, metavar="DIR", help="default: the bundled engine")
    parser.add_argument("--memory", metavar="SIZE", help="what it may take, as 6GB or 512MiB (default: no limit)")
    parser.add_argument("--hd-num", type=int, default=9, metavar="N", help="how finely to divide (default: 9)")
    parser.add_argument("--max-new-tokens", type=int, default=1024, metavar="N", help="length limit (default: 1024)")
    parser.add_argument("--batch", type=int, metavar="N", help="questions, or windows, asked together")
    add_json(parser)
    parser.add_argument("--scene", action="store_true", help="as `geopixel-edge scene` asks it (default: if it has to)")
    parser.add_argument("--phrases", type=int, default=1, metavar="N", help="asked of every window (default: 1)")
    parser.add_argument("--measure", action="store_true", help="load the engine, ask one window, and tell the time")
    add_place(parser)
    add_windows(parser)


def run(args: argparse.Namespace) -> int:
    """Plan and print; returns the exit code. MemoryBudgetError where nothing fits."""
    from ..memory.preview import preview
    from ..scenes.plan import is_scene

    if args.image is not None and args.size is None and (args.scene or is_scene(args.image)):
        return _run_scene(args)
    if args.scene or args.measure:
        name = "scene" if args.scene else "measure"
        raise OptionError(f"{name}=True is about a file that is asked as a scene; give an image with --scene, no size")
    plan = preview(args.engine, args.image, args.size, args.hd_num, args.max_new_tokens, args.batch or 1, args.memory)
    if args.json:
        write_json(_document(plan))
    else:
        print(_render(plan))
    return 0


def _run_scene(args: argparse.Namespace) -> int:
    from ..engine import BUNDLED
    from ..engine.directory import read_manifest
    from ..memory.amount import parse_memory
    from ..scenes.plan import plan_scene

    check_integer("phrases", args.phrases, 0, limits.MAX_PHRASES)
    manifest = read_manifest(BUNDLED if args.engine is None else args.engine)
    plan = plan_scene(args.image, manifest, options_of(args), args.phrases, parse_memory(args.memory))
    window_s = _measured(args) if args.measure else None
    if args.json:
        write_json({"scene": _scene_document(plan, window_s), **_document(plan.engine)})
    else:
        print(f"{_render_scene(plan, window_s)}\n\n{_render(plan.engine)}")
    return 0


def _measured(args: argparse.Namespace) -> float | None:
    """Seconds that one window took; None where the scene holds no data."""
    from ..pipeline import Pipeline
    from ..scenes.measuring import measure_window

    with Pipeline(args.engine, memory=args.memory) as pipeline:
        return measure_window(pipeline, args.image, options_of(args), args.phrases)


def _scene_document(plan: ScenePlan, window_s: float | None) -> dict[str, Any]:
    grid, scale = plan.grid, plan.scale
    return {
        "size": scale.scene_px,
        "seen": scale.seen_px,
        "crs": plan.crs,
        "gsd_m": plan.gsd_m,
        "window": grid.window_px,
        "overlap": grid.overlap_px,
        "rows": grid.rows,
        "columns": grid.columns,
        "windows": len(grid),
        "empty": plan.empty,
        "outside": plan.outside,
        "asked": plan.asked,
        "batch": plan.batch,
        "batches": plan.batches,
        "jobs": plan.jobs,
        "peak_bytes": plan.peak_bytes,
        "row_bytes": plan.row_bytes,
        "window_s": window_s,
        "seconds": None if window_s is None else window_s * plan.asked,
    }


def _render_scene(plan: ScenePlan, window_s: float | None) -> str:
    grid, (width, height) = plan.grid, plan.scale.scene_px
    gsd = "" if plan.gsd_m is None else f", {plan.gsd_m[0]:.3g} x {plan.gsd_m[1]:.3g} m a pixel"
    shown = "" if plan.scale.plain else "shown as {} x {} px; ".format(*plan.scale.seen_px)
    left_out = f", {plan.outside} outside the area of interest" if plan.outside else ""
    lines = [
        f"scene     {width} x {height} px, {plan.crs or 'no CRS'}{gsd}",
        f"windows   {shown}{len(grid)} of {grid.window_px} px that overlap by {grid.overlap_px}, {grid.rows} rows of "
        f"{grid.columns}",
        f"          {plan.asked} to be read and asked, {plan.empty} without data{left_out}",
        f"batches   {plan.batches} of {plan.batch} window{'' if plan.batch == 1 else 's'}, "
        f"{plan.jobs} process{'' if plan.jobs == 1 else 'es'}",
        "time      not known until a window is asked, as --measure does; `geopixel-edge scene` tells what is left"
        if window_s is None
        else f"time      about {human_span(window_s * plan.asked)} in one process: a window took {window_s:.2f} s",
        f"memory    {human_bytes(plan.peak_bytes)} in all: engine, windows and GDAL's blocks of each process",
    ]
    if plan.reads_again:
        lines.append(
            f"reading   a row of its blocks takes {human_bytes(plan.row_bytes)}, more than is kept: blocks are decoded "
            "several times; `gdal_translate -of COG IN.tif OUT.tif` makes it fast"
        )
    return "\n".join(lines)


def _document(plan: Plan) -> dict[str, Any]:
    """Plain values for JSON, bytes throughout."""
    stages = [{"name": one.name, "resident": sorted(one.resident), "bytes": one.bytes} for one in plan.stages]
    return {
        "peak_bytes": plan.peak_bytes,
        "all_resident": plan.all_resident,
        "ground_first": plan.ground_first,
        "reduced": plan.reduced,
        "kv_dtype": plan.kv_dtype,
        "split": plan.split,
        "dims": asdict(plan.dims),
        "layout": asdict(plan.layout),
        "stages": stages,
    }


def _render(plan: Plan) -> str:
    """What `geopixel-edge plan` prints."""
    rows = [(one.name, ", ".join(sorted(one.resident)), human_bytes(one.bytes)) for one in plan.stages]
    dims, layout = plan.dims, plan.layout
    how = "every block stays loaded" if plan.all_resident else "blocks are loaded and freed as they are needed"
    how += ", features are made first" if plan.all_resident and plan.ground_first else ""
    how += ", of the language model what reads images and what writes by turns" if plan.split else ""
    lines = [
        table(("stage", "blocks loaded", "memory"), rows, left=2),
        "",
        f"peak      {human_bytes(plan.peak_bytes)}; {how}",
        f"image     {layout.views} views, hd_num {layout.hd_num}, {layout.prompt_tokens} prompt tokens"
        + (" (divided less finely, to fit)" if plan.reduced else ""),
        f"at once   {dims.views_per_run} views, {dims.prompt_chunk} prompt tokens, {dims.masks_per_run} masks, "
        f"{dims.batch} question{'' if dims.batch == 1 else 's'}",
        f"KV cache  {dims.capacity} positions, {plan.kv_dtype}",
    ]
    return "\n".join(lines)
