"""`python -m benchmarks.kernels`: the C++ kernels beside their peers, in one run, and beside the memory floor."""

from __future__ import annotations

import argparse
import gc
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopixel_edge import __version__
from geopixel_edge.blocks.divider import divide, grounding_input, plan_grid
from geopixel_edge.cli.command import run_command
from geopixel_edge.cli.streams import write_json
from geopixel_edge.cli.terminal import table
from geopixel_edge.engine.manifest import Normalisation
from geopixel_edge.kernels import twins
from geopixel_edge.kernels.native import load
from geopixel_edge.masks import Mask

from . import kernel_peers as peers
from .measure import PeakMemory, copy_bytes_per_s

SIZES = ((800, 800), (1920, 1080), (3840, 2160), (8192, 8192))
THREADS = (1, 2)
TILE_PX, GROUNDING_PX, MASK_PX, HD_NUM = 560, 1024, 256, 9
CLIP = Normalisation(mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711))
SAM = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
# The NumPy twins walk dense arrays: beyond this many pixels they would be most of the run.
TWIN_PIXELS = 1920 * 1080
MANY_MASKS, BATCH = 1000, 20

Actions = dict[str, Callable[[int], Any]]
Figures = dict[str, Any]


def smooth_logits(count: int, seed: int = 0) -> NDArray[np.float32]:
    """(count, 256, 256): up to five discs each with noisy rims, about what the pixel decoder gives for objects."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:MASK_PX, :MASK_PX]
    planes = np.full((count, MASK_PX, MASK_PX), -4.0)
    for plane in planes:
        for _ in range(rng.integers(1, 6)):
            row, col, radius = rng.integers(20, 236), rng.integers(20, 236), rng.integers(5, 60)
            noise = rng.normal(scale=0.3, size=plane.shape)
            np.maximum(plane, (radius - np.hypot(y - row, x - col)) * 0.4 + noise, out=plane)
    return np.clip(planes, -12, 24).astype(np.float32)


def compare(actions: Actions, repeat: int) -> Figures:
    """Least seconds of each action by threads; the actions take turns, so that noise falls on all of them."""
    least: dict[str, dict[str, float]] = {name: {} for name in actions}
    for threads in THREADS:
        peers.limit_threads(threads)
        for turn in range(repeat + 1):
            for name, action in actions.items():
                start = time.perf_counter()
                action(threads)
                seconds = time.perf_counter() - start
                if turn:  # the first turn warms caches up
                    least[name][str(threads)] = min(seconds, least[name].get(str(threads), seconds))
                gc.collect()
    return {f"{name}_s": times for name, times in least.items()}


def with_ratios(figures: Figures, floor_s: float | None = None) -> Figures:
    """Every peer's time over ours, at the most threads measured."""
    most = str(THREADS[-1])
    ours = figures["ours_s"][most]
    for name in [key for key in figures if key != "ours_s"]:
        figures["ratio_" + name.removesuffix("_s")] = figures[name][most] / ours
    if floor_s is not None:
        figures |= {"floor_s": floor_s, "ratio_floor": floor_s / ours}
    return figures


def divider_figures(image: NDArray[np.uint8], repeat: int, copy_rate: float) -> Figures:
    grid, _ = plan_grid(image.shape[1], image.shape[0], HD_NUM, TILE_PX)
    kept = divide(image, grid, CLIP)
    actions: Actions = {
        "ours": lambda threads: divide(image, grid, CLIP, threads=threads),
        "ours_into_kept_array": lambda threads: divide(image, grid, CLIP, threads=threads, out=kept),
    }
    arguments = (grid.rows, grid.cols, grid.resized_w_px, grid.resized_h_px, grid.transposed, TILE_PX)
    if peers.optional("torch") is not None:
        actions["reference"] = lambda _: peers.reference_divide(image, grid, CLIP)
    if (cv2 := peers.optional("cv2")) is not None:
        actions["opencv"] = lambda _: peers.opencv_divide(cv2, image, grid, CLIP)
    if image.size <= 3 * TWIN_PIXELS:
        actions["twin"] = lambda _: twins.divide(image, *arguments, CLIP.mean, CLIP.std, 255)
    return with_ratios(compare(actions, repeat), (image.nbytes + kept.nbytes) / copy_rate)


def grounding_figures(image: NDArray[np.uint8], repeat: int, copy_rate: float) -> Figures:
    actions: Actions = {"ours": lambda threads: grounding_input(image, GROUNDING_PX, SAM, threads)}
    if peers.optional("torch") is not None:
        actions["reference"] = lambda _: peers.reference_grounding(image, GROUNDING_PX, SAM)
    if (cv2 := peers.optional("cv2")) is not None:
        actions["opencv"] = lambda _: peers.opencv_grounding(cv2, image, GROUNDING_PX, SAM)
    if image.size <= 3 * TWIN_PIXELS:
        actions["twin"] = lambda _: twins.grounding_input(image, GROUNDING_PX, SAM.mean, SAM.std)
    return with_ratios(compare(actions, repeat), (image.nbytes + 12 * GROUNDING_PX**2) / copy_rate)


