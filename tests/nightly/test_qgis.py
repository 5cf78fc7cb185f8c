"""QGIS, where the system has it, opens a layer with its style and draws its objects where they are."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ..support.project import ROOT
from ..support.scene_jobs import run, write_scene

DRAW = ROOT / "tests" / "support" / "qgis_draw.py"


def python_of_qgis() -> str:
    """The interpreter that the package python3-qgis is made for."""
    for python in ("/usr/bin/python3", shutil.which("python3-qgis")):
        if (
            python
            and not subprocess.run([python, "-c", "import qgis.core"], capture_output=True, check=False).returncode
        ):
            return python
    pytest.skip("python3-qgis is not installed")


@pytest.mark.long
def test_qgis_draws_a_layer_with_its_style(tmp_path: Path) -> None:
    python = python_of_qgis()
    truth = write_scene(tmp_path / "s.tif", 512, 384)
    found = run(tmp_path / "s.tif", tmp_path / "o.gpkg")
    command = [python, str(DRAW), str(tmp_path / "s.tif"), str(tmp_path / "o.gpkg"), str(tmp_path / "drawn.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["features"], told["crs"], told["errors"]) == (len(found.objects), "EPSG:32640", [])
    assert told["renderer"] == "categorizedSymbol"
    assert told["colours"] == {"ships": [255, 107, 107, 102], "planes": [77, 171, 247, 102], "": [160, 160, 160, 102]}
    drawn = np.asarray(Image.open(tmp_path / "drawn.png").convert("RGB"), np.int64)[::2, ::2][:384, :512]
    redder = drawn[..., 0] - drawn[..., 2]  # the ground is grey, ships are drawn in red, planes in blue
    assert (redder[truth["ships"] & ~truth["planes"]] > 50).mean() > 0.9
    assert (redder[truth["planes"] & ~truth["ships"]] < -50).mean() > 0.9
    assert (abs(redder[~(truth["ships"] | truth["planes"])]) < 50).mean() > 0.9
