"""Scenes and ledgers that cannot be used: an error before anything is asked, and nothing half-written."""

from __future__ import annotations

import json
import resource
import shutil
import sqlite3
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import rasterio

from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.errors import ImageError, OptionError, OutputError
from geopixel_edge.memory.plan import MOST_BATCHED
from geopixel_edge.scenes.fitting import batch_of, window_of
from geopixel_edge.scenes.options import SceneOptions
from geopixel_edge.scenes.pipeline_scene import reading_of
from geopixel_edge.scenes.result import Progress

from ..support.geo_fixtures import FOLDER
from ..support.scene_jobs import COLOURS, SHIP, run, write_scene
from ..support.scene_oracle import TruthAsker


def refused(scene: Path, folder: Path, told: str, kind: type[Exception] = ImageError) -> None:
    with pytest.raises(kind, match=told) as caught:
        run(scene, folder / "o.geojson")
    assert len(str(caught.value).splitlines()) == 1
    assert not [path.name for path in folder.iterdir() if path.name.startswith(("o.", ".o."))]


@pytest.mark.parametrize("name", ["vrt_in_disguise_1.tif", "giant_strip_1.tif", "not_a_tiff_1.tif"])
def test_files_that_are_no_scenes(name: str, tmp_path: Path) -> None:
    refused(FOLDER / name, tmp_path, "image=")


def test_windows_of_a_truncated_file_fail_and_are_seen(tmp_path: Path) -> None:
    found = run(FOLDER / "truncated_1.tif", tmp_path / "o.geojson")
    assert found.failed > 0
    assert any("windows failed" in note for note in found.notes)


def test_a_strip_of_four_gigabytes_is_refused_before_memory_grows(tmp_path: Path) -> None:
    width, height = 60_000, 25_000
    shape = {"width": width, "height": height, "count": 3, "dtype": "uint8", "bigtiff": "YES", "sparse_ok": True}
    with rasterio.open(tmp_path / "s.tif", "w", driver="GTiff", **shape, blockysize=height, nodata=0):
        pass
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    refused(tmp_path / "s.tif", tmp_path, "blocks of 4500000000 bytes")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024
    assert time.monotonic() - started < 5


