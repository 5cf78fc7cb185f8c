"""The benchmark of whole answers at real size: what is known is not measured again, and refusals are told."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scale import answers, memory, resident, run
from geopixel_edge.engine import BUNDLED
from geopixel_edge.errors import ExportError


def test_what_was_measured_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    assert answers.kept(path, lambda: {"a": 1}) == {"a": 1}
    assert answers.kept(path, lambda: {"a": 2}) == {"a": 1}
    assert json.loads(path.read_text()) == {"a": 1}
    path.unlink()

    def stopped() -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answers.kept(path, stopped)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_budget_is_a_result_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine in the package: 6 GB are plenty, and a budget that nothing fits is told with its reason."""
    engine, asked = tmp_path / "engine", list[str | None]()
    shutil.copytree(BUNDLED, engine)

    def answered(engine: Path, size: tuple[int, int], hd_num: int, limit: str | None) -> dict[str, Any]:
        asked.append(limit)
        return {
            "run_peak_bytes": 2 * 10**8,
            "load_peak_bytes": 10**8,
            "first_token_s": 4.0,
            "follow_up_first_token_s": 0.1,
        }

    monkeypatch.setattr(memory, "measured", answered)
    monkeypatch.setattr(resident, "measured", lambda _: {})
    monkeypatch.setattr(answers, "verified_engine", lambda _: {"exit_code": 0})
    monkeypatch.setattr(answers, "BUDGETS", {answers.SQUARE: "6GB", answers.WIDE: "5MB"})
    found = answers.measured(engine, is_whole=True)
    assert asked == [None, "6GB", None]
    assert (found["run_limited_peak_bytes"], found["follow_up_ratio"]) == (2 * 10**8, 0.025)
    assert found["plan_error"] == found["square"]["unlimited"]["planned_bytes"] / 2e8 - 1
    assert "give at least" in found["wide"]["limited"]["refused"]
    answers.measured(engine, is_whole=True)
    assert len(asked) == 3


def test_a_full_disk_is_told_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: argparse.Namespace(free=10**9))
    args = argparse.Namespace(whole=True, layers=2, work=tmp_path / "work", precision="int4", only=None)
    with pytest.raises(ExportError, match=r"has 1\.0 GB free, checkpoint and engine need about 26\.8 GB"):
        run.measure_all(args)
    assert list((tmp_path / "work").iterdir()) == []
