"""Engines exported once for the whole test session."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from geopixel_edge.pipeline import Pipeline

from .support.servers import Server, serving
from .support.shared import made_once
from .support.torchless import needs_torch

TESTS = Path(__file__).parent
CHECKPOINT = TESTS / "data" / "tiny-geopixel" / "checkpoint"
# Where torch is not installed the tests that need it are not collected, so that the package's own can run there.
collect_ignore = [str(path) for path in needs_torch(TESTS)] if importlib.util.find_spec("torch") is None else []


@pytest.fixture
def without_geo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read by the base package alone, as where the extra `geo` is not installed."""
    monkeypatch.setenv("GEOPIXEL_EDGE_NO_GEO", "1")


def export_engine(target: Path, precision: str) -> None:
    """The reference checkpoint at a precision."""
    from export.publish import export_engine as export

    export(CHECKPOINT, target, precision)


@pytest.fixture(scope="session")
def engine_fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference checkpoint as a float32 engine; not to be changed by a test."""
    return made_once(tmp_path_factory, "fp32", lambda target: export_engine(target, "fp32"))


@pytest.fixture(scope="session")
def engine_fp16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference checkpoint as a float16 engine."""
    return made_once(tmp_path_factory, "fp16", lambda target: export_engine(target, "fp16"))


@pytest.fixture(scope="session")
def engine_portable(engine_fp32: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float32 engine with its language model in standard operators."""
    from geopixel_edge.build.forms import build_form

    return made_once(tmp_path_factory, "portable", lambda target: build_form(engine_fp32, target, "portable"))


@pytest.fixture(scope="session", params=["ready", "portable"])
def pipeline_of_form(request: pytest.FixtureRequest) -> Pipeline:
    """The float32 engine in either form, loaded once each."""
    if request.param == "ready":
        ready: Pipeline = request.getfixturevalue("pipeline")
        return ready
    return Pipeline(request.getfixturevalue("engine_portable"), device="cpu")


@pytest.fixture(scope="session")
def pipeline(engine_fp32: Path) -> Pipeline:
    """The float32 engine, loaded once."""
    return Pipeline(engine_fp32, device="cpu")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the engine in the package; not to be ended by a test."""
    with serving(
        tmp_path_factory.mktemp("server"), "--max-body", "8MB", "--queue", "8", "--receive-timeout-s", "3"
    ) as running:
        yield running


@pytest.fixture
def unharmed(server: Server) -> Iterator[None]:
    """After the test the same worker answers."""
    before = server.worker_pid()
    yield
    assert server.get("/readyz").status == 200
    assert server.worker_pid() == before


@pytest.fixture(scope="session")
def direct() -> Pipeline:
    """The same engine in this process: what a server's answers have to equal."""
    return Pipeline(device="cpu")
