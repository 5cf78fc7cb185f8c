"""The extra `geo`: nothing else pays for it, its want is told, and the order of its libraries changes no number."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from geopixel_edge.cli import machine

ROOT = Path(__file__).parents[2]
LIBRARIES = ("rasterio", "pyogrio", "pyproj", "shapely")
WITHOUT = """
import sys
for name in {names!r}:
    sys.modules[name] = None
"""


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout


def test_plain_images_need_none_of_it() -> None:
    code = f"""
import sys
import geopixel_edge, geopixel_edge.cli, geopixel_edge.pipeline, geopixel_edge.writers
from geopixel_edge.images import load_image
load_image("examples/scene.png")
print([name for name in {LIBRARIES!r} if name in sys.modules])
"""
    assert run(code).strip() == "[]"


def test_what_needs_it_says_how_to_get_it() -> None:
    code = (
        WITHOUT.format(names=LIBRARIES)
        + """
from geopixel_edge.errors import RuntimeUnavailableError
from geopixel_edge.rasters.geotiff import open_raster
from geopixel_edge.rasters.given import given_place
from geopixel_edge.images import load_image
for need in (lambda: open_raster("tests/data/geo/rgb_utm_1.tif"), lambda: given_place((0, 0, 1, 1), "EPSG:4326")):
    try:
        need()
    except RuntimeUnavailableError as error:
        print(error)
"""
    )
    lines = run(code).splitlines()
    assert len(lines) == 2
    assert all("pip install 'geopixel-edge[geo]'" in line for line in lines)


@pytest.mark.long
@pytest.mark.parametrize("order", [*itertools.permutations(("rasterio", "pyogrio", "pyproj"))], ids="-".join)
def test_the_order_of_imports_changes_no_coordinate(order: tuple[str, ...]) -> None:
    code = "".join(f"import {name}\n" for name in order) + (
        "from geopixel_edge.rasters.geotiff import open_raster\n"
        "for name in ('rotated_1', 'feet_1', 'polar_1', 'gcps_1', 'compound_vertical_1'):\n"
        "    with open_raster(f'tests/data/geo/{name}.tif') as scene:\n"
        "        print(*(f'{value:.10f}' for value in scene.place.to_lonlat([[1, 2], [30, 40]]).ravel()))\n"
    )
    assert run(code).split() == run(code.replace(code[: code.index("from ")], "")).split()


def test_doctor_lists_the_extra() -> None:
    found = {finding.name: finding for finding in machine.examine()}
    for name in LIBRARIES:
        assert found[name].ok
        assert found[name].remedy == "" or "geopixel-edge[geo]" in found[name].remedy
    assert "GDAL 3." in found["rasterio"].value
