"""What a plan says is what is taken: at most 3 % less than the process's highest resident memory, at most 10 % more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.memory.plan import Layout, Request, make_plan

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys
from geopixel_edge import Pipeline
memory = int(sys.argv[1]) or None
with Pipeline(memory=memory, device="cpu", threads=2) as pipe:
    question = "Describe this image with interleaved segmentation masks."
    pipe("examples/scene.png", question)
    answer = pipe("examples/scene.png", question)  # a second run of the same sizes takes nothing more
    resident = pipe.model.plan.all_resident
lines = open("/proc/self/status").read().splitlines()
peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
print(json.dumps({"peak": peak, "tokens": answer.token_ids, "regions": len(answer.regions), "resident": resident}))
"""


def asked(budget_bytes: int) -> dict[str, object]:
    command = [sys.executable, "-c", PROGRAM, str(budget_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the system does not say what is resident")
def test_an_answer_keeps_to_its_plan_and_its_budget() -> None:
    manifest = read_manifest(BUNDLED)
    request = Request((Layout(9, 10, 600),), image_px=640 * 640)
    whole = make_plan(manifest, request)
    staged = make_plan(manifest, request, int(0.9 * whole.peak_bytes))
    free, tight = asked(0), asked(staged.peak_bytes + 2_000_000)
    assert (free["resident"], tight["resident"]) == (True, False)
    assert free["tokens"] == tight["tokens"]
    assert free["regions"] == tight["regions"]
    for found, plan in ((free, whole), (tight, staged)):
        assert isinstance(found["peak"], int)
        assert 0.97 * found["peak"] <= plan.peak_bytes <= 1.1 * found["peak"]
    assert tight["peak"] < 0.75 * free["peak"]  # type: ignore[operator]
