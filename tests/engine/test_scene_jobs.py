"""Jobs about scenes: killed, they go on; failures are seen; processes, disks and stops change nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geopixel_edge.errors import ImageError, OptionError, OutputError, SceneIncompleteError
from geopixel_edge.scenes.opening import Scene
from geopixel_edge.scenes.result import Progress
from geopixel_edge.scenes.windows import Grid
from geopixel_edge.stop import StopToken

from ..support.scene_jobs import COLOURS, OVERLAP, SHIP, WINDOW, dump, run, start, write_scene
from ..support.scene_oracle import TruthAsker
from ..support.scene_truths import truth_of

ROOT = Path(__file__).parents[2]


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


def test_two_processes_and_batches_give_what_one_gives(scene: Path, tmp_path: Path, undisturbed: list[object]) -> None:
    log = tmp_path / "log"
    job = start(scene, tmp_path / "two.geojson", log, jobs=2, batch=3)
    job.join(240)
    assert job.exitcode == 0
    assert dump(tmp_path / "two.geojson") == undisturbed
    run(scene, tmp_path / "batch.geojson", batch=4)
    assert dump(tmp_path / "batch.geojson") == undisturbed


def test_the_layer_is_the_truth_and_empty_windows_are_not_asked(tmp_path: Path) -> None:
    masks = write_scene(tmp_path / "s.tif")
    log = tmp_path / "log"
    found = run(tmp_path / "s.tif", tmp_path / "out.geojson", TruthAsker(COLOURS, log))
    for phrase, mask in masks.items():
        shown = {(one.bbox, one.area_px) for one in found.objects if one.phrase == phrase}
        assert shown == {(part.box, part.area_px) for part in truth_of(mask)}
        assert found.counts[phrase] == len(truth_of(mask))
    with rasterio.open(tmp_path / "s.tif") as file:
        valid, grid = file.dataset_mask() > 0, Grid(file.width, file.height, WINDOW, OVERLAP)
    boxes = [grid.box(number) for number in range(len(grid))]
    assert found.empty == sum(not valid[y : y + h, x : x + w].any() for x, y, w, h in boxes) > 0
    assert len(log.read_text().split()) == found.windows - found.empty
    assert [one.id for one in found.objects] == list(range(1, len(found.objects) + 1))
    corners = [(one.bbox[1], one.bbox[0]) for one in found.objects]
    assert corners == sorted(corners)


def test_windows_that_fail_are_recorded_and_asked_again_when_told(
    tmp_path: Path, scene: Path, undisturbed: list[object]
) -> None:
    with rasterio.open(scene) as file:
        blue = int(file.read(3)[0, 0])
    out = tmp_path / "out.geojson"
    found = run(scene, out, TruthAsker(COLOURS, failing=blue))
    assert found.failed >= 1
    assert any("windows failed" in note for note in found.notes)
    assert out.with_name("out.geojson.job").exists()
    log = tmp_path / "log"
    run(scene, out, TruthAsker(COLOURS, log))
    assert not log.exists()
    again = run(scene, out, TruthAsker(COLOURS, log), retry_failed=True)
    assert again.failed == 0
    assert len(log.read_text().split()) == found.failed
    assert dump(out) == undisturbed


def test_a_stop_ends_after_the_window_and_the_same_call_goes_on(
    scene: Path, tmp_path: Path, undisturbed: list[object]
) -> None:
    stop, out, told = StopToken(), tmp_path / "out.geojson", []

    def look(progress: Progress) -> None:
        told.append(progress)
        if progress.done == 5:
            stop.set("cancelled")

    with pytest.raises(SceneIncompleteError, match="ended after 5 of"):
        run(scene, out, on_progress=look, stop=stop)
    assert not out.exists()
    assert [one.done for one in told] == [0, 1, 2, 3, 4, 5]
    run(scene, out, on_progress=told.append)
    assert told[6].done == 5
    assert dump(out) == undisturbed


def test_another_job_is_refused_by_what_differs_and_restart_begins_anew(scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.geojson"
    run(scene, out, keep_job=True)
    with pytest.raises(OptionError, match=r"overlap was 64, is 100.*--restart"):
        run(scene, out, overlap=100, window=256)
    run(scene, out, window=256, restart=True)
    (tmp_path / "out.geojson.job").write_bytes(b"not a ledger at all, just text" * 100)
    with pytest.raises(OptionError, match="no ledger"):
        run(scene, out)


def test_a_ledger_in_use_is_refused(scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.geojson"

    def again(progress: Progress) -> None:
        if progress.done == 2:
            code = f"from tests.support.scene_jobs import *; run(Path({str(scene)!r}), Path({str(out)!r}))"
            told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
            assert "is in use by another process" in told.stderr
            stop.set("cancelled")

    stop = StopToken()
    with pytest.raises(SceneIncompleteError):
        run(scene, out, on_progress=again, stop=stop)


def test_a_scene_that_changes_ends_the_job(tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    write_scene(path)

    def touch(progress: Progress) -> None:
        if progress.done == 3:
            path.touch()

    with pytest.raises(ImageError, match="changed while it was read"):
        run(path, tmp_path / "o.geojson", on_progress=touch)
    assert not (tmp_path / "o.geojson").exists()


def mask_of(path: Path, valid: np.ndarray) -> None:
    """Write `PATH.msk`."""
    other = path.with_name("other.tif")
    shutil.copy(path, other)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(other, "r+") as file:
        file.nodata = None
        file.write_mask(valid)
    other.with_name("other.tif.msk").replace(path.with_name(path.name + ".msk"))
    other.unlink()


def test_a_mask_beside_a_scene_that_changes_is_another_scene(tmp_path: Path) -> None:
    path, out = tmp_path / "s.tif", tmp_path / "o.geojson"
    write_scene(path)
    whole = np.ones((330, 380), np.bool_)
    half = whole.copy()
    half[:165] = False
    mask_of(path, whole)

    def change(progress: Progress) -> None:
        if progress.done == 3:
            mask_of(path, half)

    with pytest.raises(ImageError, match=r"changed while it was read \(s.tif.msk\)"):
        run(path, out, on_progress=change)
    with pytest.raises(OptionError, match=r"sidecars was .*s.tif.msk.*--restart"):
        run(path, out)
    found = run(path, out, restart=True)
    assert min(one.bbox[1] for one in found.objects) >= 165


@pytest.mark.parametrize(
    "name", ["s.tif.ovr", "s.tif.msk.ovr", "s.tif.aux.xml", "s.tfw", "s.prj", "s_RPC.TXT", "s.RPB"]
)
def test_every_file_that_belongs_to_a_scene_is_looked_at(name: str, tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", where=None)
    (tmp_path / "s.wld").write_text("1\n0\n0\n-1\n0\n0\n")
    scene = Scene(tmp_path / "s.tif")
    before = scene.state()
    assert [one.name for one in before] == ["s.tif", "s.wld"]
    (tmp_path / "o.gpkg").touch()
    assert scene.state() == before
    (tmp_path / name).write_text("x")
    assert scene.state() != before


@pytest.mark.parametrize("kind", ["geojson", "gpkg"])
def test_a_full_disk_leaves_nothing_half_written_and_the_job_goes_on(
    kind: str, scene: Path, tmp_path: Path, undisturbed: list[object]
) -> None:
    out = tmp_path / f"out.{kind}"
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from tests.support.scene_jobs import *\n"
        "from geopixel_edge.errors import OutputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE, SIZE))\n"
        f"try: run(Path({str(scene)!r}), Path({str(out)!r}))\n"
        "except OutputError as error: print('told:', error)"
    )
    for size in (30_000, 60_000, 90_000):
        told = subprocess.run(
            [sys.executable, "-c", code.replace("(SIZE, SIZE)", f"({size}, {size})")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "told: " in told.stdout, told.stderr
        assert re.search(r"over \d+ bytes are needed there, \d+ are free", told.stdout), told.stdout
        assert not out.exists()
        assert not [path for path in tmp_path.iterdir() if "partial" in path.name]
    run(scene, [out, tmp_path / "again.geojson"])
    assert dump(tmp_path / "again.geojson") == undisturbed


def test_an_output_folder_that_vanishes_is_told(scene: Path, tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()

    def vanish(progress: Progress) -> None:
        if progress.done == progress.total:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()

    with pytest.raises(OutputError):
        run(scene, folder / "o.geojson", on_progress=vanish)


def test_a_sparse_scene_of_ten_thousand_million_pixels_is_done_in_seconds(tmp_path: Path) -> None:
    side, path, log = 100_000, tmp_path / "sparse.tif", tmp_path / "log"
    profile = {"driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint8", "nodata": 0}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True, "bigtiff": True}
    with rasterio.open(path, "w", **profile, **tiles, photometric="RGB") as file:
        spot = np.full((3, 40, 40), 90, np.uint8)
        spot[:, 10:30, 10:20] = np.array(SHIP)[:, None, None]
        file.write(spot, window=rasterio.windows.Window(70_000, 60_000, 40, 40))
    found = run(path, tmp_path / "o.geojson", TruthAsker(COLOURS, log), window=640, overlap=160)
    assert [one.bbox for one in found.objects] == [(70_010, 60_010, 10, 20)]
    assert len(log.read_text().split()) <= 4
    assert found.windows == found.empty + len(log.read_text().split()) > 40_000
