"""The latency benchmark: every phase is there, what it measures is right, and what it prints can be read."""

from __future__ import annotations

import json
import mmap
import re
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import latency
from benchmarks.jetson_power import Sample
from benchmarks.measure import PeakMemory, copy_bytes_per_s, measure
from geopixel_edge.engine.directory import read_manifest

IMAGE = Path(__file__).parents[1] / "data" / "tiny-geopixel" / "images" / "tiny.png"
PHASES = [
    "load",
    "divider",
    "vision_encoder",
    "language_model.prefill",
    "language_model.decode",
    "grounding_encoder",
    "pixel_decoder",
    "whole answer",
    "follow-up answer",
]
MB = 1_000_000


def arguments(engine: Path) -> list[str]:
    return [
        str(engine),
        "--image",
        str(IMAGE),
        "--repeat",
        "2",
        "--max-new-tokens",
        "6",
        "--hd-num",
        "1",
        "--device",
        "cpu",
        "--threads",
        "1",
    ]


def test_it_measures_every_phase_and_the_follow_up(engine_fp32: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert latency.main([*arguments(engine_fp32), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""  # no progress bar where nobody watches
    found = json.loads(out)
    assert [row["name"] for row in found["phases"]] == PHASES
    for row in found["phases"]:
        assert row["runs"] == {"load": 1, "language_model.decode": 6}.get(row["name"], 2)
        assert 0 < row["min_s"] <= row["median_s"] <= row["max_s"]
        assert row["peak_bytes"] > row["growth_bytes"] >= 0
    answer, decode, manifest = found["answer"], found["decode"], read_manifest(engine_fp32)
    assert answer["same_response"] is True
    assert answer["reused_tokens"] == 1 + 2 * 400 + 1 + 2 * 20  # BOS, global view and tile, separators
    assert answer["prompt_tokens"] > answer["reused_tokens"]
    assert answer["follow_up_rows"] == answer["prompt_tokens"] - answer["reused_tokens"] < 60
    part = answer["follow_up_first_token_s"] / answer["first_token_s"]
    assert answer["follow_up_first_token_part"] == pytest.approx(part)
    assert min(answer["first_token_s"], answer["follow_up_first_token_s"]) > 0
    median_s = {row["name"]: row["median_s"] for row in found["phases"]}
    ratio = median_s["whole answer"] / median_s["follow-up answer"]
    assert answer["follow_up_speedup"] == pytest.approx(ratio, rel=0.01)
    assert decode["weight_bytes"] == sum(spec.bytes for spec in manifest.blocks["language_model"].files)
    assert decode["floor_s"] > 0
    assert found["environment"]["precision"] == "fp32"
    energy = {"source": "not measured", "joules_per_image": None, "joules_per_token": None}
    assert found["answer"]["energy"] == energy, "nobody asked for it"


class Steady:
    """A monitor of five watts."""

    name = "steady"

    def sample(self) -> Sample:
        return Sample(5.0)


def test_the_table_names_every_phase(
    engine_fp32: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "find_reader", lambda index: Steady())
    assert latency.main([*arguments(engine_fp32), "--energy"]) == 0
    text = capsys.readouterr().out
    for words in (*PHASES, "tokens/s", "first token", "peak memory", "says the same"):
        assert words in text
    assert re.search(r"energy +[0-9.]+ J an image, [0-9.]+ J a token, 5\.0 W by steady\n", text)


@pytest.mark.parametrize(
    ("change", "code"),
    [(("--repeat", "0"), 3), (("--max-new-tokens", "0"), 3), (("--image", "absent.png"), 3), (("--hd-num", "0"), 3)],
)
def test_wrong_options_are_one_line(
    change: tuple[str, str], code: int, engine_fp32: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert latency.main([*arguments(engine_fp32), *change]) == code
    assert capsys.readouterr().err.startswith("error: ")


def test_peak_memory_sees_memory_that_is_freed_again() -> None:
    with PeakMemory() as memory, mmap.mmap(-1, 64 * MB) as fresh:  # malloc could hand out pages it kept
        np.frombuffer(fresh, np.uint8).fill(1)
        time.sleep(0.05)
    assert 60 * MB < memory.peak_bytes - memory.start_bytes < 200 * MB


def test_measure_leaves_the_warm_up_out() -> None:
    pauses_s = iter([1.0, 0.001, 0.001])
    row = measure("pause", lambda: time.sleep(next(pauses_s)), 2)
    assert next(pauses_s, None) is None
    assert row.runs == 2
    assert 0.001 <= row.min_s <= row.max_s < 1.0


def test_copying_is_measured_in_bytes_moved() -> None:
    assert 1e8 < copy_bytes_per_s(2, 8 * MB, 1) < 1e13