def to_coco(logits: NDArray[np.float32], height_px: int, width_px: int, threads: int) -> list[dict[str, Any]]:
    return [mask.to_coco() for mask in Mask.many_from_logits(logits, height_px, width_px, threads)]


def mask_figures(height_px: int, width_px: int, repeat: int) -> Figures:
    logits = smooth_logits(BATCH)
    with PeakMemory() as memory:
        to_coco(logits, height_px, width_px, THREADS[-1])
    peak = memory.peak_bytes - memory.start_bytes
    with PeakMemory() as memory:
        kept = [Mask.many_from_logits(logits, height_px, width_px) for _ in range(MANY_MASKS // BATCH)]
    many = {"masks": sum(map(len, kept)), "peak_bytes": memory.peak_bytes - memory.start_bytes}
    del kept
    actions: Actions = {"ours": lambda threads: to_coco(logits, height_px, width_px, threads)}
    if peers.optional("torch") is not None and peers.optional("pycocotools") is not None:
        actions["reference"] = lambda _: peers.reference_masks(logits, height_px, width_px)
    if (cv2 := peers.optional("cv2")) is not None and peers.optional("pycocotools") is not None:
        actions["opencv"] = lambda _: peers.opencv_masks(cv2, logits, height_px, width_px)
    if height_px * width_px <= TWIN_PIXELS:
        actions["twin"] = lambda _: twins.masks_from_logits(logits, height_px, width_px)
    return with_ratios(compare(actions, repeat)) | {"peak_bytes": peak, "kept": many}


def polygon_figures(height_px: int, width_px: int, repeat: int) -> Figures:
    masks = Mask.many_from_logits(smooth_logits(5), height_px, width_px)
    dense = [mask.to_array() for mask in masks]
    actions: Actions = {"ours": lambda _: [mask.polygons() for mask in masks]}
    if (features := peers.optional("rasterio.features")) is not None:
        actions["rasterio"] = lambda _: peers.rasterio_polygons(features, dense)
    if (cv2 := peers.optional("cv2")) is not None:
        actions["opencv"] = lambda _: peers.opencv_polygons(cv2, dense)
    return with_ratios(compare(actions, repeat))


def run(sizes: list[tuple[int, int]], repeat: int) -> Figures:
    """Every figure, nested by kernel and size; seconds, bytes, and ratios of a peer's time over ours."""
    copy_rate = copy_bytes_per_s(THREADS[-1])
    machine = {"cpu": platform.machine(), "instruction_set": getattr(load(), "INSTRUCTION_SET", "none (NumPy twins)")}
    found: Figures = {"version": __version__, "machine": machine, "copy_bytes_per_s": copy_rate, "repeat": repeat}
    found |= {"divider": {}, "sam_input": {}, "masks20": {}, "polygons": {}}
    for width, height in sizes:
        name = f"{width}x{height}"
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        found["masks20"][name] = mask_figures(height, width, repeat)
        found["polygons"][name] = polygon_figures(height, width, repeat)
        found["divider"][name] = divider_figures(image, repeat, copy_rate)
        found["sam_input"][name] = grounding_figures(image, repeat, copy_rate)
    return found


def as_table(found: Figures) -> str:
    """One line per kernel, size and contender: milliseconds by threads and the time over ours."""
    lines = []
    for kernel in ("divider", "sam_input", "masks20", "polygons"):
        for size, figures in found[kernel].items():
            for key, times in figures.items():
                if not isinstance(times, dict) or str(THREADS[0]) not in times:
                    continue
                name = key.removesuffix("_s")
                ratio = figures.get("ratio_" + name, 1.0)
                lines.append([kernel, size, name, *(f"{1e3 * times[str(n)]:.2f}" for n in THREADS), f"{ratio:.1f}x"])
            if "floor_s" in figures:
                lines.append(
                    [kernel, size, "floor", "", f"{1e3 * figures['floor_s']:.2f}", f"{figures['ratio_floor']:.2f}x"]
                )
    header = ["kernel", "size", "what", *(f"ms, {n} thread{'s' * (n > 1)}" for n in THREADS), "over ours"]
    return table(header, lines, left=3)


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON, nested by kernel and size")
    parser.add_argument("--repeat", type=int, default=5, help="turns per contender; the least time counts")
    parser.add_argument("--sizes", nargs="+", default=[f"{w}x{h}" for w, h in SIZES], metavar="WxH")
    options = parser.parse_args(argv)
    if options.repeat < 1:
        parser.error("--repeat must be at least 1")
    try:
        sizes = [(int(width), int(height)) for width, height in (size.split("x") for size in options.sizes)]
    except ValueError:
        parser.error("--sizes takes sizes like 1920x1080")
    found = run(sizes, options.repeat)
    if options.json:
        write_json(found, indent=2)
    else:
        print(as_table(found))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
