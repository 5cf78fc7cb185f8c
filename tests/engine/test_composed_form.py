"""The language model for TensorRT 10.3, whose parser knows no attention: the portable form's numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from geopixel_edge.arrays import Array
from geopixel_edge.build.composed import ComposedGraph
from geopixel_edge.build.forms import write_block
from geopixel_edge.build.portable import PortableGraph
from geopixel_edge.engine.directory import Engine
from geopixel_edge.engine.manifest import BlockSpec


@pytest.mark.parametrize("name", ["engine_fp32", "engine_fp16"])
def test_it_gives_the_same(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    engine, answers = Engine(request.getfixturevalue(name)), []
    for form in (PortableGraph, ComposedGraph):
        place = tmp_path / form.__name__
        place.mkdir()
        spec = write_block(engine, "language_model", place, form, "portable", lambda *told: None)
        answers.append(read_in_parts(place / "language_model.onnx", spec, engine.manifest.sizes.hidden))
    scale = max(float(np.abs(one).max()) for one in answers[0])
    far = max(float(np.abs(one - other).max()) for one, other in zip(*answers, strict=True)) / scale
    assert far < (1e-5 if name == "engine_fp32" else 1e-2)


def read_in_parts(path: Path, spec: BlockSpec, hidden: int) -> list[Array]:
    """Logits of every row of four runs: image rows among text, a token, image rows alone, text."""
    session, random = ort.InferenceSession(str(path)), np.random.default_rng(3)
    sides = {"B": 1, "capacity": 256}
    feeds: dict[str, Array] = {
        one.name: np.zeros([sides[side] if isinstance(side, str) else side for side in one.shape], one.dtype)
        for one in spec.inputs
        if one.name.startswith("past_")
    }
    start, found = 0, []
    for rows, image in ((60, range(10, 50)), (1, range(0)), (20, range(20)), (3, range(0))):
        positions = np.arange(start, start + rows)
        feeds |= {
            "inputs_embeds": random.standard_normal((1, rows, hidden), np.float32),
            "image_rows": np.array(image, np.int64),
            "output_rows": np.arange(rows),
            "position_ids": positions[None],
            "write_index": np.array([start]),
            "attention_mask": (np.arange(256) <= positions[:, None])[None, None],
        }
        outputs = dict(zip([one.name for one in session.get_outputs()], session.run(None, feeds), strict=True))
        feeds |= {name: outputs[name.replace("past_", "present_")] for name in feeds if name.startswith("past_")}
        found.append(outputs["logits"])
        start += rows
    return found
