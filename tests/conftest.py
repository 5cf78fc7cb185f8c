"""Engines exported once for the whole test session."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.publish import export_engine
from geopixel_edge.pipeline import Pipeline

from .support.tiny_training import prepared_run, run_directory, scene_store, tiny_config, tiny_run  # noqa: F401

CHECKPOINT = Path(__file__).parent / "data" / "tiny-geopixel" / "checkpoint"


@pytest.fixture(scope="session")
def engine_fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference checkpoint as a float32 engine; not to be changed by a test."""
    target = tmp_path_factory.mktemp("engines") / "fp32"
    export_engine(CHECKPOINT, target, "fp32")
    return target


@pytest.fixture(scope="session")
def engine_fp16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference checkpoint as a float16 engine."""
    target = tmp_path_factory.mktemp("engines") / "fp16"
    export_engine(CHECKPOINT, target, "fp16")
    return target


@pytest.fixture(scope="session")
def pipeline(engine_fp32: Path) -> Pipeline:
    """The float32 engine, loaded once."""
    return Pipeline(engine_fp32, device="cpu")
