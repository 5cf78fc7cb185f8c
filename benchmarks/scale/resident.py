"""What the language model alone takes in memory: at most while it loads, and after a prompt of 512 rows.

`python -m benchmarks.scale.resident ENGINE` prints one JSON object; bytes beside those of the block's files.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.engine.manifest import BlockSpec
from geopixel_edge.engine.names import SEQLENS_K, TOTAL_LENGTH
from geopixel_edge.runtimes.host import HostDevice

BLOCK, ROWS, IMAGE_ROWS = "language_model", 512, 400


def _kilobytes(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1])


def measure(path: Path, spec: BlockSpec, threads: int) -> dict[str, int]:
    """Load the block in the file `path` into this process, and read a prompt. For the ready form."""
    from geopixel_edge.runtimes.onnx import OnnxRunner

    device = HostDevice()
    sizes = {"B": 1, "S": ROWS, "capacity": ROWS, "image_rows": IMAGE_ROWS, "output_rows": 1}
    feeds = {
        one.name: device.zeros(one.dtype, [sizes[side] if isinstance(side, str) else side for side in one.shape])
        for one in spec.inputs
    }
    feeds["image_rows"].numpy()[:] = np.arange(IMAGE_ROWS)
    feeds[SEQLENS_K].numpy()[:], feeds[TOTAL_LENGTH].numpy()[:] = ROWS - 1, ROWS
    for feed in feeds.values():
        feed.numpy()[...] = feed.numpy()  # touched, so that they are not counted as the block's
    before = _kilobytes("VmRSS")
    runner = OnnxRunner(path, spec, BLOCK, device, threads)
    peak, weights = _kilobytes("VmHWM") - before, _kilobytes("VmRSS") - before
    runner.run(feeds, {name.replace("past_", "present_"): feeds[name] for name in feeds if name.startswith("past_")})
    after = _kilobytes("VmRSS") - before
    return {
        "file_bytes": spec.bytes,
        "load_peak_bytes": peak * 1024,
        "loaded_bytes": weights * 1024,
        "after_prefill_bytes": after * 1024,
    }


def measured(engine: Path) -> dict[str, int]:
    """The same, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale.resident", str(engine)]
    found: dict[str, int] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return found


if __name__ == "__main__":
    root = Path(sys.argv[1])
    block = read_manifest(root).blocks[BLOCK]
    print(json.dumps(measure(root / block.files[0].path, block, 2)))
