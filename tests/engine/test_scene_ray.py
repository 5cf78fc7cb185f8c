"""Scenes on Ray and folders of scenes: a worker that dies loses nothing, and every ledger is the driver's."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from geopixel_edge.batch import windows
from geopixel_edge.batch.cluster import Share, share_of
from geopixel_edge.batch.windows import WindowWorker, ray_workers
from geopixel_edge.cli import main
from geopixel_edge.errors import ImageError, InferenceError, OptionError, ResourceError
from geopixel_edge.scenes.asking import Answered, PipelineAsker
from geopixel_edge.scenes.many import scenes_of
from geopixel_edge.scenes.result import Progress
from geopixel_edge.scenes.working import Result, Work

from ..support.scene_jobs import COLOURS, dump, run, write_scene
from ..support.scene_oracle import TruthAsker

ROOT = Path(__file__).parents[2]
FIXTURE = Path(__file__).parents[1] / "data" / "geo" / "rgb_utm_1.tif"
HERE = Share(2, 1, 0.5, 0.0)


class Known(TruthAsker):
    """Says which process was asked; ends it at once where `deadly`, as a want of memory does."""

    deadly = False

    def ask(self, windows: Sequence[NDArray[np.uint8]], phrases: Sequence[str], describe: bool) -> list[Answered]:
        if self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        assert self.log is not None
        with self.log.with_suffix(".pid").open("a", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
        return super().ask(windows, phrases, describe)


class InProcess:
    """Workers without a cluster: the actor's own class, called here, its answers in another order."""

    share = HERE

    def __call__(self, work: Work, numbers: Iterable[int], batch: int) -> Generator[list[Result]]:
        worker = WindowWorker(work.asker)
        shown = {one.name: getattr(work, one.name) for one in fields(work) if one.name != "asker"}
        for number in reversed(list(numbers)):
            yield from worker.answer("job", shown, [number])


# --- Workers --------------------------------------------------------------------------------------------------------


def test_answers_in_any_order_give_the_same_layer(tmp_path: Path) -> None:
    write_scene(tmp_path / "scene.tif")
    run(tmp_path / "scene.tif", tmp_path / "here.geojson")
    run(tmp_path / "scene.tif", tmp_path / "there.geojson", workers=InProcess())
    assert dump(tmp_path / "there.geojson") == dump(tmp_path / "here.geojson") != []


def test_an_actor_opens_each_scene_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    plain = Work.open

    def counted(work: Work) -> Any:
        opened.append(work.scene.path.name)
        return plain(work)

    monkeypatch.setattr(Work, "open", counted)
    for name in ("a", "b"):
        write_scene(tmp_path / f"{name}.tif", 200, 200)
        run(tmp_path / f"{name}.tif", tmp_path / f"{name}.geojson", workers=InProcess())
    assert opened == ["a.tif", "b.tif"]


@pytest.mark.parametrize(
    ("there", "workers", "device", "share"),
    [
        ({"CPU": 2.0}, 2, "auto", Share(2, 1, 0.5, 0.0)),
        ({"CPU": 64.0, "GPU": 4.0}, 4, "auto", Share(4, 16, 8.0, 1.0)),
        ({"CPU": 64.0, "GPU": 4.0}, 8, "auto", Share(8, 8, 4.0, 0.0)),
        ({"CPU": 64.0, "GPU": 4.0}, 4, "cpu", Share(4, 16, 8.0, 0.0)),
        ({"CPU": 4.0}, 1, "cuda", Share(1, 4, 2.0, 1.0)),
    ],
)
def test_engines_share_a_cluster(there: dict[str, float], workers: int, device: str, share: Share) -> None:
    assert share_of(SimpleNamespace(cluster_resources=lambda: there), workers, None, None, device) == share
    with pytest.raises(OptionError, match="workers=0"):
        share_of(SimpleNamespace(cluster_resources=lambda: there), 0, None, None, device)


# --- A cluster ------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_killed_worker_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name, seed in (("one", 1), ("two", 5)):
        write_scene(tmp_path / f"{name}.tif", 640, 520, seed)
        run(tmp_path / f"{name}.tif", tmp_path / f"{name}-here.geojson")
    log = tmp_path / "asked.log"
    asker, killed = Known(COLOURS, log, wait_s=0.05), list[int]()

    def kill(progress: Progress) -> None:
        if progress.done >= 8 and not killed:
            killed.append(int(log.with_suffix(".pid").read_text().split()[-1]))
            os.kill(killed[0], signal.SIGKILL)

    with ray_workers(2) as workers:
        for name in ("one", "two"):
            run(tmp_path / f"{name}.tif", tmp_path / f"{name}-ray.geojson", asker, workers=workers, on_progress=kill)
    for name in ("one", "two"):
        assert dump(tmp_path / f"{name}-ray.geojson") == dump(tmp_path / f"{name}-here.geojson") != []
    processes = Counter(log.with_suffix(".pid").read_text().split())
    assert len(processes) == 3, "two workers, and the one that came for the killed one"
    asked = Counter(log.read_text().split())
    assert asked.total() - len(asked) <= 2, "only what the killed worker held is asked again"


