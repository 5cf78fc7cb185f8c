"""The growth of time with what is asked, and where a block's time goes: on the engine in the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.scale import growth, report
from benchmarks.scale.operators import seconds_by_operator
from geopixel_edge.engine import BUNDLED
from geopixel_edge.errors import OutputError
from geopixel_edge.model import Model

SIZES = {"prompt_rows": (64, 512), "new_tokens": (1, 16), "tiles": (1, 4), "segs": (1, 16)}


def test_more_takes_longer_and_is_drawn(tmp_path: Path) -> None:
    found = growth.measured(Model.open(BUNDLED, "cpu", 1), SIZES)
    assert {name: tuple(map(int, series)) for name, series in found.items()} == SIZES
    for few, many in (series.values() for series in found.values()):
        assert 0 < few < many
    growth.draw(found, tmp_path / "growth.png")
    with Image.open(tmp_path / "growth.png") as picture:
        picture.verify()
        assert picture.width > 3 * picture.height
    with pytest.raises(OutputError, match=r"--plot .*growth\.nothing cannot be written .* ending in \.png"):
        growth.draw(found, tmp_path / "growth.nothing")
    settings = {"settings": {"layers": 2}, "engine": {"bytes": 1}, "export": {"seconds": 1.0, "peak_bytes": 1}}
    assert "tiles: 1 in " in report.text({**settings, "growth": found})


def test_operators_add_up_to_a_run() -> None:
    model = Model.open(BUNDLED, "cpu", 1)
    spec = model.manifest.blocks["vision_encoder"]
    side = model.manifest.sizes.tile_px
    feeds = {spec.inputs[0].name: np.zeros((1, 3, side, side), np.float32)}
    found = seconds_by_operator(model.engine.path(spec.files[0]), spec, "vision_encoder", feeds, 1)
    assert "MatMul" in found  # the small ones, as Softmax, may be among the others
    assert list(found)[-1] == "others"
    named = list(found.values())[:-1]
    assert (len(named), named) == (8, sorted(named, reverse=True))
    assert 0 < sum(found.values()) < 5
