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
from geopixel_edge.runtimes.devices import place, place_for
from geopixel_edge.runtimes.loading import load_block
from geopixel_edge.runtimes.onnx import providers
from geopixel_edge.runtimes.onnx_import import prepare_cuda
from tests.support.engines import linked, put, sign

BLOCK = "pixel_decoder"
Log = pytest.LogCaptureFixture


@pytest.fixture
def root(engine_fp32: Path, tmp_path: Path) -> Path:
    return linked(engine_fp32, tmp_path)


@pytest.mark.parametrize(
    "device", ["tpu", "", "CPU", "cpu:0", "cuda:", "cuda:-1", "cuda:\u0663", "cuda:9999", "tensorrt:", "auto:1", 0]
)
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
        load_block(Engine(root), BLOCK, place("cuda").device, 1)


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
            load_block(Engine(root), BLOCK, place("cuda:1").device, 1)
    put(root, f"{BLOCK}.onnx", b"damaged")
    sign(root)
    with pytest.raises(EngineMismatchError):
        load_block(Engine(root), BLOCK, place("cuda:1").device, 1)


def test_a_float32_engine_in_the_ready_form_is_for_a_cpu(
    engine_fp32: Path, engine_fp16: Path, engine_portable: Path, monkeypatch: pytest.MonkeyPatch, caplog: Log
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(CudaDevice, "compute_capability", 87)
    for root in (engine_fp16, engine_portable):
        assert place_for(Engine(root), "auto").device.kind == "cuda"
    assert not caplog.records
    with pytest.raises(RuntimeUnavailableError, match=r"device='cuda:1': .*--form portable"):
        place_for(Engine(engine_fp32), "cuda:1")
    assert place_for(Engine(engine_fp32), "auto").device.kind == "cpu"
    assert "--form portable" in caplog.text
    assert place_for(Engine(engine_fp32), "cpu").device.kind == "cpu"


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


def test_tensorrts_provider_stands_before_cudas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CudaDevice, "stream", 7)
    (first, told), (second, _), (last, _) = providers(CudaDevice(1, "tensorrt"))
    assert (first, second, last) == ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")
    assert told == {"device_id": "1", "user_compute_stream": "7", "trt_engine_cache_enable": "0"}


@pytest.mark.parametrize("kind", ["cuda", "tensorrt"])
def test_a_provider_that_was_asked_for_is_never_left_silently(
    kind: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that ONNX Runtime opened with the next provider is refused by the name of the one that it took."""
    monkeypatch.setattr(CudaDevice, "stream", 7)
    names = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: names)
    make = ort.InferenceSession

    def opened(path: str, options: Any, providers: list[Any], **kwargs: Any) -> Any:
        return make(path, options, providers=["CPUExecutionProvider"], **kwargs)

    monkeypatch.setattr(ort, "InferenceSession", opened)
    with pytest.raises(RuntimeUnavailableError, match=rf"device='{kind}:2': it fell back to CPU; check its libraries"):
        load_block(Engine(root), BLOCK, place(f"{kind}:2").device, 1)
    monkeypatch.setattr(ort, "get_available_providers", lambda: names[1:])
    if kind == "tensorrt":
        with pytest.raises(RuntimeUnavailableError, match=r"device='tensorrt:2': this onnxruntime has CUDA, CPU alone"):
            place("tensorrt:2")


def test_auto_says_what_it_took_and_why(engine_portable: Path, monkeypatch: pytest.MonkeyPatch, caplog: Log) -> None:
    assert place("auto").why == f"this onnxruntime has {', '.join(_short(ort.get_available_providers()))} alone"
    with Pipeline(engine_portable) as pipe:
        assert pipe.placement.startswith("cpu: this onnxruntime has ")
    with Pipeline(engine_portable, device="cpu") as pipe:
        assert pipe.placement == "cpu: it was asked for"
    assert not caplog.records
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    found = place("auto")
    assert found.device.kind == "cpu"
    assert found.why in caplog.text
    assert "device='auto' is the CPU: device='cuda:0' cannot be used" in caplog.text
    monkeypatch.setattr(CudaDevice, "compute_capability", 87)
    found = place("auto")
    assert (found.device.kind, found.why) == ("cuda", "the first GPU answers, of compute capability 87")


def _short(names: list[str]) -> list[str]:
    return [name.removesuffix("ExecutionProvider") for name in names]
