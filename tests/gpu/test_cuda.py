"""On an NVIDIA GPU: CUDA memory keeps what a device promises, and the main path gives the CPU's answers.

`pytest -m gpu tests/gpu` with onnxruntime-gpu and cuda-core installed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geopixel_edge import Pipeline
from geopixel_edge.build.forms import build_form
from geopixel_edge.engine import BUNDLED
from geopixel_edge.runtimes.cuda import CudaDevice

pytestmark = pytest.mark.gpu
QUESTION = "Describe this image with interleaved segmentation masks."
PIXELS = np.random.default_rng(4).integers(0, 256, (300, 400, 3), dtype=np.uint8)


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


def test_the_main_path_gives_the_cpus_answers(tmp_path: Path) -> None:
    build_form(BUNDLED, tmp_path / "portable", "portable")
    with Pipeline(device="cpu") as on_cpu, Pipeline(tmp_path / "portable", device="cuda") as on_gpu:
        one = on_cpu(PIXELS, QUESTION, max_new_tokens=48)
        other = on_gpu(PIXELS, QUESTION, max_new_tokens=48)
    assert other.provenance["device"] == "cuda"
    assert other.token_ids == one.token_ids
    for first, second in zip(one.regions, other.regions, strict=True):
        a, b = first.mask.to_array(), second.mask.to_array()
        assert (a & b).sum() >= 0.999 * (a | b).sum()
