"""Questions about images with a place, from Python and from the command line, with the engine in the package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from benchmarks.stretch import main as stretch
from geopixel_edge import MaskFound, Pipeline
from geopixel_edge.cli import main as cli
from geopixel_edge.errors import OptionError
from synthetic.scenes import make_scene

from ..support.geo_fixtures import FOLDER

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "scene.png"
TURNED = Affine(0.286891, 0.087712, 251_000, 0.087712, -0.286891, 2_711_000)  # 0.3 m a pixel, turned by 17 degrees
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def bundled() -> Pipeline:
    return Pipeline(device="cpu")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated port with ships in it, georeferenced and turned, as 8 bits (rgb.tif) and as 16 bits (u16.tif)."""
    folder, image = tmp_path_factory.mktemp("scenes"), np.moveaxis(make_scene(1_000_003, 640, "port").image, 2, 0)
    for name, samples in (("rgb", image), ("u16", image.astype(np.uint16) * 13 + 300)):
        where = {"crs": "EPSG:32640", "transform": TURNED, "photometric": "rgb"}
        with rasterio.open(
            folder / f"{name}.tif", "w", driver="GTiff", count=3, height=640, width=640, dtype=samples.dtype, **where
        ) as out:
            out.write(samples)
    return folder


def test_an_opened_image_keeps_its_place_and_regions_know_theirs(bundled: Pipeline, scene: Path) -> None:
    with bundled.open(scene / "rgb.tif") as image:
        (ships,) = image.segment("the ships")
        found = image.ask("Segment the ships in this image.")
        events = [event for event in image.stream("Segment the ships in this image.") if isinstance(event, MaskFound)]
    assert found.place is not None
    assert found.place.crs_name == "EPSG:32640"
    for region in (ships, found.regions[0], events[0].region):
        assert region.place is not None
        assert region.place.centroid is not None
        x, y, w, h = region.bbox
        west, south, east, north = region.place.lonlat_bbox or (0, 0, 0, 0)
        corners = found.place.to_lonlat([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
        assert corners[:, 0].min() - 1e-9 <= west < region.place.centroid[0] < east <= corners[:, 0].max() + 1e-9
        assert corners[:, 1].min() - 1e-9 <= south < region.place.centroid[1] < north <= corners[:, 1].max() + 1e-9
        gsd = found.place.gsd_m
        assert gsd is not None
        assert region.place.area_m2 == pytest.approx(region.area_px * gsd[0] * gsd[1], rel=1e-3)


def test_wide_samples_are_seen_as_the_pictures_it_learnt_from(bundled: Pipeline, scene: Path) -> None:
    learnt = bundled.engine.manifest.pixel_percentiles
    assert learnt is not None
    with bundled.open(scene / "u16.tif") as wide, bundled.open(scene / "rgb.tif") as bytes_:
        (seen,) = wide.images
        assert any("to what the engine learnt from" in note for note in seen.notes)
        for band, ends in enumerate(learnt):
            found = np.percentile(seen.pixels[..., band], (2, 98), method="nearest")
            assert np.abs(found - ends).max() <= 1
        (there,), (right,) = wide.segment("the ships"), bytes_.segment("the ships")
    assert there.mask.iou(right.mask) > 0.6
    with bundled.open(scene / "u16.tif", bands=(3, 2, 1)) as other:
        assert (other.images[0].pixels[..., 0] != seen.pixels[..., 0]).any()


@pytest.mark.long
def test_the_benchmark_of_the_stretch_favours_what_it_learnt(capsys: Capture) -> None:
    assert stretch(["--scenes", "6", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["onto what it learnt"]["ship"]["iou"] > found["onto 0..255"]["ship"]["iou"] + 0.1


def test_a_plain_picture_is_placed_by_bounds(bundled: Pipeline) -> None:
    with bundled.open(EXAMPLE, bounds=(54.37, 24.48, 54.38, 24.49), crs="EPSG:4326") as image:
        (region, *_) = image.segment("the ships")
    assert region.place is not None
    assert region.place.centroid is not None
    assert 54.37 < region.place.centroid[0] < 54.38
    assert 24.48 < region.place.centroid[1] < 24.49
    for more in ({"bounds": (0, 0, 1, 1), "crs": "EPSG:4326"}, {"bands": (1,)}):
        with pytest.raises(OptionError, match="are of one image, and there are 2"):
            bundled.open([EXAMPLE, EXAMPLE], **more)
    with pytest.raises(OptionError, match=r"bands=\(1,\).* is a plain image"):
        bundled.open(EXAMPLE, bands=(1,))


def test_the_command_line_writes_the_same_outputs(scene: Path, tmp_path: Path, capsys: Capture) -> None:
    assert cli(["segment", str(scene / "rgb.tif"), "the ships", "--out", str(tmp_path / "own"), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert " N, 54." in printed
    assert " m2" in printed
    shutil.copy(EXAMPLE, tmp_path / "plain.png")
    given = ["--bounds", "-74.02", "40.7", "-74.01", "40.71", "--crs", "EPSG:4326"]
    assert cli(["segment", str(tmp_path / "plain.png"), "the ships", *given, "--out", str(tmp_path / "given")]) == 0
    assert " N, 74.01" in capsys.readouterr().out
    for name, longitudes in (("own", (54, 55)), ("given", (-74.02, -74.01))):
        data = json.loads((tmp_path / name / "regions.geojson").read_bytes())
        assert longitudes[0] < data["bbox"][0] < data["bbox"][2] < longitudes[1]
        document = json.loads((tmp_path / name / "answer.json").read_bytes())
        assert document["regions"][0]["place"]["area_m2"] > 1
        assert 'class="north"' in (tmp_path / name / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        (["--bounds", "0", "0", "1", "1"], 3, "crs= is missing"),
        (["--crs", "EPSG:4326"], 3, "places nothing alone"),
        (["--bounds", "0", "0", "1", "1", "--crs", "EPSG:0"], 3, "is no coordinate reference system"),
        (["--bounds", "5", "0", "1", "1", "--crs", "EPSG:3857"], 3, "west < east"),
        (["--bands", "3,2,x"], 3, "bands='3,2,x'"),
        (["--bands", "1,2,3"], 3, "is a plain image"),
    ],
)
def test_a_place_that_is_wrong_ends_before_the_engine_is_loaded(
    more: list[str], code: int, told: str, capsys: Capture, tmp_path: Path
) -> None:
    engine = ["--engine", str(tmp_path / "none")]  # a place that is told first
    assert cli(["ask", str(EXAMPLE), "What is here?", *more, *engine]) == code
    assert told in capsys.readouterr().err


def test_without_the_extra_the_place_is_lost_with_a_note(bundled: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOPIXEL_EDGE_NO_GEO", "1")
    with bundled.open(FOLDER / "rgb_utm_1.tif") as image:
        (opened,) = image.images
    assert opened.place is None
    assert "rgb_utm_1.tif is georeferenced; install geopixel-edge[geo] to keep its place" in opened.notes[0]