def test_a_scene_that_is_cut_while_it_is_read_ends_the_job(tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    write_scene(path)
    data = path.read_bytes()

    def cut(progress: Progress) -> None:
        if progress.done == 4:
            path.write_bytes(data[: len(data) // 2])

    with pytest.raises(ImageError, match="changed while it was read"):
        run(path, tmp_path / "o.geojson", on_progress=cut)
    path.write_bytes(data)
    with pytest.raises(OptionError, match=r"scene time was .*--restart"):
        run(path, tmp_path / "o.geojson")
    assert run(path, tmp_path / "o.geojson", restart=True).objects


def test_a_scene_that_vanishes_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    write_scene(path)

    def remove(progress: Progress) -> None:
        if progress.done == 2:
            path.unlink()

    with pytest.raises(ImageError, match="cannot be read any more"):
        run(path, tmp_path / "o.geojson", on_progress=remove)


@pytest.mark.parametrize(("name", "value", "told"), [("format", 99, "has format 99"), ("version", "0", "version was")])
def test_a_ledger_of_another_version_is_refused(name: str, value: object, told: str, tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 200, 180)
    run(tmp_path / "s.tif", tmp_path / "o.geojson", keep_job=True)
    with sqlite3.connect(tmp_path / "o.geojson.job") as ledger:
        if name == "version":
            (key,) = ledger.execute("SELECT value FROM job WHERE name = 'key'").fetchone()
            ledger.execute(
                "UPDATE job SET value = ? WHERE name = 'key'", (json.dumps({**json.loads(key), name: value}),)
            )
        else:
            ledger.execute("UPDATE job SET value = ? WHERE name = ?", (json.dumps(value), name))
    ledger.close()
    with pytest.raises(OptionError, match=rf"{told}.*--restart"):
        run(tmp_path / "s.tif", tmp_path / "o.geojson")
    run(tmp_path / "s.tif", tmp_path / "o.geojson", restart=True)


@pytest.mark.parametrize("again", [False, True], ids=["gone", "made anew"])
def test_a_folder_that_vanishes_among_windows_ends_the_job_at_once(again: bool, tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif")
    (folder := tmp_path / "there").mkdir()
    log = tmp_path / "log"

    def vanish(progress: Progress) -> None:
        if progress.done == 4:
            shutil.rmtree(folder)
            if again:
                folder.mkdir()

    with pytest.raises(OutputError, match="was removed or replaced"):
        run(tmp_path / "s.tif", folder / "o.geojson", TruthAsker(COLOURS, log), on_progress=vanish)
    assert len(log.read_text().split()) <= 6  # four, the one that could not be recorded, and one read ahead
    assert not folder.exists() or not list(folder.iterdir())


def damage(path: Path, kind: str) -> None:
    """Make a ledger unusable: by a statement of SQL, or in its bytes."""
    data = bytearray(path.read_bytes())
    rubbish = np.random.default_rng(1).bytes(len(data))
    if kind == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif kind == "pages":
        path.write_bytes(data[:4096] + rubbish[4096:])
    elif kind == "one page":
        path.write_bytes(data[:12_000] + rubbish[12_000:20_000] + data[20_000:])
    else:
        with sqlite3.connect(path) as ledger:
            ledger.execute(kind)
        ledger.close()


@pytest.mark.parametrize(
    "kind",
    [
        "cut",
        "pages",
        "one page",
        "DROP TABLE job",
        "DROP TABLE view",
        "DROP TABLE window",
        "DELETE FROM job WHERE name = 'started'",
        "DELETE FROM job WHERE name = 'key'",
        "UPDATE job SET value = '{' WHERE name = 'key'",
        "UPDATE job SET value = '[]' WHERE name = 'key'",
        "UPDATE job SET value = '\"x\"' WHERE name = 'started'",
        "UPDATE view SET counts = x'010203'",
        "UPDATE view SET counts = x'0100000001000000'",
        "UPDATE view SET w = 1000000, h = 1000000",
        "UPDATE view SET x = 'east'",
    ],
)
def test_a_damaged_ledger_is_told_and_restart_begins_anew(kind: str, tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 200, 180)
    before = run(tmp_path / "s.tif", tmp_path / "o.geojson", keep_job=True)
    damage(tmp_path / "o.geojson.job", kind)
    with pytest.raises(OptionError, match=r"ledger=.* is no ledger, or damaged; begin anew with --restart"):
        run(tmp_path / "s.tif", tmp_path / "o.geojson", keep_job=True)
    assert run(tmp_path / "s.tif", tmp_path / "o.geojson", restart=True).counts == before.counts


def test_restart_removes_no_file_that_is_not_a_ledger(tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 200, 180)
    (other := tmp_path / "o.geojson.job").write_bytes(b"somebody's notes" * 1000)
    with pytest.raises(OptionError, match="no ledger"):
        run(tmp_path / "s.tif", tmp_path / "o.geojson", restart=True)
    assert other.read_bytes() == b"somebody's notes" * 1000


@pytest.mark.parametrize("side", [400, pytest.param(1_600, marks=pytest.mark.long)])
def test_thousands_of_objects_in_one_window(side: int, tmp_path: Path) -> None:
    picture = np.full((3, side, side), 90, np.uint8)
    picture[:, 1::5, 1::5] = np.array(SHIP)[:, None, None]
    with rasterio.open(
        tmp_path / "s.tif", "w", driver="GTiff", width=side, height=side, count=3, dtype="uint8", photometric="RGB"
    ) as out:
        out.write(picture)
    found = run(tmp_path / "s.tif", tmp_path / "o.fgb", phrases=["ships"], window=side, overlap=128)
    assert found.counts == {"ships": (side // 5) ** 2}  # 102,400 of the larger one
    assert found.objects[-1].bbox == (side - 4, side - 4, 1, 1)


# --- What an engine takes -----------------------------------------------------------------------------------------


def test_windows_are_what_the_engine_was_measured_at_and_its_prompt_has_room_for() -> None:
    manifest = read_manifest(BUNDLED)
    assert window_of(manifest, SceneOptions()) == 640
    assert window_of(manifest, SceneOptions(window=300)) == 300
    measured = msgspec.structs.replace(manifest, scene_window_px=512)
    assert window_of(measured, SceneOptions()) == 512
    sizes = manifest.sizes
    short = msgspec.structs.replace(sizes, max_prompt_tokens=64 + 17 * sizes.tokens_per_side**2)
    small = msgspec.structs.replace(manifest, sizes=short, scene_window_px=8_192)
    assert 128 <= window_of(small, SceneOptions()) < 8_192
    with pytest.raises(OptionError, match="window=8192"):
        window_of(small, SceneOptions(window=8_192))


def test_descriptions_are_written_together_where_the_plan_has_room() -> None:
    manifest = read_manifest(BUNDLED)
    assert batch_of(manifest, 640, 2, SceneOptions(), None) == 1
    assert batch_of(manifest, 640, 2, SceneOptions(batch=5), None) == 5
    described = SceneOptions(describe=True)
    assert batch_of(manifest, 640, 0, described, None) == MOST_BATCHED
    assert batch_of(manifest, 640, 1, described, None) == MOST_BATCHED // 2
    assert batch_of(manifest, 640, 1, described, 1_000) == 1


def test_bands_and_ends_reach_the_reader() -> None:
    manifest = read_manifest(BUNDLED)
    reading = reading_of(manifest, SceneOptions(bands=(3, 2, 1), stretch=((1.0, 9.0),)))
    assert (reading.bands, reading.stretch) == ((3, 2, 1), ((1.0, 9.0),))
    assert reading.onto == manifest.pixel_percentiles
