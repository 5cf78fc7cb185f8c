"""`geopixel-edge doctor` on machines that are not here: boards, drivers, and packages that break each other."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from geopixel_edge.cli import machine, machine_gpu
from geopixel_edge.cli.board import Board, package_version, read_board
from geopixel_edge.cli.finding import Finding
from geopixel_edge.cli.machine_gpu import examine_board, examine_gpus, examine_tensorrt
from geopixel_edge.cli.machine_onnxruntime import examine_onnxruntime
from geopixel_edge.errors import RuntimeUnavailableError
from geopixel_edge.runtimes import cuda_facts as facts_module
from geopixel_edge.runtimes.cuda_facts import CudaFacts, GpuFacts, driver_version

ORIN = GpuFacts("Orin", 87, 65_000_000_000, True)
BOARD = Board("NVIDIA Jetson AGX Orin Developer Kit", "36.4.3", "6.2+b77", "30W (2)")

# --- ONNX Runtime's packages -----------------------------------------------------------------------------------------


def installed(root: Path, name: str, version: str, patch: pytest.MonkeyPatch) -> None:
    """A distribution's metadata in `root`, which is all that Python sees then."""
    place = root / f"{name.replace('-', '_')}-{version}.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (place / "top_level.txt").write_text("onnxruntime\n")
    patch.setattr(sys, "path", [str(root)])


@pytest.mark.parametrize(
    ("has_gpu", "on_jetson", "then"),
    [
        (False, False, "pip install onnxruntime==1.30.0"),
        (True, False, "pip install onnxruntime-gpu==1.31.1"),
        (
            True,
            True,
            "pip install --no-deps WHEEL, WHEEL being the onnxruntime_gpu wheel that was made for this JetPack",
        ),
    ],
)
def test_two_packages_in_one_folder(
    has_gpu: bool, on_jetson: bool, then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, "onnxruntime", "1.30.0", monkeypatch)
    installed(tmp_path, "onnxruntime-gpu", "1.31.1", monkeypatch)
    (found,) = examine_onnxruntime(has_gpu, on_jetson)
    assert not found.ok
    assert found.value == "onnxruntime 1.30.0 and onnxruntime-gpu 1.31.1 in one folder"
    assert found.remedy == f"pip uninstall --yes onnxruntime onnxruntime-gpu, then {then}"


@pytest.mark.parametrize("left", ["onnxruntime", "onnxruntime-gpu"])
def test_a_package_whose_files_went_with_the_other(left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, left, "1.31.1", monkeypatch)
    (tmp_path / "onnxruntime" / "capi").mkdir(parents=True)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    (found,) = examine_onnxruntime(True, False)
    assert not found.ok
    assert "damaged (its folder holds no InferenceSession" in found.value
    assert found.remedy == f"pip uninstall --yes {left}, then pip install {left}==1.31.1"
    assert "onnxruntime" not in sys.modules


