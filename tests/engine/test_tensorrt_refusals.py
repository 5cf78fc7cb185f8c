"""What no plan is run for: other machines, changed files, runs outside every profile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from geopixel_edge.engine import BUNDLED, digests
from geopixel_edge.engine.directory import Engine, read_manifest
from geopixel_edge.engine.golden import verify
from geopixel_edge.errors import (
    EngineCorruptError,
    EngineMismatchError,
    InferenceError,
    MemoryBudgetError,
    RuntimeUnavailableError,
)
from geopixel_edge.model import Model
from geopixel_edge.options import AskOptions
from geopixel_edge.pipeline import Pipeline
from geopixel_edge.runtimes.tensorrt import TensorRtRunner
from geopixel_edge.stop import StopToken

from ..support.engines import linked, sign
from ..support.fake_trt import FakeTrt
from ..support.tensorrt_engines import NEW, views, vision

SCENE = Path(__file__).parents[2] / "examples" / "scene.png"


def test_runs_outside_every_profile_are_told(engines: dict[str, Path], trt: FakeTrt) -> None:
    with pytest.raises(InferenceError, match=r"takes no run of \{'n': 3\}, but n 1\.\.2; give a smaller request"):
        vision(engines[NEW], trt).run({"views": views(trt, 3)})
    model = Model.open(engines[NEW], "cuda")
    with pytest.raises(InferenceError, match=r"for a cache of 2176 positions, not 512; build .* --capacity 512"):
        model.step([5], model.new_cache(512))
    with Pipeline(engines[NEW], device="cuda") as pipe, pipe.open(SCENE) as image:
        asked = image.prepare("What is here?", AskOptions(max_new_tokens=1800), StopToken())
        assert "memory: divided as with hd_num=8, not 9, to fit" in asked.turn.notes
        with pytest.raises(
            MemoryBudgetError, match=r"may take .* positions, and the engine was built for a cache of 2176"
        ):
            image.ask("What is here?", max_new_tokens=2300)


def test_a_run_that_fails_says_why(engines: dict[str, Path], trt: FakeTrt) -> None:
    runner = vision(engines[NEW], trt)
    trt.fails = True
    with pytest.raises(InferenceError, match=r"failed in tensorrt 10\.16\.0 \(a run\): an illegal memory access"):
        runner.run({"views": views(trt)})


def test_plans_carry_no_code(engines: dict[str, Path], trt: FakeTrt) -> None:
    vision(engines[NEW], trt)
    assert [one.engine_host_code_allowed for one in trt.runtimes] == [False]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": "10.3.0"}, r"built by tensorrt 10\.3\.0, and 10\.16\.0 is installed.*build the engine again"),
        ({"profiles": [{"zzz": [1, 1, 1]}]}, r"profile of 'zzz', .* none of its inputs; build the engine again"),
        ({"sm": 90}, r"compute capability 90, and this one has 87; build the engine again"),
        (None, "says nothing of its plan"),
    ],
)
def test_a_plan_of_another_machine_is_refused_unread(
    change: dict[str, Any] | None, told: str, engines: dict[str, Path], trt: FakeTrt, tmp_path: Path
) -> None:
    root = linked(engines[NEW], tmp_path)

    def changed(manifest: dict[str, Any]) -> None:
        block = manifest["blocks"]["vision_encoder"]
        block["plan"] = change and {**block["plan"], **change}

    sign(root, changed)
    with pytest.raises(EngineMismatchError, match=told):
        vision(root, trt)
    assert trt.counts["deserialised"] == 0


def test_a_plan_that_was_changed_is_never_read(engines: dict[str, Path], trt: FakeTrt, tmp_path: Path) -> None:
    root = linked(engines[NEW], tmp_path)
    engine = Engine(root)
    spec, path = engine.manifest.blocks["vision_encoder"], root / "vision_encoder.plan"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data.replace(b"model", b"modem"))  # after the engine was verified
    with pytest.raises(EngineCorruptError, match="another SHA-256"):
        TensorRtRunner(path, spec, "vision_encoder", trt.gpu)
    assert trt.counts["deserialised"] == 0
    path.write_bytes(data + b" ")
    with pytest.raises(EngineCorruptError, match=f"has {len(data) + 1} bytes, not {len(data)}"):
        TensorRtRunner(path, spec, "vision_encoder", trt.gpu)
    path.write_bytes(b"")
    sign(root)
    with pytest.raises(EngineCorruptError, match="is empty; copy the engine again"):
        vision(root, trt)
    assert trt.counts["deserialised"] == 0
    path.write_bytes(b"no plan")
    sign(root)
    with pytest.raises(EngineMismatchError, match=r"does not load in tensorrt.*magic tag"):
        vision(root, trt)


def test_what_is_hashed_is_what_is_read(
    engines: dict[str, Path], trt: FakeTrt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that takes the plan's place once that is proved is not opened."""
    root = linked(engines[NEW], tmp_path)
    path, other = root / "vision_encoder.plan", tmp_path / "other"
    other.write_bytes(b"no plan")
    check = digests.check_part

    def replaced(*given: Any) -> None:
        check(*given)
        if given[1][0] == path:
            other.replace(path)

    monkeypatch.setattr(digests, "check_part", replaced)
    vision(root, trt)
    assert path.read_bytes() == b"no plan"


