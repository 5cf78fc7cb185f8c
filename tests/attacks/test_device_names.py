"""Devices and threads that cannot be had: named, with what can."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import onnxruntime as ort
import pytest

from geopixel_edge import limits
from geopixel_edge.engine.directory import Engine
from geopixel_edge.errors import (
    EngineMismatchError,
    OptionError,
    RuntimeUnavailableError,
)
from geopixel_edge.pipeline import Pipeline
from geopixel_edge.runtimes.cuda import CudaDevice
from geopixel_edge.runtimes.loading import device_for, load_block, open_device
from geopixel_edge.runtimes.onnx import providers
from geopixel_edge.runtimes.onnx_import import prepare_cuda
from tests.support.engines import linked, put, sign

BLOCK = "pixel_decoder"
Log = pytest.LogCaptureFixture


@pytest.fixture
def root(engine_fp32: Path, tmp_path: Path) -> Path:
    return linked(engine_fp32, tmp_path)


@pytest.mark.parametrize("device", ["tpu", "", "CPU", "cpu:0", "cuda:", "cuda:-1", "cuda:\u0663", "cuda:9999", 0])
def test_an_unknown_device(engine_fp32: Path, device: Any) -> None:
    with pytest.raises(OptionError, match="device="):
        Pipeline(engine_fp32, device=device)


@pytest.mark.parametrize("threads", [0, -1, True, 10**9, limits.MAX_THREADS + 1, 1.5, "2", float("nan")])
def test_an_absurd_number_of_threads(engine_fp32: Path, threads: Any) -> None:
    with pytest.raises(OptionError, match="threads="):
        Pipeline(engine_fp32, device="cpu", threads=threads)


def test_a_device_that_is_absent(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(RuntimeUnavailableError, match="onnxruntime-gpu"):
        load_block(Engine(root), BLOCK, open_device("cuda"), 1)


def test_a_device_that_does_not_come_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CudaDevice, "stream", 7)
    make = ort.InferenceSession

    def without_cuda(path: str, options: Any, providers: list[Any], **kwargs: Any) -> Any:
        return make(path, options, providers=["CPUExecutionProvider"], **kwargs)

    def failing(path: str, options: Any, providers: list[Any], **kwargs: Any) -> Any:
        if providers[0][0].startswith("CUDA"):
            raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected")
        return without_cuda(path, options, providers, **kwargs)

    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    for session, named in ((without_cuda, "fell back"), (failing, "no CUDA-capable device")):
        monkeypatch.setattr(ort, "InferenceSession", session)
        with pytest.raises(RuntimeUnavailableError, match=named):
            load_block(Engine(root), BLOCK, open_device("cuda:1"), 1)
    put(root, f"{BLOCK}.onnx", b"damaged")
    sign(root)
    with pytest.raises(EngineMismatchError):
        load_block(Engine(root), BLOCK, open_device("cuda:1"), 1)


def test_a_float32_engine_in_the_ready_form_is_for_a_cpu(
    engine_fp32: Path, engine_fp16: Path, engine_portable: Path, monkeypatch: pytest.MonkeyPatch, caplog: Log
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    for root in (engine_fp16, engine_portable):
        assert device_for(Engine(root), "auto").kind == "cuda"
    assert not caplog.records
    with pytest.raises(RuntimeUnavailableError, match=r"device='cuda:1': .*--form portable"):
        device_for(Engine(engine_fp32), "cuda:1")
    assert device_for(Engine(engine_fp32), "auto").kind == "cpu"
    assert "--form portable" in caplog.text
    assert device_for(Engine(engine_fp32), "cpu").kind == "cpu"


def test_what_the_gpu_package_says_on_its_own_is_kept_from_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    levels: list[int] = []
    module = ModuleType("onnxruntime")
    vars(module).update(
        set_default_logger_severity=levels.append, preload_dlls=lambda: print("Failed to load libcudnn.so.9")
    )
    prepare_cuda(module)
    assert levels == [4]
    assert capsys.readouterr() == ("", "")


def test_a_gpus_provider_shares_the_stream_and_does_not_round_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CudaDevice, "stream", 7)
    (first, told), (last, _) = providers(CudaDevice(1))
    assert first == "CUDAExecutionProvider"
    assert told == {"device_id": "1", "user_compute_stream": "7", "use_tf32": "0"}
    assert last == "CPUExecutionProvider"
