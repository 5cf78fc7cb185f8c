"""CUDA memory by fakes of CUDA's packages: copies reach their places, also from several threads, and nothing leaks.

The fakes copy when the stream is waited for, as late as a GPU may; the real ones run in tests/gpu.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from geopixel_edge.errors import RuntimeUnavailableError
from geopixel_edge.runtimes import cuda, cuda_pinned
from geopixel_edge.runtimes.cuda import MOST_STAGED, CudaDevice

from ..support.fake_cuda_packages import FakePackages, installed


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePackages]:
    found = installed(monkeypatch)
    yield found
    gc.collect()
    assert found.registered == set()  # no longer than the memory it is of


@pytest.mark.parametrize("numbers", [0, 1, 1000, MOST_STAGED // 4, MOST_STAGED // 4 + 1])
def test_what_is_written_is_read(fake: FakePackages, numbers: int) -> None:
    device = CudaDevice(0)
    values = np.random.default_rng(numbers).standard_normal(numbers, dtype=np.float32)
    tensor = device.put(values)
    assert np.array_equal(tensor.numpy(), values)
    other = device.empty("float32", (numbers + 2,))
    device.copy(tensor, other)
    assert np.array_equal(other.numpy()[:numbers], values)


def test_small_writes_do_not_wait_and_outlive_what_was_written(fake: FakePackages) -> None:
    device = CudaDevice(0)
    tensors = [device.empty("int64", (4,)) for _ in range(3)]
    for index, tensor in enumerate(tensors):
        values = np.full(4, index)
        tensor.write(values)
        values[:] = -1
    assert len(fake.queued) == 3
    assert [int(tensor.numpy()[0]) for tensor in tensors] == [0, 1, 2]


def test_many_threads_share_the_staging_memory(fake: FakePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_pinned, "PINNED_BYTES", 4096)
    monkeypatch.setattr(cuda, "MOST_STAGED", 1024)
    device = CudaDevice(0)
    device.put(np.zeros(1))

    def there_and_back(seed: int) -> bool:
        values = np.random.default_rng(seed).integers(0, 2**60, 100)
        return all(np.array_equal(device.put(values).numpy(), values) for _ in range(30))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(8)))


def test_what_does_not_fit_is_refused(fake: FakePackages) -> None:
    device = CudaDevice(0)
    small, large = device.empty("float32", (2,)), device.empty("float32", (3,))
    with pytest.raises(ValueError, match="12 bytes are not copied to 8"):
        device.copy(large, small)
    with pytest.raises(ValueError, match="is not written to float32"):
        small.write(np.zeros(2))
    assert fake.queued == []


def test_a_gpu_that_is_lost_is_named(fake: FakePackages) -> None:
    device = CudaDevice(3)
    tensor = device.empty("float32", (2,))
    fake.fails = True
    with pytest.raises(RuntimeUnavailableError, match=r"'cuda:3' failed \(cudaErrorIllegalAddress\)"):
        tensor.write(np.zeros(2, np.float32))
    fake.queued.clear()


def test_what_is_captured_is_done_when_it_is_launched(fake: FakePackages) -> None:
    device = CudaDevice(0)
    assert device.compute_capability == 87
    source, target = device.put(np.arange(4.0)), device.put(np.zeros(4))
    device.wait()
    graph = device.capture(lambda: device.copy(source, target))
    assert graph is not None
    assert not target.numpy().any()
    for first in (1.0, 2.0):
        source.write(np.array([first, 1.0, 2.0, 3.0]))
        graph()
        assert target.numpy()[0] == first
    fake.fails = True
    with pytest.raises(RuntimeUnavailableError, match=r"'cuda:0' failed \(cudaErrorLaunchFailure\)"):
        graph()
    fake.queued.clear()
    del graph
    gc.collect()
    assert len(fake.destroyed) == 2


def test_what_is_not_captured_is_none(fake: FakePackages) -> None:
    device = CudaDevice(0)
    fake.fails = True
    assert device.capture(lambda: None) is None


def test_a_gpu_that_is_lost_while_it_is_waited_for(fake: FakePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    device = CudaDevice(2)
    assert device.stream == 5
    assert device._opened is not None

    def lost() -> None:
        raise RuntimeError("CUDA_ERROR_LAUNCH_FAILED")

    monkeypatch.setattr(device._opened[1], "sync", lost)
    with pytest.raises(RuntimeUnavailableError, match=r"'cuda:2' failed .*LAUNCH_FAILED.*; make a new Pipeline"):
        device.wait()


@pytest.mark.parametrize(
    ("served", "told"),
    [
        (0, "no NVIDIA driver is loaded"),
        (
            12040,
            r"the driver serves CUDA 12\.4 and cuda-core is for CUDA 13\.2: it is too old; update the driver, or pip",
        ),
    ],
)
def test_a_driver_that_is_absent_or_too_old(fake: FakePackages, served: int, told: str) -> None:
    fake.served = served
    with pytest.raises(RuntimeUnavailableError, match=rf"device='tensorrt:0' cannot be used \({told}"):
        CudaDevice(0, "tensorrt").zeros("float32", (1,))


def test_a_second_stream_is_waited_for_on_the_gpu(fake: FakePackages) -> None:
    device = CudaDevice(0)
    other = device.beside()
    device.after(other)
    device.after(device)
    assert fake.waited == []  # nothing was queued there
    assert (device.stream, other.stream) == (5, 6)
    device.after(other)
    assert [one.handle for one in fake.waited] == [6]  # type: ignore[attr-defined]


def test_memory_that_a_board_shares_with_its_cpu_can_be_made_free(fake: FakePackages) -> None:
    device = CudaDevice(0)
    assert device.free_bytes() == 5_000
    fake.integrated = 1
    assert device.free_bytes() > 10_000_000
    fake.fails = True
    with pytest.raises(RuntimeUnavailableError, match=r"device='cuda:0' failed \(cudaErrorDevicesUnavailable\)"):
        device.free_bytes()


def test_every_thread_works_on_the_device_it_uses(fake: FakePackages) -> None:
    """Current is what a thread made so; one device after another is used by one thread, too."""
    first, second = CudaDevice(0), CudaDevice(1)
    for device in (first, second, first):
        device.free_bytes()
    with ThreadPoolExecutor(1) as pool:
        for device in (second, second, first):
            pool.submit(device.free_bytes).result()
    assert fake.used == [0, 1, 0, 1, 1, 0]
