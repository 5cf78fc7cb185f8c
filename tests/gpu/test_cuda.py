"""On an NVIDIA GPU: CUDA memory keeps what a device promises, and ONNX files and plans give the CPU's answers.

`pytest -m gpu tests/gpu` with onnxruntime-gpu and cuda-core installed, and for plans a TensorRT. Those of TensorRT
have not been run on a GPU yet.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from geopixel_edge import Pipeline
from geopixel_edge.build.forms import build_form
from geopixel_edge.build.tensorrt import build_tensorrt
from geopixel_edge.build.tensorrt_builder import Wanted
from geopixel_edge.build.tensorrt_child import library_of
from geopixel_edge.build.tensorrt_target import choose
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import Engine
from geopixel_edge.errors import OptionError, RuntimeUnavailableError
from geopixel_edge.runtimes.cuda import CudaDevice
from geopixel_edge.runtimes.devices import PROVIDERS
from geopixel_edge.runtimes.tensorrt import TensorRtRunner
from geopixel_edge.runtimes.tensorrt_import import MODULES

pytestmark = pytest.mark.gpu
QUESTION = "Describe this image with interleaved segmentation masks."
PIXELS = np.random.default_rng(4).integers(0, 256, (300, 400, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def portable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine in the package with its language model in standard operators."""
    target = tmp_path_factory.mktemp("portable") / "engine"
    build_form(BUNDLED, target, "portable")
    return target


@pytest.fixture(scope="module")
def device() -> CudaDevice:
    return CudaDevice(0)


def test_memory_is_written_viewed_copied_and_read(device: CudaDevice) -> None:
    tensor = device.put(np.arange(12, dtype=np.float32).reshape(3, 4))
    tensor.view(1, 4, offset=4).write(np.full((1, 4), 9, np.float32))
    target = device.zeros("float32", (2, 8))
    device.copy(tensor, target.view(12, offset=2))
    wanted = [0, 0, 0, 1, 2, 3, 9, 9, 9, 9, 8, 9, 10, 11, 0, 0]
    assert target.numpy().ravel().tolist() == wanted
    assert device.zeros("int64", (0,)).numpy().shape == (0,)
    assert device.free_bytes() > 1 << 20
    assert device.stream != 0


def test_threads_write_and_read_beside_each_other(device: CudaDevice) -> None:
    """Each makes the GPU its own first."""

    def crossed(number: int) -> bool:
        value = np.full((3, 1000), number, np.float32)
        return bool(np.array_equal(device.put(value).numpy(), value))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(crossed, range(64)))


def test_what_is_captured_is_done_at_each_launch(device: CudaDevice) -> None:
    source, target = device.put(np.ones(8, np.float32)), device.zeros("float32", (8,))
    launch = device.capture(lambda: device.copy(source, target))
    assert launch is not None
    assert not target.numpy().any(), "capturing does nothing"
    for number in (3, 4):
        source.write(np.full(8, number, np.float32))
        launch()
        assert (target.numpy() == number).all()


def test_one_stream_waits_for_another(device: CudaDevice) -> None:
    beside = device.beside()
    assert beside.stream != device.stream
    value = np.random.default_rng(6).standard_normal((64, 1 << 18), dtype=np.float32)
    there, copied = beside.put(value), beside.empty("float32", value.shape)
    beside.copy(there, copied)
    device.after(beside)
    here = device.empty("float32", value.shape)
    device.copy(copied, here)
    np.testing.assert_array_equal(here.numpy(), value)


def test_the_main_path_gives_the_cpus_answers(portable: Path) -> None:
    with Pipeline(portable, device="cuda") as on_gpu:
        answers_as_the_cpu(on_gpu)


def test_onnxruntimes_tensorrt_gives_the_cpus_answers(portable: Path) -> None:
    """Its float32 may be rounded to TF32: the same words, and nearly the same masks."""
    pytest.importorskip("tensorrt", reason="no TensorRT is installed")
    if PROVIDERS["tensorrt"] not in ort.get_available_providers():
        pytest.skip("this onnxruntime was built without TensorRT")
    with Pipeline(portable, device="tensorrt") as on_gpu:
        answers_as_the_cpu(on_gpu, iou=0.99)


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine in the package as plans for this GPU, verified on it."""
    told = []
    for runtime in MODULES:
        try:
            choose(runtime, None, library_of(runtime))
        except (RuntimeUnavailableError, OptionError) as error:
            told.append(str(error))
            continue
        target = tmp_path_factory.mktemp("plans") / "engine"
        assert build_tensorrt(BUNDLED, target, Wanted(runtime)).verified
        return target
    pytest.skip(f"no TensorRT that builds for this GPU is installed: {'; '.join(told)}")


def test_plans_give_the_cpus_answers(plans: Path) -> None:
    """Tokens are replayed, and the grounding encoder runs on a stream of its own."""
    with Pipeline(plans, device="cuda") as on_gpu:
        assert on_gpu.model.residency.grounds_beside
        answers_as_the_cpu(on_gpu)
        answers_as_the_cpu(on_gpu)


def test_plans_answer_in_another_thread(plans: Path) -> None:
    with Pipeline(plans, device="cuda") as on_gpu:
        awaited = asyncio.run(on_gpu.aask(PIXELS, QUESTION, max_new_tokens=8))
        assert awaited.token_ids == on_gpu(PIXELS, QUESTION, max_new_tokens=8).token_ids


def test_a_plans_step_is_captured_and_replayed(plans: Path) -> None:
    engine = Engine(plans)
    spec = engine.manifest.blocks["vision_encoder"]
    gpu = CudaDevice(0)
    runner = TensorRtRunner(engine.path(spec.files[0]), spec, "vision_encoder", gpu)
    side = engine.manifest.sizes.tile_px
    views = gpu.put(np.random.default_rng(7).standard_normal((1, 3, side, side)).astype(spec.inputs[0].dtype))
    wanted: dict[str, Any] = {name: one.numpy() for name, one in runner.run({spec.inputs[0].name: views}).items()}
    step = runner.bind({spec.inputs[0].name: views})
    for _ in range(3):  # made, captured, replayed
        step.run()
    for name, one in wanted.items():
        replayed: Any = step.outputs[name].numpy()
        np.testing.assert_allclose(replayed, one, rtol=1e-3, atol=1e-3)
    assert step._graph is not None
    runner.close()


def answers_as_the_cpu(on_gpu: Pipeline, iou: float = 0.999) -> None:
    """The same tokens, and as many masks, each near the CPU's."""
    with Pipeline(device="cpu") as on_cpu:
        one = on_cpu(PIXELS, QUESTION, max_new_tokens=48)
    other = on_gpu(PIXELS, QUESTION, max_new_tokens=48)
    assert other.provenance["device"] == on_gpu.device
    assert other.token_ids == one.token_ids
    for first, second in zip(one.regions, other.regions, strict=True):
        a, b = first.mask.to_array(), second.mask.to_array()
        assert (a & b).sum() >= iou * (a | b).sum()
