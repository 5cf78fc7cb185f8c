"""A ready int4 language model at GeoPixel-7B's widths is as small in memory as on disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from geopixel_edge.engine.precision import PRECISIONS

from ..support.random_decoder import write_decoder

LAYERS, WHOLE = 5, 32
CHILD = """
import sys
from pathlib import Path
import msgspec, numpy as np
from geopixel_edge.engine.manifest import BlockSpec
from geopixel_edge.memory.footprint import _kilobytes, _shape
from geopixel_edge.runtimes.host import HostDevice
from geopixel_edge.runtimes.onnx import OnnxRunner

root, device = Path(sys.argv[1]), HostDevice()
spec = msgspec.json.decode((root / "spec.json").read_bytes(), type=BlockSpec)
sizes = {"B": 1, "S": 512, "capacity": 512, "image_rows": 400, "output_rows": 1}
feeds = {one.name: device.zeros(one.dtype, _shape(one.shape, sizes)) for one in spec.inputs}
feeds["image_rows"].numpy()[:] = np.arange(400)
feeds["seqlens_k"].numpy()[:], feeds["total_sequence_length"].numpy()[:] = 511, 512
before = _kilobytes("VmRSS")
runner = OnnxRunner(root / "language_model.onnx", spec, "language_model", device, 2)
loaded, weights = _kilobytes("VmHWM") - before, _kilobytes("VmRSS") - before
into = {name.replace("past_", "present_"): feeds[name] for name in feeds if name.startswith("past_")}
runner.run(feeds, into)
print(loaded * 1024, weights * 1024, (_kilobytes("VmRSS") - before) * 1024)
"""


@pytest.mark.long
def test_memory_at_load_and_after_a_prefill(tmp_path: Path) -> None:
    spec = write_decoder(tmp_path, PRECISIONS["int4"], "ready", LAYERS)
    (tmp_path / "spec.json").write_bytes(msgspec.json.encode(spec))
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, check=True)
    loaded, weights, after = (int(word) for word in done.stdout.split())
    workspace = after - weights  # of one run, however many layers there are
    whole = weights / spec.bytes + workspace / (spec.bytes * WHOLE / LAYERS)
    print(
        f"{LAYERS} layers: load peak {loaded / spec.bytes:.2f}x, 512 rows add {workspace} bytes; {WHOLE}: {whole:.2f}x"
    )
    assert loaded <= 1.25 * spec.bytes
    assert workspace < 400e6
    assert whole <= 1.35
