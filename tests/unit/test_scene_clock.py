"""How far a job about a scene is, as it is told: the time left where windows are empty, and the line on a terminal."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geopixel_edge.cli.progress import Line, json_lines
from geopixel_edge.scenes.clock import Clock, States
from geopixel_edge.scenes.ledger import WindowRow
from geopixel_edge.scenes.result import Progress
from geopixel_edge.scenes.working import Result

from ..support.scene_jobs import run


class Time:
    """A clock that is put forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("geopixel_edge.scenes.clock.time.monotonic", lambda: self.now)

    def lefts(self, windows: str, unstored: str = "") -> list[tuple[float | None, float]]:
        """Seconds left as told and in truth after each window: "." asked, which takes 1 s, "-" empty, 0.01 s."""
        told: list[Progress] = []
        takes = [1.0 if one == "." else 0.01 for one in windows]
        states = States(len(windows), ())
        made = Clock(states, told.append, 0, [n for n, one in enumerate(unstored) if one == "-"])
        for number, (one, seconds) in enumerate(zip(windows, takes, strict=True)):
            self.now += seconds
            made.add([Result(WindowRow(number, "done" if one == "." else "empty", seconds))])
        return [(one.left_s, sum(takes[n + 1 :])) for n, one in enumerate(told)]


def test_windows_without_pixels_do_not_count_as_those_that_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Time(monkeypatch)
    assert all(told == pytest.approx(truth) for told, truth in given.lefts("." * 40))
    # Empty ones that the file's index tells are known from the first window on.
    scene = "." * 40 + "-" * 400
    known = given.lefts(scene, scene)
    assert all(told is not None and truth - 4.1 <= told <= truth for told, truth in known[:30])
    # Where it does not, 16 of them are enough.
    unknown = given.lefts(scene)
    assert all(told == pytest.approx(truth) for told, truth in unknown[40 + 16 :])
    late = given.lefts("-" * 400 + "." * 40)
    assert late[399][0] is None
    assert all(told == pytest.approx(truth) for told, truth in late[400 + 16 :])
    mixed = given.lefts("..--" * 60)
    assert all(told is not None and truth / 1.3 - 2 <= told <= truth * 1.3 + 2 for told, truth in mixed[15:])


def test_a_scene_half_of_which_was_never_written_is_timed_by_the_other_half(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "width": 384, "height": 4_000, "count": 3, "dtype": "uint8", "nodata": 0}
    tiles = {"tiled": True, "blockxsize": 128, "blockysize": 128, "sparse_ok": True, "photometric": "RGB"}
    with rasterio.open(tmp_path / "s.tif", "w", **profile, **tiles) as file:
        file.write(np.full((3, 256, 384), 90, np.uint8), window=rasterio.windows.Window(0, 0, 384, 256))
    told: list[Progress] = []
    run(tmp_path / "s.tif", tmp_path / "o.geojson", on_progress=told.append)
    first = next(one for one in told if one.left_s is not None)
    assert first.window_s is not None
    assert first.left_s is not None
    assert first.total > 300
    assert first.left_s < 25 * first.window_s  # of 20 that hold pixels


def progress(done: int, left_s: float | None = None) -> Progress:
    return Progress(done, 10, 1, 0, 7, None if left_s is None else 0.5, left_s)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_line_that_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    line = Line()
    line.show(progress(0))
    line.show(progress(1, 90.0))  # less than a tenth of a second later
    line.show(progress(10))
    assert shown.getvalue() == "\r0/10 windows, 7 parts found\x1b[K\r10/10 windows, 7 parts found\x1b[K\n"
    line = Line()
    line.show(progress(4, 90.0))
    assert "4/10 windows, 7 parts found, 0.50 s each, " in shown.getvalue()
    assert shown.getvalue().endswith("left\x1b[K")


def test_other_streams_get_nothing_or_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Line().show(progress(10, 0.0))
    assert capsys.readouterr() == ("", "")
    json_lines(progress(4, 90.0))
    told = json.loads(capsys.readouterr().out)["progress"]
    assert (told["done"], told["total"], told["left_s"], told["window_s"]) == (4, 10, 90.0, 0.5)
