"""How jobs about scenes end: interrupted, on a full disk, and without growing with the scene."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio

from ..support.scene_jobs import UTM, dump, run, write_scene

ROOT = Path(__file__).parents[2]
FIXTURE = ROOT / "tests" / "data" / "geo" / "rgb_utm_1.tif"


def test_an_interrupt_ends_after_the_window_with_130_and_the_same_command_goes_on(tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 700, 600)
    words = [
        "scene",
        "s.tif",
        "ships",
        "--out",
        "o.geojson",
        "--window",
        "128",
        "--overlap",
        "64",
        "--json",
        "--no-page",
    ]
    # Windows are answered slowly by a stand-in, so that the signal comes among them whatever the machine.
    code = (
        "import sys, time; from geopixel_edge.cli import main\n"
        "from geopixel_edge.scenes.asking import Answered, PipelineAsker\n"
        "def ask(self, windows, phrases, describe): time.sleep(0.05); return [Answered(()) for _ in windows]\n"
        "PipelineAsker.ask = ask\n"
        f"sys.exit(main({words!r}))"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    job = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert job.stdout is not None
    for line in job.stdout:
        if '"done": 3' in line or '"done":3' in line:
            job.send_signal(signal.SIGINT)
            break
    out, error = job.communicate(timeout=60)
    assert job.returncode == 130, error
    done = [int(number) for number in re.findall(r'"done": ?(\d+)', out)]
    assert re.search(r"ended after \d+ of \d+ windows", error)
    assert "Traceback" not in error
    assert (tmp_path / "o.geojson.job").exists()
    assert not (tmp_path / "o.geojson").exists()
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True, timeout=120
    )
    first = int(re.findall(r'"done": ?(\d+)', told.stdout)[0])
    assert first >= max([3, *done])
    assert (tmp_path / "o.geojson").exists()
    assert not (tmp_path / "o.geojson.job").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("only root may mount a file system; the limit on file sizes has tests of its own")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.long
def test_a_full_disk_is_told_and_the_job_goes_on_when_there_is_room(small_disk: Path, tmp_path: Path) -> None:
    from geopixel_edge.errors import OutputError

    scene = tmp_path / "s.tif"
    write_scene(scene, 900, 800)
    run(scene, tmp_path / "undisturbed.geojson")
    filler = small_disk / "filler"
    told: list[str] = []
    for left in (20_000, 120_000, 400_000):
        with filler.open("wb") as stream:
            stream.write(bytes(1024 * 1024 - left))
        try:
            run(scene, [small_disk / "o.geojson", small_disk / "o.gpkg"])
        except OutputError as error:
            told.append(str(error))
        filler.unlink()
        assert not [path for path in small_disk.iterdir() if "partial" in path.name]
    assert len(told) >= 2
    assert all("make room" in text for text in told)
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    run(scene, [small_disk / "o.geojson", small_disk / "o.gpkg"])
    assert dump(small_disk / "o.geojson") == dump(tmp_path / "undisturbed.geojson")


def striped_scene(path: Path, width: int, height: int) -> None:
    """A tiled scene with a ship in every 200 x 200 px, written row of blocks by row."""
    shape = {"width": width, "height": height, "count": 3, "dtype": "uint8", "crs": UTM[0], "transform": UTM[1]}
    tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256, "photometric": "RGB", "compress": "deflate"}
    with rasterio.open(path, "w", driver="GTiff", **shape, **tiles) as out:
        for top in range(0, height, 256):
            rows = min(256, height - top)
            block = np.full((3, rows, width), 90, np.uint8)
            y, x = np.mgrid[top : top + rows, :width]
            ship = (y % 200 < 12) & (x % 200 < 30)
            block[:, ship] = np.array([[250], [0], [0]], np.uint8)
            out.write(block, window=rasterio.windows.Window(0, top, width, rows))


def peak_kib(scene: Path, out: Path) -> int:
    """The most resident memory of a job in a process of its own."""
    code = (
        "import re; from tests.support.scene_jobs import *\n"
        f"run(Path({str(scene)!r}), Path({str(out)!r}), phrases=['ships'], window=640, overlap=160, page=True)\n"
        "print(re.search(r'VmHWM:\\s*(\\d+) kB', open('/proc/self/status').read())[1])"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return int(told.stdout.split()[-1])


@pytest.mark.long
def test_memory_does_not_grow_with_the_scene(tmp_path: Path) -> None:
    started = time.monotonic()
    peaks = []
    for width, height in ((3_000, 3_000), (12_000, 9_000)):
        striped_scene(tmp_path / "s.tif", width, height)
        peaks.append(peak_kib(tmp_path / "s.tif", tmp_path / f"{width}.gpkg"))
    assert peaks[1] - peaks[0] < 64 * 1024, peaks
    assert time.monotonic() - started < 1_200
