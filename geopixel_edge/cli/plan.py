"""`geopixel-edge plan`: how a question about an image would fit in memory, before anything is loaded."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import add_json
from .streams import write_json
from .terminal import human_bytes, table

if TYPE_CHECKING:
    from ..memory.plan import Plan

SUMMARY = "show which blocks are loaded when, and the memory it takes, without loading any"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("image", nargs="?", metavar="IMAGE", help="the image to be asked about")
    parser.add_argument("--size", metavar="WxH", help="or its size in pixels, as 4000x3000 (default: 1024x1024)")
    parser.add_argument("--engine", type=Path, metavar="DIR", help="default: the bundled engine")
    parser.add_argument("--memory", metavar="SIZE", help="what it may take, as 6GB or 512MiB (default: no limit)")
    parser.add_argument("--hd-num", type=int, default=9, metavar="N", help="how finely to divide (default: 9)")
    parser.add_argument("--max-new-tokens", type=int, default=1024, metavar="N", help="length limit (default: 1024)")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="questions written together (default: 1)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Plan and print; returns the exit code. MemoryBudgetError where nothing fits."""
    from ..memory.preview import preview

    plan = preview(args.engine, args.image, args.size, args.hd_num, args.max_new_tokens, args.batch, args.memory)
    if args.json:
        write_json(_document(plan))
    else:
        print(_render(plan))
    return 0


def _document(plan: Plan) -> dict[str, Any]:
    """Plain values for JSON, bytes throughout."""
    stages = [{"name": one.name, "resident": sorted(one.resident), "bytes": one.bytes} for one in plan.stages]
    return {
        "peak_bytes": plan.peak_bytes,
        "all_resident": plan.all_resident,
        "ground_first": plan.ground_first,
        "reduced": plan.reduced,
        "kv_dtype": plan.kv_dtype,
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
