"""Where the time of a block goes: seconds of each kind of operator, as ONNX Runtime's profile tells them."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import onnxruntime as ort

from geopixel_edge.arrays import Array
from geopixel_edge.engine.manifest import BlockSpec
from geopixel_edge.runtimes.onnx import session_settings

_MOST = 8  # kinds that are told; the others are one


def seconds_by_operator(
    path: Path, spec: BlockSpec, block: str, feeds: Mapping[str, Array], threads: int
) -> dict[str, float]:
    """Of the second run of a session of its own, the largest first; `others` is the sum of the small ones."""
    with tempfile.TemporaryDirectory() as folder:
        settings = session_settings(spec, block, threads)
        settings.enable_profiling = True
        settings.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        for _ in range(2):
            session.run(None, dict(feeds))
        events = json.loads(Path(session.end_profiling()).read_text())
    nodes = [one for one in events if one.get("cat") == "Node" and one["name"].endswith("_kernel_time")]
    nodes.sort(key=lambda one: one["ts"])
    found: Counter[str] = Counter()
    for one in nodes[len(nodes) // 2 :]:
        found[one["args"]["op_name"]] += one["dur"]
    largest = found.most_common(_MOST)
    rest = found.total() - sum(spent for _, spent in largest)
    return {**{kind: spent / 1e6 for kind, spent in largest}, "others": rest / 1e6}
