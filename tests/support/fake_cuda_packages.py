"""CUDA's packages, faked on host memory: copies are done when the stream is waited for, as late as a GPU may."""

from __future__ import annotations

import ctypes
import sys
import threading
from itertools import count
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from geopixel_edge.runtimes import cuda


class FakePackages:
    """What the packages do, on host memory."""

    def __init__(self) -> None:
        self.queued: list[tuple[int, int, int]] = []
        self.registered: set[int] = set()
        self.destroyed: list[Any] = []
        self.fails = False
        self.served = 13000
        self.integrated = 0
        self.waited: list[object] = []
        self.current: dict[int, int] = {}  # the device, by thread
        self.used: list[int | None] = []  # of which device memory was asked

    def told_memory(self) -> tuple[Any, Any, Any]:
        self.used.append(self.current.get(threading.get_ident()))
        return (SimpleNamespace(name="cudaErrorDevicesUnavailable"), None, None) if self.fails else ("ok", 5_000, 9_000)

    def end_capture(self, stream: int) -> tuple[Any, Any]:
        graph = tuple(self.queued)
        self.queued.clear()
        return ("refused" if self.fails else "ok"), graph

    def launch(self, made: tuple[str, Any], stream: int) -> tuple[Any]:
        self.queued += made[1]
        return (SimpleNamespace(name="cudaErrorLaunchFailure") if self.fails else "ok",)

    def copy(self, target: int, source: int, size: int, kind: object, stream: int) -> tuple[Any]:
        self.queued.append((target, source, size))
        return (SimpleNamespace(name="cudaErrorIllegalAddress") if self.fails else "ok",)

    def sync(self) -> None:
        while self.queued:
            target, source, size = self.queued.pop(0)
            ctypes.memmove(target, source, size)

    def allocate(self, size: int, stream: object) -> Any:
        memory = ctypes.create_string_buffer(size)
        return SimpleNamespace(handle=ctypes.addressof(memory), memory=memory)

    def register(self, address: int, size: int, flags: int) -> tuple[str]:
        assert address not in self.registered
        self.registered.add(address)
        return ("ok",)


def installed(monkeypatch: pytest.MonkeyPatch) -> FakePackages:
    """In place of `cuda.core` and `cuda.bindings`."""
    found = FakePackages()
    handles = count(5)

    def create_stream() -> Any:
        return SimpleNamespace(handle=next(handles), sync=found.sync, wait=found.waited.append)

    def device(index: int) -> Any:
        return SimpleNamespace(
            set_current=lambda: found.current.update({threading.get_ident(): index}),
            create_stream=create_stream,
            properties=found,
            allocate=found.allocate,
            compute_capability=SimpleNamespace(major=8, minor=7),
        )

    monkeypatch.setattr(cuda, "current_device", threading.local())
    runtime = SimpleNamespace(
        cudaMemcpyKind=SimpleNamespace(cudaMemcpyDefault=4),
        cudaError_t=SimpleNamespace(cudaSuccess="ok"),
        cudaMemcpyAsync=found.copy,
        cudaHostRegister=found.register,
        cudaHostUnregister=found.registered.discard,
        cudaStreamCaptureMode=SimpleNamespace(cudaStreamCaptureModeThreadLocal=1),
        cudaStreamBeginCapture=lambda stream, mode: ("ok",),
        cudaStreamEndCapture=found.end_capture,
        cudaGraphInstantiate=lambda graph, flags: ("ok", ("made", graph)),
        cudaGraphLaunch=found.launch,
        cudaGraphExecDestroy=found.destroyed.append,
        cudaGraphDestroy=found.destroyed.append,
        cudaDriverGetVersion=lambda: ("ok", found.served),
        cudaRuntimeGetVersion=lambda: ("ok", 13020),
        cudaMemGetInfo=found.told_memory,
    )
    for name, members in (("cuda.core", {"Device": device}), ("cuda.bindings", {"runtime": runtime})):
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "cuda", ModuleType("cuda"))
    return found
