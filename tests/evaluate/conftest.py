"""Miniature data sets, and runs of the bundled engine over them; made once, not to be changed by a test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from evaluate.cli import main
from evaluate.data.miniature import write_miniature

IMAGES = 3


@pytest.fixture(scope="session")
def geopixeld(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images in GeoPixelD's layout."""
    root = tmp_path_factory.mktemp("data") / "geopixeld"
    write_miniature(root, "geopixeld", IMAGES, side_px=128)
    return root


@pytest.fixture(scope="session")
def rrsisd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images in RRSIS-D's layout."""
    root = tmp_path_factory.mktemp("data") / "rrsisd"
    write_miniature(root, "rrsisd", IMAGES, side_px=128)
    return root


@pytest.fixture(scope="session")
def asked(geopixeld: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run over `geopixeld`, scored."""
    out = tmp_path_factory.mktemp("runs") / "rsgcg"
    assert main(["rsgcg", "bundled", "--data", str(geopixeld), "--out", str(out), "--max-new-tokens", "60"]) == 0
    assert main(["score", str(out), "--no-java"]) == 0
    return out


@pytest.fixture(scope="session")
def referred(rrsisd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run over every split of `rrsisd`, scored."""
    out = tmp_path_factory.mktemp("runs") / "rrsisd"
    splits = ["--split", "train", "val", "test"]
    assert main(["rrsisd", "bundled", "--data", str(rrsisd), "--out", str(out), *splits]) == 0
    assert main(["score", str(out)]) == 0
    return out


@pytest.fixture
def copy(geopixeld: Path, tmp_path: Path) -> Path:
    """`geopixeld`, to be changed."""
    return shutil.copytree(geopixeld, tmp_path / "data")


@pytest.fixture
def refer_copy(rrsisd: Path, tmp_path: Path) -> Path:
    """`rrsisd`, to be changed."""
    return shutil.copytree(rrsisd, tmp_path / "data")
