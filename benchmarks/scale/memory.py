"""What a process takes at most while it loads an engine and answers with a mask, in a process of its own.

Random weights write no `[SEG]`: features and a mask are then made as the question's plan has it, before the prompt is
read or at the end of the answer.
`python -m benchmarks.scale.memory ENGINE WIDTHxHEIGHT HD_NUM [MEMORY]` prints one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from geopixel_edge.options import AskOptions
from geopixel_edge.session import OpenedImage
from geopixel_edge.stop import StopToken

NEW_TOKENS = 32
QUERY = "Describe this image with interleaved segmentation masks."


def peak_bytes() -> int:
    """The highest resident memory of this process so far, file pages it has mapped included."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def measured(engine: Path, size: tuple[int, int], hd_num: int, memory: str | None = None) -> dict[str, Any]:
    """Peaks, plan and times of one question on a fresh process."""
    command = [sys.executable, "-m", "benchmarks.scale.memory", str(engine), f"{size[0]}x{size[1]}", str(hd_num)]
    done = subprocess.run([*command, *([memory] if memory else [])], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _answer(engine: str, size: str, hd_num: str, memory: str | None = None) -> dict[str, Any]:
    from geopixel_edge import Pipeline

    width_px, height_px = (int(side) for side in size.split("x"))
    pixels = np.random.default_rng(8).integers(0, 256, (height_px // 8, width_px // 8, 3), np.uint8)
    pixels = np.ascontiguousarray(pixels.repeat(8, axis=0).repeat(8, axis=1))
    start = time.perf_counter()
    with Pipeline(engine, device="cpu", memory=memory) as pipe:
        load_s, load_peak = time.perf_counter() - start, peak_bytes()
        start = time.perf_counter()
        with pipe.open(pixels, hd_num=int(hd_num)) as image:
            first = image.ask(QUERY, max_new_tokens=NEW_TOKENS)
            if not first.regions:
                _point(image)
            run_s, run_peak = time.perf_counter() - start, peak_bytes()
            again = image.ask("Is there a road?", max_new_tokens=2)
    return {
        "load_s": load_s,
        "load_peak_bytes": load_peak,
        "run_s": run_s,
        "run_peak_bytes": run_peak,
        "prompt_tokens": first.timings.prompt_tokens,
        "new_tokens": len(first.token_ids),
        "regions": len(first.regions),
        "notes": list(first.notes),
        "first_token_s": first.timings.first_token_s,
        "follow_up_first_token_s": again.timings.first_token_s,
        "decode_tokens_per_s": first.timings.decode_tokens_per_s,
        "stages_s": {name: cost.time_s for name, cost in first.timings.blocks.items()},
    }


def _point(image: OpenedImage) -> None:
    """A mask of any hidden state, by the question's plan."""
    options = AskOptions(max_new_tokens=NEW_TOKENS)
    asked = image.prepare(QUERY, options, StopToken())
    asked.turn.assembler.push(image.model.manifest.tokens.seg)
    hidden = image.model.manifest.sizes.hidden
    image.point(image.model.device.put(np.ones((1, hidden), np.float32)), asked)


if __name__ == "__main__":
    print(json.dumps(_answer(*sys.argv[1:])))
