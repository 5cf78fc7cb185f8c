"""A ready int4 language model at GeoPixel-7B's widths is as small in memory as on disk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from geopixel_edge.engine.precision import PRECISIONS

from ..support.random_decoder import write_decoder

LAYERS, WHOLE = 5, 32
CHILD = """
import json, sys
from pathlib import Path
import msgspec
from benchmarks.scale.resident import measure
from geopixel_edge.engine.manifest import BlockSpec

root = Path(sys.argv[1])
spec = msgspec.json.decode((root / "spec.json").read_bytes(), type=BlockSpec)
print(json.dumps(measure(root / "language_model.onnx", spec, 2)))
"""


@pytest.mark.long
def test_memory_at_load_and_after_a_prefill(tmp_path: Path) -> None:
    spec = write_decoder(tmp_path, PRECISIONS["int4"], "ready", LAYERS)
    (tmp_path / "spec.json").write_bytes(msgspec.json.encode(spec))
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    loaded, weights, after = (found[f"{name}_bytes"] for name in ("load_peak", "loaded", "after_prefill"))
    workspace = after - weights  # of one run, however many layers there are
    whole = weights / spec.bytes + workspace / (spec.bytes * WHOLE / LAYERS)
    print(
        f"{LAYERS} layers: load peak {loaded / spec.bytes:.2f}x, 512 rows add {workspace} bytes; {WHOLE}: {whole:.2f}x"
    )
    assert loaded <= 1.25 * spec.bytes
    assert workspace < 400e6
    assert whole <= 1.35
