"""What takes how long. Beside other work on the machine these may fail, so they are no part of `make test`."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import batch, latency, serve
from synthetic.scenes import KINDS, make_scene

IMAGE = Path(__file__).parents[1] / "data" / "tiny-geopixel" / "images" / "tiny.png"
IMPORT = "import time; start = time.perf_counter(); import geopixel_edge; print(time.perf_counter() - start)"
pytestmark = pytest.mark.long


def test_an_import_takes_ten_milliseconds() -> None:
    """The best of 20 fresh processes: what the import itself takes, whatever else the machine does."""
    runs = [subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, check=True) for _ in range(20)]
    assert min(float(run.stdout) for run in runs) < 0.010


def test_a_follow_up_is_faster(engine_fp32: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--repeat", "5", "--max-new-tokens", "6", "--hd-num", "1", "--device", "cpu", "--json"]
    assert latency.main([str(engine_fp32), "--image", str(IMAGE), *options]) == 0
    answer = json.loads(capsys.readouterr().out)["answer"]
    assert answer["follow_up_first_token_s"] < answer["first_token_s"]
    assert answer["follow_up_speedup"] > 1


def test_a_token_spends_a_tenth_of_a_millisecond_outside_the_runtime(capsys: pytest.CaptureFixture[str]) -> None:
    assert latency.main(["--max-new-tokens", "128", "--repeat", "2", "--device", "cpu", "--json"]) == 0
    decode = json.loads(capsys.readouterr().out)["decode"]
    assert 0 < decode["outside_runtime_s"] <= 0.1e-3
    assert decode["outside_runtime_s"] < 1 / decode["tokens_per_s"]


def test_a_scene_takes_a_fraction_of_a_second() -> None:
    make_scene(0, 640)
    start_s = time.process_time()
    for kind in KINDS:
        make_scene(2, 640, kind)
    assert (time.process_time() - start_s) / len(KINDS) < 0.6


def test_eight_tiles_in_one_request_take_no_longer_than_eight_single_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """Single pairs scatter by a tenth either way, and so the median of 16 by some two hundredths."""
    assert serve.main(["--repeat", "16", "--size", "128", "--device", "cpu", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["equal"][0] == found["equal"][1]
    assert found["together_over_alone"] <= 1.05, found["seconds"]


def test_a_step_of_eight_sequences_costs_at_most_two_and_a_half_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    """The median of three runs: a step of one waits for memory, which others use too; one of eight does not."""
    ratios = []
    for _ in range(3):
        assert batch.main(["--layers", "1", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        ratios.append(found["ratio"])
        assert found["seconds"]["1"] < found["seconds"]["8"], found
    assert statistics.median(ratios) <= found["at_most"], ratios