def test_where_it_cannot_run(engines: dict[str, Path]) -> None:
    with pytest.raises(RuntimeUnavailableError, match="device='cpu': tensorrt engines run on an NVIDIA GPU"):
        Pipeline(engines[NEW], device="cpu")
    with pytest.raises(RuntimeUnavailableError, match="device='cuda:0' cannot be used"):
        Pipeline(engines[NEW])


def test_it_needs_no_onnxruntime(engines: dict[str, Path]) -> None:
    code = (
        "import sys\n"
        "sys.modules['onnxruntime'] = None\n"
        "import geopixel_edge.runtimes.tensorrt\n"
        "from geopixel_edge import Pipeline\n"
        f"Pipeline({str(engines[NEW])!r}, device='cuda')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "RuntimeUnavailableError: device='cuda:0' cannot be used" in done.stderr
    assert "onnxruntime" not in done.stderr


def test_verify_holds_it_to_torch_alone(engines: dict[str, Path], trt: FakeTrt) -> None:
    checks = verify(Model.open(engines[NEW], "cuda"))
    assert all(check.passed and check.drift is None for check in checks)
    assert read_manifest(engines[NEW]).golden == read_manifest(BUNDLED).golden
    assert msgspec.json.encode(read_manifest(engines[NEW]))


LOST = {
    False: (InferenceError, r"'language_model' failed in tensorrt .*illegal memory access.*; make a new Pipeline"),
    True: (RuntimeUnavailableError, r"device='cuda:0' failed .*; make a new Pipeline"),
}


@pytest.mark.parametrize("captures", LOST)
def test_a_gpu_that_is_lost_in_the_middle_of_an_answer(
    captures: bool, engines: dict[str, Path], trt: FakeTrt, caplog: pytest.LogCaptureFixture
) -> None:
    """Typed, whether tokens are queued or replayed; leaving the Pipeline keeps the error and frees every block."""
    error, told = LOST[captures]
    trt.gpu.captures = captures
    runners: list[TensorRtRunner] = []
    with pytest.raises(error, match=told):
        ask_and_lose(engines[NEW], trt, runners)
    assert (trt.gpu.launches > 0) == captures
    assert len(runners) == 4
    assert not any("_engine" in runner.__dict__ for runner in runners)
    assert "block 'language_model' was closed without waiting: device='cuda:0' failed" in caplog.text
    trt.fails = trt.gpu.fails = False
    with Pipeline(engines[NEW], device="cuda") as pipe:
        assert pipe(SCENE, "What is here?", max_new_tokens=1).token_ids


def ask_and_lose(root: Path, trt: FakeTrt, runners: list[TensorRtRunner]) -> None:
    """The GPU is lost after a few tokens, and the same answer goes on; `runners` become the blocks."""
    with Pipeline(root, device="cuda") as pipe, pipe.open(SCENE) as image:
        stream = iter(image.stream("What is here?", max_new_tokens=30))
        for _ in range(4):
            next(stream)
        loaded: Any = pipe.model.residency._runners
        runners += loaded.values()
        trt.lose()
        list(stream)


def test_every_block_is_freed_whatever_another_raises(
    engines: dict[str, Path], trt: FakeTrt, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, closed = Model.open(engines[NEW], "cuda"), []

    def close(self: TensorRtRunner) -> None:
        closed.append(self.block)
        raise RuntimeError(self.block)

    monkeypatch.setattr(TensorRtRunner, "close", close)
    with pytest.raises(RuntimeError):
        model.close()
    assert sorted(closed) == sorted(model.manifest.blocks)


def test_too_little_memory_on_the_gpu_is_told_before_any_is_taken(engines: dict[str, Path], trt: FakeTrt) -> None:
    trt.gpu.free = 30_000_000
    told = r"device='cuda:0' has 30\.0 MB free: memory=30\.0 MB is too little: the stage .* takes .* MB with"
    with pytest.raises(MemoryBudgetError, match=told):
        Pipeline(engines[NEW], device="cuda")
    assert (trt.gpu.made, trt.counts["deserialised"]) == (0, 0)
    trt.gpu.free = 1 << 34
    with pytest.raises(MemoryBudgetError, match=r"^memory=20\.0 MB is too little"):
        Pipeline(engines[NEW], device="cuda", memory="20MB")
    with Pipeline(engines[NEW], device="cuda", memory="64GB") as pipe:
        assert pipe.model.plan.all_resident
