"""The benchmark of precisions runs to its end, and goes on from what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.precisions import every_precision, exported_as, main
from export.precision import parse_precision
from geopixel_edge.engine.precision import PRECISIONS

ROOT = Path(__file__).parents[2]


def test_every_precision_is_there_once() -> None:
    found = every_precision()
    assert found[:4] == ["fp32", "fp16", "int8", "int4"]
    # Two names each for one precision.
    assert set(PRECISIONS) - set(found) == {"int4:128", "int4-exact", "int4-fp16"}
    assert len(found) == len(set(found)) == len(PRECISIONS) - 3
    for name in found:
        records = parse_precision(exported_as(name))
        assert records["language_model"].name.removesuffix("-widened") == name.removesuffix("-widened")
        assert records["language_model"].parts.get("head") == ("int8" if name.startswith("int4") else None)


@pytest.mark.long
def test_every_precision_is_measured(tmp_path: Path) -> None:
    command = [str(ROOT / "training" / "checkpoint"), str(tmp_path), "--images", "3", "--size", "128", "--no-java"]
    assert main(command) == 0
    found = json.loads((tmp_path / "precisions.json").read_text())["figures"]
    assert set(found) == {"fp32", "fp16", "int8", "int4", "bundled"}
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("predictions/*.json")}
    assert main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("predictions/*.json")} == before
    for layout in ("geopixeld", "rrsisd"):
        assert "against" not in found["fp32"][layout]
        assert found["fp16"][layout]["against"]["agreement"]["mask IoU"]["value"] > 0.9
    values = [one["geopixeld"]["strict"]["mIoU"]["value"] for one in found.values()]
    assert all(0 < value <= 1 for value in values)
