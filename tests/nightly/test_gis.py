"""Programs that people open layers with: QGIS and GDAL's tools where the system has them, and geopandas."""

from __future__ import annotations

import json
import subprocess
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ..support import scene_pictures
from ..support.project import ROOT
from ..support.scene_jobs import UTM, run, write_scene

pytestmark = pytest.mark.long
DRAW = ROOT / "tests" / "support" / "qgis_draw.py"
SYSTEM = "/usr/bin/python3"  # the one that python3-qgis and python3-gdal are made for
VECTORS = ("o.gpkg", "o.geojson", "o.fgb")
COG = """
import sys
from osgeo_utils.samples.validate_cloud_optimized_geotiff import validate
warnings, errors, _ = validate(sys.argv[1], full_check=True)
print(warnings + errors)
"""
GEOPANDAS = """
import json, sys, geopandas
told = {}
for path in sys.argv[1:]:
    read = geopandas.read_parquet if path.endswith(".parquet") else geopandas.read_file
    layer = read(path)
    told[path] = [len(layer), layer.crs.to_epsg(), float(layer["area_px"].sum()), bool(layer.is_valid.all())]
print(json.dumps(told))
"""


GDALINFO = """
import json, sys
from osgeo import gdal
print(json.dumps(gdal.Info(sys.argv[1], format="json")))
"""
RIO_COGEO = """
import sys
from rio_cogeo import cog_validate
print(cog_validate(sys.argv[1], strict=True, quiet=True))
"""


def output_of(command: list[str], where: Path) -> str:
    """What a program prints; its errors fail the test."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=where)
    assert done.returncode == 0, done.stderr
    return done.stdout


def system_has(module: str) -> None:
    """Skip where the system's Python lacks a module."""
    if subprocess.run([SYSTEM, "-c", f"import {module}"], capture_output=True, check=False).returncode:
        pytest.skip(f"{SYSTEM} has no {module}: apt install python3-qgis python3-gdal")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, dict[str, Any]]:
    """A folder with a scene's layers in every format, the objects, and the truth."""
    folder = tmp_path_factory.mktemp("gis")
    truth = write_scene(folder / "s.tif", 512, 384)
    found = run(folder / "s.tif", [folder / name for name in (*VECTORS, "o.parquet", "o.tif")])
    return folder, found, truth


def test_qgis_draws_a_layer_with_its_style(made: tuple[Path, Any, dict[str, Any]]) -> None:
    system_has("qgis.core")
    folder, found, truth = made
    told = json.loads(output_of([SYSTEM, str(DRAW), "s.tif", "o.gpkg", "drawn.png"], folder).splitlines()[-1])
    assert (told["features"], told["crs"], told["errors"]) == (len(found.objects), "EPSG:32640", [])
    assert told["renderer"] == "categorizedSymbol"
    assert told["colours"] == {"ships": [255, 107, 107, 102], "planes": [77, 171, 247, 102], "": [160, 160, 160, 102]}
    drawn = np.asarray(Image.open(folder / "drawn.png").convert("RGB"), np.int64)[::2, ::2][:384, :512]
    redder = drawn[..., 0] - drawn[..., 2]  # the ground is grey, ships are drawn in red, planes in blue
    assert (redder[truth["ships"] & ~truth["planes"]] > 50).mean() > 0.9
    assert (redder[truth["planes"] & ~truth["ships"]] < -50).mean() > 0.9
    assert (abs(redder[~(truth["ships"] | truth["planes"])]) < 50).mean() > 0.9


def test_gdals_tools_open_what_is_written(made: tuple[Path, Any, dict[str, Any]]) -> None:
    system_has("osgeo_utils")
    folder, found, _ = made
    for name in VECTORS:
        told = output_of([SYSTEM, "-m", "osgeo_utils.samples.ogrinfo", "-al", "-so", name], folder)
        assert f"Feature Count: {len(found.objects)}" in told, name
        assert "Multi Polygon" in told, name
    assert output_of([SYSTEM, "-c", COG, "o.tif"], folder).strip() == "[]"
    told = json.loads(output_of([SYSTEM, "-c", GDALINFO, "o.tif"], folder))
    assert told["size"] == [512, 384]
    assert told["metadata"]["IMAGE_STRUCTURE"]["LAYOUT"] == "COG"
    assert told["geoTransform"] == list(UTM[1].to_gdal())


def test_geopandas_and_rio_cogeo_read_every_layer(made: tuple[Path, Any, dict[str, Any]]) -> None:
    folder, found, _ = made
    environment = folder / "environment"
    venv.create(environment, with_pip=True)
    python = str(environment / "bin" / "python")
    output_of([python, "-m", "pip", "install", "--quiet", "geopandas", "pyarrow", "rio-cogeo"], folder)
    told = json.loads(output_of([python, "-c", GEOPANDAS, *VECTORS, "o.parquet"], folder))
    area = float(sum(one.area_px for one in found.objects))
    for name in (*VECTORS, "o.parquet"):
        assert told[name] == [len(found.objects), 4326 if name == "o.geojson" else 32640, area, True], name
    assert output_of([python, "-c", RIO_COGEO, "o.tif"], folder).strip() == "(True, [], [])"


def test_the_pictures_of_the_page_about_scenes_can_be_made_again(tmp_path: Path) -> None:
    scene_pictures.main(str(tmp_path / "pictures"))
    for name, size in (("scene.jpg", (1500, 960)), ("scene-gdal.jpg", (1024, 768))):
        with Image.open(tmp_path / "pictures" / name) as made, Image.open(ROOT / "docs" / name) as shown:
            assert made.size == shown.size == size
            far = np.abs(np.asarray(made.convert("RGB"), np.int64) - np.asarray(shown.convert("RGB"), np.int64))
            assert far.mean() < 12, name  # fonts and masks of another machine differ, not the scenes
