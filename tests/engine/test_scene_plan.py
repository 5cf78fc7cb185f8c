"""`geopixel-edge plan` about scenes: windows, batches and memory from the header alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely

from geopixel_edge.cli import main
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.errors import ImageError
from geopixel_edge.images import load_image
from geopixel_edge.scenes.opening import Scene
from geopixel_edge.scenes.options import SceneOptions
from geopixel_edge.scenes.plan import plan_scene

from ..support.geo_fixtures import FIXTURES, FOLDER
from ..support.scene_jobs import COLOURS, UTM, run, write_scene
from ..support.scene_oracle import TruthAsker

ROOT = Path(__file__).parents[2]
TILES = {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True, "bigtiff": "YES"}


def sparse(path: Path, side: int) -> None:
    """A scene of 16 bits of which 40 x 40 pixels were ever written."""
    profile = {"driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint16", "nodata": 0}
    with rasterio.open(path, "w", **profile, **TILES, photometric="RGB", crs=UTM[0], transform=UTM[1]) as file:
        spot = np.full((3, 40, 40), 90, np.uint16)
        file.write(spot, window=rasterio.windows.Window(70_000, 60_000, 40, 40))


def test_ten_thousand_million_pixels_are_planned_in_seconds(tmp_path: Path) -> None:
    sparse(tmp_path / "s.tif", 100_000)
    code = (
        "import re, sys; from geopixel_edge.cli import main\n"
        f"code = main(['plan', {str(tmp_path / 's.tif')!r}, '--json'])\n"
        "print(re.search(r'VmHWM:\\s*(\\d+) kB', open('/proc/self/status').read())[1]); sys.exit(code)"
    )
    started = time.monotonic()
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert time.monotonic() - started < 60  # some five where nothing else runs
    document, peak_kib = told.stdout.rstrip().rsplit("\n", 1)
    assert int(peak_kib) < 200 * 1024  # most of it libraries
    found = json.loads(document)["scene"]
    assert (found["rows"], found["columns"], found["window"], found["overlap"]) == (208, 208, 640, 160)
    assert found["windows"] == 208 * 208 == found["asked"] + found["empty"]
    assert 1 <= found["asked"] <= 9  # those that meet a block which was written
    assert found["seconds"] is None
    assert found["crs"] == "EPSG:32640"
    assert found["peak_bytes"] > 64 * 1024 * 1024
    assert [path.name for path in tmp_path.iterdir()] == ["s.tif"]


def test_of_a_sparse_fixture_only_windows_with_data_are_asked(tmp_path: Path) -> None:
    name = "huge_sparse_1.tif"
    entry, log, started = FIXTURES[name], tmp_path / "log", time.monotonic()
    found = run(FOLDER / name, tmp_path / "o.geojson", TruthAsker(COLOURS, log), window=1_024, overlap=256)
    assert 1 <= len(log.read_text().split()) <= 4
    assert found.windows == found.empty + len(log.read_text().split())
    assert time.monotonic() - started < 20
    x, y, w, h = entry["valid_box_px"]
    with Scene(FOLDER / name).open() as raster:
        window = raster.read(x - 5, y - 5, w + 10, h + 10)
        assert int(window.valid.sum()) == entry["valid_px"] == w * h
        for pixel in entry["pixels"]:
            assert window.rgb[pixel["row"] - y + 5, pixel["col"] - x + 5].tolist() == pixel["rgb"]
    with pytest.raises(ImageError, match="scene"):
        load_image(FOLDER / name)


def test_a_small_image_is_planned_as_a_question_unless_it_is_to_be_a_scene(capsys: pytest.CaptureFixture[str]) -> None:
    image = str(FOLDER / "rgb_utm_1.tif")
    assert main(["plan", image]) == 0
    assert "windows" not in capsys.readouterr().out
    assert main(["plan", image, "--scene"]) == 0
    out = capsys.readouterr().out
    assert "1 of 640 px" in out
    assert "time      not known" in out
    assert "peak" in out
    assert main(["plan", str(ROOT / "examples" / "scene.png"), "--scene", "--window", "256"]) == 0
    assert "9 of 256 px" in capsys.readouterr().out


def test_the_time_is_told_by_a_window_that_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scene(tmp_path / "s.tif", 800, 300)
    assert main(["plan", str(tmp_path / "s.tif"), "--scene", "--measure", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["scene"]
    assert found["asked"] == 2
    assert 0 < found["window_s"] == found["seconds"] / 2
    assert main(["plan", str(FOLDER / "all_nodata_1.tif"), "--scene", "--measure"]) == 0
    assert "time      not known" in capsys.readouterr().out


def test_resolution_areas_batches_and_processes_count(tmp_path: Path) -> None:
    write_scene(tmp_path / "s.tif", 1_400, 900)
    manifest = read_manifest(BUNDLED)
    plain = plan_scene(tmp_path / "s.tif", manifest, SceneOptions())
    assert (len(plain.grid), plain.outside, plain.batch, plain.batches) == (6, 0, 1, 6)
    assert not plain.reads_again
    assert len(plan_scene(tmp_path / "s.tif", manifest, SceneOptions(gsd=2.0)).grid) == 1
    described = plan_scene(tmp_path / "s.tif", manifest, SceneOptions(describe=True, jobs=2))
    assert described.batch > 1
    assert described.peak_bytes > 2 * plain.engine.peak_bytes
    corner = shapely.box(250_000, 2_711_990, 250_005, 2_711_999)
    document = json.loads(shapely.to_geojson(corner))
    named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32640"}}
    feature = {"type": "Feature", "properties": {}, "geometry": document}
    collection = {"type": "FeatureCollection", "crs": named, "features": [feature]}
    (tmp_path / "a.geojson").write_text(json.dumps(collection))
    there = plan_scene(tmp_path / "s.tif", manifest, SceneOptions(aoi=tmp_path / "a.geojson"))
    assert (there.asked, there.outside) == (1, 5)


def test_blocks_that_are_decoded_again_and_again_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shape = {"width": 60_000, "height": 2_000, "count": 3, "dtype": "uint8", "sparse_ok": True, "blockysize": 1_000}
    with rasterio.open(tmp_path / "s.tif", "w", driver="GTiff", **shape):
        pass
    assert main(["plan", str(tmp_path / "s.tif"), "--scene"]) == 0
    assert "decoded several times" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--scene"], 3, "give an image"),
        (["s.tif", "--scene", "--memory", "20MB"], 5, "give at least"),
        (["s.tif", "--scene", "--gsd", "0.1"], 3, "finer"),
        (["s.tif", "--scene", "--window", "100"], 3, "window=100"),
        (["s.tif", "--scene", "--phrases", "99"], 3, "phrases=99"),
        (["s.tif", "--measure"], 3, "measure=True is about"),
        (["s.tif", "--scene", "--measure", "--phrases", "0"], 3, "phrases=0 asks nothing"),
        (["nowhere.tif"], 3, "not there"),
        (["nowhere.tif", "--scene"], 3, "not there"),
    ],
)
def test_what_cannot_be_planned(
    words: list[str],
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_scene(tmp_path / "s.tif", 300, 200)
    assert main(["plan", *words]) == code
    error = capsys.readouterr().err
    assert told in error
    assert len(error.strip().splitlines()) == 1