@pytest.mark.parametrize("needed", [True, False])
def test_none_at_all(needed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    (found,) = examine_onnxruntime(False, False, needed)
    assert found.ok is not needed
    assert found.remedy == ("pip install onnxruntime" if needed else "not needed: TensorRT's engines run without it")


# --- Boards ----------------------------------------------------------------------------------------------------------


def board_tree(root: Path, release: str, model: str, mode: str, conf: str) -> Path:
    """The files that a Jetson has, with JetPack and TensorRT among its Debian packages."""
    files = {
        "etc/nv_tegra_release": release,
        "proc/device-tree/model": f"{model}\0",
        "var/lib/nvpmodel/status": mode,
        "etc/nvpmodel.conf": conf,
        "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release\n",
        "var/lib/dpkg/status": "".join(
            f"Package: {name}\nStatus: {status}\nArchitecture: arm64\nMaintainer: N <n@n>\nVersion: {version}\n"
            "Description: d\n\n"
            for name, status, version in (
                ("nvidia-jetpack", "install ok installed", "6.2+b77"),
                ("python3-libnvinfer", "install ok installed", "10.3.0.30-1+cuda12.5"),
                ("tensorrt", "deinstall ok config-files", "8.6"),
            )
        ),
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


CONF = "# comment\n< POWER_MODEL ID=0 NAME=MAXN >\nCPU 1\n< POWER_MODEL ID=2 NAME=30W >\n< PM_CONFIG DEFAULT=2 >\n"


def test_a_jetson_says_what_it_is(tmp_path: Path) -> None:
    release = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8\n"
    root = board_tree(tmp_path, release, BOARD.model, "pmode:0002", CONF)
    has_dpkg = subprocess.run(["sh", "-c", "command -v dpkg-query"], capture_output=True).returncode == 0
    found = read_board(root)
    assert found == (BOARD if has_dpkg else Board(BOARD.model, BOARD.l4t, "", BOARD.power_mode))
    assert package_version("tensorrt", root) == ""
    assert driver_version(root) == "540.4.0"
    (root / "var/lib/nvpmodel/status").write_text("pmode:0007 fmode:quiet")
    assert read_board(root).power_mode == "mode 7"  # type: ignore[union-attr]
    names = [one.name for one in examine_board(found)]
    assert names == ["board", "JetPack", "power mode"]


def test_a_machine_that_is_no_jetson(tmp_path: Path) -> None:
    assert read_board(tmp_path) is None
    assert examine_board(None) == []
    assert driver_version(tmp_path) == ""


def test_a_board_without_jetpacks_packages() -> None:
    found = {one.name: one for one in examine_board(Board("Jetson", "36.4.3", "", ""))}
    assert (found["JetPack"].value, found["power mode"].value) == ("not installed", "not told")
    assert "sudo apt install nvidia-jetpack" in found["JetPack"].remedy


# --- Drivers and GPUs ------------------------------------------------------------------------------------------------


def test_a_gpu_with_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.2.2")
    found = examine_gpus(CudaFacts((13, 0), (13, 2), (ORIN,)), tmp_path)
    assert [(one.name, one.value, one.ok) for one in found] == [
        ("NVIDIA driver", "loaded, serves CUDA 13.0", True),
        ("cuda-core", "1.2.2, for CUDA 13.2", True),
        ("cuda:0", "Orin, compute capability 8.7, 65 GB shared with the CPU", True),
    ]


def test_a_driver_that_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.2.2")
    problem = facts_module.driver_fault((12, 4), (13, 2))
    found = examine_gpus(CudaFacts((12, 4), (13, 2), problem=problem), tmp_path)
    assert [one.ok for one in found] == [True, False]
    assert "it is too old; update the driver, or pip install 'cuda-core[cu12]'" in found[1].remedy


def test_a_driver_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "proc/driver/nvidia/version"
    path.parent.mkdir(parents=True)
    path.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC\n")

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    driver, package = examine_gpus(CudaFacts(problem="cuda-core cannot be imported"), tmp_path)
    assert (driver.value, package.value, package.ok) == ("535.104.05", "not installed", True)
    assert "pip install 'geopixel-edge[cuda]'" in package.remedy


def test_what_the_cuda_runtime_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """As cuda-bindings answers: a status and a value, or a structure with a name in bytes."""
    from types import ModuleType, SimpleNamespace

    good, bad = SimpleNamespace(name="cudaSuccess"), SimpleNamespace(name="cudaErrorNoDevice")
    told: dict[str, Any] = {"driver": 13000, "count": (good, 1)}
    device = SimpleNamespace(name=b"NVIDIA H200", major=9, minor=0, totalGlobalMem=150_000_000_000, integrated=0)
    runtime = SimpleNamespace(
        cudaError_t=SimpleNamespace(cudaSuccess=good),
        cudaDriverGetVersion=lambda: (good, told["driver"]),
        cudaRuntimeGetVersion=lambda: (good, 13020),
        cudaGetDeviceCount=lambda: told["count"],
        cudaGetDeviceProperties=lambda index: (good, device),
    )
    module = ModuleType("cuda.bindings")
    vars(module)["runtime"] = runtime
    monkeypatch.setitem(sys.modules, "cuda", ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, "cuda.bindings", module)
    found = facts_module.cuda_facts()
    assert found == CudaFacts((13, 0), (13, 2), (GpuFacts("NVIDIA H200", 90, 150_000_000_000, False),))
    told["count"] = (bad, 0)
    assert facts_module.cuda_facts().problem == "CUDA finds no GPU (cudaErrorNoDevice)"
    told["driver"] = 12080
    assert "serves CUDA 12.8 and cuda-core is for CUDA 13.2" in facts_module.cuda_facts().problem
    told["driver"] = 0
    assert facts_module.cuda_facts() == CudaFacts(None, (13, 2), problem="no NVIDIA driver is loaded")
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    assert "cuda-core cannot be imported" in facts_module.cuda_facts().problem


def test_tensorrt_that_this_python_does_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_gpu, "package_version", lambda name, root: "10.3.0.30-1+cuda12.5")
    (found,) = examine_tensorrt({}, BOARD, tmp_path)
    assert "10.3.0.30-1+cuda12.5 serves the system's Python" in found.remedy
    assert "--system-site-packages" in found.remedy
    assert [one.value for one in examine_tensorrt({"tensorrt": "10.3.0"}, BOARD, tmp_path)] == ["10.3.0"]


def test_auto_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = (one for one in machine.examine() if one.name == "device auto")
    assert found == Finding("device auto", found.value)
    assert found.value.startswith("cpu: this onnxruntime has ")

    def absent(device: str) -> None:
        raise RuntimeUnavailableError("it cannot be loaded")

    monkeypatch.setattr(machine, "place", absent)
    (found,) = (one for one in machine.examine() if one.name == "device auto")
    assert (found.value, found.remedy) == ("none", "it cannot be loaded")