@pytest.mark.long
def test_a_worker_that_always_dies_ends_the_job_and_the_ledger_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    write_scene(tmp_path / "scene.tif", 200, 200)
    asker = Known(COLOURS, tmp_path / "log")
    asker.deadly = True
    with ray_workers(1) as workers, pytest.raises(ResourceError, match="what is recorded is kept"):
        run(tmp_path / "scene.tif", tmp_path / "o.geojson", asker, workers=workers)
    assert (tmp_path / "o.geojson.job").exists()
    assert not (tmp_path / "o.geojson").exists()


@pytest.mark.long
def test_the_command_asks_a_folder_of_scenes_on_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "scenes").mkdir()
    for name in ("a", "b"):
        shutil.copy(FIXTURE, tmp_path / "scenes" / f"{name}.tif")
    asked = ["scene", str(tmp_path / "scenes"), "ships", "buildings", "--window", "256", "--no-page"]
    assert main([*asked, "--out", str(tmp_path / "{}-here.geojson"), "--threads", "1"]) == 0
    there = ["--out", str(tmp_path / "{}-ray.geojson"), "--threads", "1", "--ray", "--jobs", "2"]
    assert main([*asked, *there]) == 0
    for name in ("a", "b"):
        assert dump(tmp_path / f"{name}-ray.geojson") == dump(tmp_path / f"{name}-here.geojson") != []
    assert list(tmp_path.glob("*.job")) == []


# --- Folders --------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scenes").mkdir()
    for name in ("a", "b"):
        write_scene(tmp_path / "scenes" / f"{name}.tif", 200, 200)
    (tmp_path / "scenes" / "notes.txt").write_text("mine")
    (tmp_path / "scenes" / ".hidden.tif").write_text("mine")
    return tmp_path / "scenes"


@contextmanager
def in_process(workers: int, **more: object) -> Iterator[InProcess]:
    assert (workers, more["address"]) == (2, "auto")
    yield InProcess()


def test_a_folder_of_scenes_goes_on_where_it_ended(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(windows, "ray_workers", in_process)
    asked, plain = Counter[str](), PipelineAsker.ask

    def ask(self: PipelineAsker, *more: Any) -> list[Answered]:
        asked["all"] += 1
        if asked["all"] > 1 and asked["fails"]:
            raise InferenceError("a block gave numbers that are not finite")
        return plain(self, *more)

    monkeypatch.setattr(PipelineAsker, "ask", ask)
    command = ["scene", str(folder), "ships", "--out", str(tmp_path / "{}.geojson"), "--no-page", "--json"]
    asked["fails"] = 1
    assert main([*command, "--ray", "auto", "--jobs", "2"]) == 7
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["scene"], one["failed"]) for one in told if "scene" in one] == [("a.tif", 0), ("b.tif", 1)]
    assert sorted(path.name for path in tmp_path.glob("*.job")) == ["a.geojson.job", "b.geojson.job"]
    asked.clear()
    assert main([*command, "--retry-failed"]) == 0
    assert asked["all"] == 1, "the scene that was done is not asked again"
    assert list(tmp_path.glob("*.job*")) == []
    assert all((tmp_path / f"{name}.geojson").is_file() for name in "ab")


def outs(*names: str) -> Callable[[Path], list[str]]:
    return lambda folder: [str(folder.parent / name) for name in names]


@pytest.mark.parametrize(
    ("written", "error", "told"),
    [
        (outs("all.gpkg"), OptionError, "the same for every scene"),
        (outs("{}.gpkg", "scenes/{}-mask.tif"), OptionError, "taken for a scene the next time"),
        (outs("{}.gpkg", "{}.gpkg"), OptionError, "given twice"),
        (outs("{}.shp"), OptionError, "no known kind"),
    ],
)
def test_outputs_of_a_folder(
    written: Callable[[Path], list[str]], error: type[Exception], told: str, folder: Path
) -> None:
    with pytest.raises(error, match=told):
        scenes_of(folder, written(folder), page=True)
    assert len(list(folder.iterdir())) == 4


def test_scenes_of_a_folder(folder: Path) -> None:
    found = scenes_of(folder, [str(folder / "{}.gpkg"), str(folder.parent / "{}.tif")], page=True)
    assert [one.scene.name for one in found] == ["a.tif", "b.tif"]
    assert found[1].outs == (folder / "b.gpkg", folder.parent / "b.tif")
    assert scenes_of(folder / "a.tif", [str(folder / "{}.gpkg")], True)[0].outs == (folder / "a.gpkg",)
    shutil.copy(folder / "a.tif", folder / "a.png")
    with pytest.raises(OptionError, match=r"has a\.png and a\.tif, whose outputs are one"):
        scenes_of(folder, [str(folder / "{}.gpkg")], True)
    (folder / "empty").mkdir()
    with pytest.raises(ImageError, match="a folder without scenes"):
        scenes_of(folder / "empty", ["{}.gpkg"], True)
