"""A tiny training run for the tests that train, and engines of a fake TensorRT's, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.fake_trt import FakeTrt
from ..support.tensorrt_engines import NEW, OLD, patched, plans_of
from ..support.tiny_training import prepared_run, run_directory, scene_store, tiny_config, tiny_run  # noqa: F401


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The engine in the package as plans of a new and of an old TensorRT, by its version."""
    return {version: plans_of(version, tmp_path_factory.mktemp("plans")) for version in (NEW, OLD)}


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeTrt:
    """A new TensorRT and a GPU, where engines are loaded and built."""
    return patched(monkeypatch, NEW, tmp_path)
