"""Jobs about scenes that are killed, among windows and while they publish: they go on, and nothing is left over."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from ..support.scene_jobs import dump, run, start, write_scene

ROOT = Path(__file__).parents[2]
PUBLISHED = ["out.geojson", "out.geojson.stac.json"]
LEDGER = [f"out.geojson.job{end}" for end in ("", "-wal", "-shm", "-journal")]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    write_scene(path, 640, 520)
    return path


@pytest.fixture(scope="module")
def undisturbed(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    out = tmp_path_factory.mktemp("undisturbed") / "out.geojson"
    run(scene, out)
    assert not out.with_name("out.geojson.job").exists()
    return dump(out)


def killed_and_finished(scene: Path, folder: Path, kills: int, undisturbed: list[object]) -> None:
    """Kill jobs at random moments, then let one end: the undisturbed layer, and no finished window asked twice."""
    out, log, rng = folder / "out.geojson", folder / "asked.log", random.Random(kills)
    log.touch()
    for _ in range(kills):
        job = start(scene, out, log, wait_s=0.03)
        before, until = log.stat().st_size, time.monotonic() + 60
        while log.stat().st_size == before and job.is_alive() and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.04)
        job.kill()
        job.join()
        assert not out.exists(), "too few windows for so many kills"
    last = start(scene, out, log)
    last.join(120)
    assert last.exitcode == 0
    assert dump(out) == undisturbed
    asked = Counter(log.read_text().split())
    windows = len(set(asked))
    assert asked.total() <= windows + kills
    assert sorted(path.name for path in folder.iterdir()) == ["asked.log", *PUBLISHED]


def killed_at_any_moment(scene: Path, folder: Path, kills: int, undisturbed: list[object]) -> int:
    """Kill jobs of all windows, each anywhere between its start and its end; after each, one runs to the end.

    How many were killed while they published, which is where files lie aside or some outputs have their names.
    """
    log, rng, publishing, out = folder / "asked.log", random.Random(kills), 0, folder / "out.geojson"
    log.touch()
    started = time.monotonic()
    start(scene, out, log).join(120)
    whole_s = time.monotonic() - started
    windows = len(set(log.read_text().split()))
    for number in range(kills):
        for path in folder.iterdir():
            path.unlink()
        log.touch()
        job = start(scene, out, log)
        if number % 2:  # among windows and merging, or while publishing, which is the last few hundredths of a second
            time.sleep(rng.random() * whole_s)
        else:
            until = time.monotonic() + 60
            while not list(folder.glob(".out*")) and job.is_alive() and time.monotonic() < until:
                pass
            time.sleep(rng.random() * 0.02)
        job.kill()
        job.join()
        names = {path.name for path in folder.iterdir()}
        publishing += bool([name for name in names if "partial" in name])
        assert {name for name in names if "partial" not in name} <= {"asked.log", *PUBLISHED, *LEDGER}, names
        assert not out.exists() or dump(out) == undisturbed
        last = start(scene, out, log)
        last.join(120)
        assert last.exitcode == 0
        assert dump(out) == undisturbed
        assert sorted(path.name for path in folder.iterdir()) == ["asked.log", *PUBLISHED]
        # Where the first had ended, ledger and all, there was nothing to go on from.
        assert len(log.read_text().split()) <= windows + 1 or names == {"asked.log", *PUBLISHED}
    return publishing


def test_a_job_that_is_killed_goes_on(scene: Path, tmp_path: Path, undisturbed: list[object]) -> None:
    killed_and_finished(scene, tmp_path, 20, undisturbed)


def test_a_job_that_is_killed_at_any_moment_goes_on(scene: Path, tmp_path: Path, undisturbed: list[object]) -> None:
    killed_at_any_moment(scene, tmp_path, 4, undisturbed)


@pytest.mark.long
def test_a_job_that_is_killed_two_hundred_times_goes_on(scene: Path, tmp_path: Path, undisturbed: list[object]) -> None:
    for number in range(10):
        (folder := tmp_path / str(number)).mkdir()
        killed_and_finished(scene, folder, 20, undisturbed)
    (folder := tmp_path / "any").mkdir()
    assert killed_at_any_moment(scene, folder, 60, undisturbed) >= 5


def test_what_a_job_that_was_killed_while_publishing_left_aside_is_removed(scene: Path, tmp_path: Path) -> None:
    code = (
        "import os; from tests.support.scene_jobs import *; from geopixel_edge.writers.layers import publishing\n"
        "publishing._exchange = lambda *_: os.kill(os.getpid(), 9)\n"
        f"run(Path({str(scene)!r}), [Path({str(tmp_path / 'o.gpkg')!r}), Path({str(tmp_path / 'm.tif')!r})])"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert told.returncode == -9
    assert len([path for path in tmp_path.iterdir() if "partial" in path.name]) >= 2
    run(scene, [tmp_path / "o.gpkg", tmp_path / "m.tif"])
    left = ["m.tif", "m.tif.stac.json", "o.gpkg", "o.gpkg.stac.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left
