"""`python -m tests.support.scene_pictures FOLDER`: the pictures of docs/scenes.md, and the mosaic and layer they show.

Twelve generated scenes side by side, mosaic.tif, are asked by `geopixel-edge scene` with the engine in the package.
scene.jpg is the page in the system's Chromium, one object opened; scene-gdal.jpg the layer's outlines burnt into the
mosaic by GDAL; scene-qgis.jpg what QGIS draws, left out where the system's Python has no QGIS.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyogrio.raw
import rasterio
import shapely
from PIL import Image
from playwright.sync_api import sync_playwright
from rasterio.features import rasterize

from synthetic.scenes import EVALUATION_SEED, make_scene

from .project import ROOT
from .scene_jobs import UTM

COLUMNS, ROWS, SIDE_PX = 4, 3, 640
PHRASES = ("ships", "buildings", "planes")
KINDS = ("port", "airfield", "port", "river")
SYSTEM = "/usr/bin/python3"
SIZE = (1024, 768)


def write_mosaic(path: Path) -> None:
    """The scenes in rows of four."""
    scenes = [make_scene(EVALUATION_SEED + n, SIDE_PX, KINDS[n % len(KINDS)]).image for n in range(COLUMNS * ROWS)]
    rows = [np.concatenate(scenes[n : n + COLUMNS], axis=1) for n in range(0, len(scenes), COLUMNS)]
    image = np.moveaxis(np.concatenate(rows), -1, 0)
    shape = {"count": 3, "height": image.shape[1], "width": image.shape[2], "dtype": "uint8"}
    with rasterio.open(
        path, "w", driver="GTiff", photometric="RGB", tiled=True, **shape, crs=UTM[0], transform=UTM[1]
    ) as out:
        out.write(image)


def burn(scene: Path, layer: Path, out: Path) -> None:
    """The layer's outlines in yellow, by GDAL."""
    shapes = shapely.boundary(shapely.from_wkb(pyogrio.raw.read(layer, layer="objects")[2]))
    with rasterio.open(scene) as file:
        image = np.moveaxis(file.read(), 0, -1)
        lines = rasterize(shapes, image.shape[:2], transform=file.transform, all_touched=True) > 0
    image[lines] = (255, 220, 0)
    Image.fromarray(image).resize(SIZE, Image.Resampling.LANCZOS).save(out, quality=85)


def look(page: Path, out: Path) -> None:
    """The page in a browser, its first object with a crop opened."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1500, "height": 960})
        shown.goto(page.as_uri())
        shown.locator("button[data-crop]").first.click()
        shown.wait_for_timeout(1_000)  # colours fade in
        shown.screenshot(path=out, type="jpeg", quality=85)
        browser.close()


def main(folder: str) -> None:
    """Make all of them in a folder, which is made."""
    where = Path(folder).absolute()
    where.mkdir(parents=True, exist_ok=True)
    write_mosaic(where / "mosaic.tif")
    command = [sys.executable, "-m", "geopixel_edge", "scene", str(where / "mosaic.tif"), *PHRASES]
    subprocess.run([*command, "--out", str(where / "ships.gpkg"), "--restart"], cwd=ROOT, check=True)
    burn(where / "mosaic.tif", where / "ships.gpkg", where / "scene-gdal.jpg")
    look(where / "ships.html", where / "scene.jpg")
    if subprocess.run([SYSTEM, "-c", "import qgis.core"], capture_output=True, check=False).returncode == 0:
        script, drawn = ROOT / "tests" / "support" / "qgis_draw.py", where / "scene-qgis.png"
        subprocess.run(
            [SYSTEM, str(script), str(where / "mosaic.tif"), str(where / "ships.gpkg"), str(drawn)], check=True
        )
        Image.open(drawn).convert("RGB").save(where / "scene-qgis.jpg", quality=85)


if __name__ == "__main__":
    main(sys.argv[1])
