"""What `geopixel-edge doctor ENGINE` says an engine directory needs, on machines that are not here."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from geopixel_edge.cli import machine, main
from geopixel_edge.cli.machine_engine import Machine, examine_engine
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import read_manifest, write_manifest
from geopixel_edge.runtimes.cuda_facts import CudaFacts, GpuFacts

ORIN = GpuFacts("Orin", 87, 65_000_000_000, True)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of an engine with plans for an Orin; nothing of `doctor` opens its files."""
    root = tmp_path_factory.mktemp("planned")
    manifest = msgspec.to_builtins(read_manifest(BUNDLED))
    for block in manifest["blocks"].values():
        block["runtime"] = "tensorrt"
        block["plan"] = {"version": "10.3.0", "sm": 87, "profiles": (), "build_peak_bytes": 1}
    write_manifest(root, msgspec.convert(manifest, type(read_manifest(BUNDLED))))
    return root


def with_what(versions: dict[str, str], gpus: tuple[GpuFacts, ...] = (ORIN,), memory_bytes: int = 1 << 36) -> Machine:
    return Machine(versions, gpus, memory_bytes)


@pytest.mark.parametrize(
    ("machine_", "problem"),
    [
        (with_what({"tensorrt": "10.3.0"}), ""),
        (with_what({"onnx": "1.30"}), "tensorrt is not here: on a Jetson it comes with JetPack"),
        (
            with_what({"tensorrt": "10.16.0"}),
            "10.16.0 is installed, and no other version loads its plans: build it again",
        ),
        (
            with_what({"tensorrt": "10.3.0"}, ()),
            "no GPU here has its compute capability: build it again on this machine",
        ),
        (
            with_what({"tensorrt": "10.3.0"}, (GpuFacts("Orin", 87, 10_000_000, True),)),
            "that is more than the 10 MB here: see what less would do, geopixel-edge plan ",
        ),
    ],
)
def test_what_a_planned_engine_needs(machine_: Machine, problem: str, planned: Path) -> None:
    found = examine_engine(planned, machine_)
    assert found.value.startswith("tensorrt 10.3.0 on compute capability 8.7; 16.3 MB, planned to take ")
    assert found.value.endswith("to be verified at its first load")
    assert (found.ok, found.remedy[: len(problem)]) == (not problem, problem)


def test_engines_that_cannot_be_used(tmp_path: Path) -> None:
    found = examine_engine(tmp_path / "absent", with_what({}))
    assert (found.ok, found.value) == (False, "cannot be used")
    assert "is no directory" in found.remedy
    assert examine_engine(BUNDLED, with_what({"onnx": "1.30"}, ())).ok
    assert "onnx is not here: pip install onnxruntime" in examine_engine(BUNDLED, with_what({})).remedy


def test_the_verb_takes_engines(
    planned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> None:
        raise ImportError("No module named 'onnxruntime'")

    monkeypatch.setattr("geopixel_edge.cli.machine_onnxruntime.import_onnxruntime", missing)
    monkeypatch.setattr("geopixel_edge.cli.machine_onnxruntime.packages", dict)
    monkeypatch.setattr(machine, "tensorrt_versions", lambda: {"tensorrt": "10.3.0"})
    monkeypatch.setattr(machine, "cuda_facts", lambda: CudaFacts((12, 6), (12, 6), (ORIN,)))
    assert main(["doctor", str(planned)]) == 0
    told = capsys.readouterr().out
    assert f"engine {planned.name}" in told
    assert "not needed: TensorRT's engines run without it" in told
    assert main(["doctor"]) == 5
    assert main(["doctor", str(planned), str(BUNDLED)]) == 5
