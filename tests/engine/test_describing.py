"""An engine as the annotation pipeline's describer."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from annotate.cli import main
from annotate.describers.engine import EngineDescriber
from annotate.errors import DescriberError
from annotate.job import Job
from annotate.settings import Settings
from annotate.sources import open_source
from geopixel_edge.engine import BUNDLED
from geopixel_edge.errors import EngineError, OptionError

from ..support.annotations import records

SOURCE = "scenes:2000065-2000065,128"


def described(engine: Path, out: Path, questions: int | None) -> list[dict[str, Any]]:
    """What the ledger holds once an engine was asked, at most so many questions."""
    describer = EngineDescriber(engine)
    try:
        with contextlib.suppress(DescriberError):
            Job(open_source(SOURCE), out, describer, Settings()).run(budget_requests=questions)
    finally:
        describer.close()
    return [json.loads(line) for line in (out / "requests" / "1-of-1.jsonl").read_text("utf-8").splitlines()]


def test_an_engine_is_asked_about_the_scene_and_its_things(engine_fp32: Path, tmp_path: Path) -> None:
    asked = described(engine_fp32, tmp_path / "out", 2)
    assert [one["level"] for one in asked] == ["scene", "instance"]
    assert all(one["tokens_in"] > 0 for one in asked)


@pytest.mark.long
def test_any_engine_that_passes_its_check_describes(engine_fp32: Path, tmp_path: Path) -> None:
    asked = described(engine_fp32, tmp_path / "out", None)
    assert {one["level"] for one in asked} >= {"scene", "instance", "group"}
    (record,) = records(tmp_path / "out")
    # A small random model says nothing about anything: each sentence is rebuilt, or dropped with its reason.
    assert all(one["edits"] or one["findings"] for one in record["sentences"] if one["level"] != "scene")


def test_the_engine_in_the_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="was not taught to describe single things"):
        EngineDescriber(BUNDLED)
    assert main([SOURCE, str(tmp_path / "out"), "--describer", f"engine:{BUNDLED}"]) == 3
    assert not (tmp_path / "out").exists()
    with pytest.raises(EngineError):
        EngineDescriber(tmp_path)
