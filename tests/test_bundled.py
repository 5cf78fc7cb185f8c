"""The engine in the package: whole, small, and right about scenes that no training has seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.accuracy import main as accuracy
from geopixel_edge import Pipeline
from geopixel_edge.cli import main as cli
from geopixel_edge.engine import BUNDLED
from geopixel_edge.golden import verify
from training.scenes import EVALUATION_SEED, make_scene

ROOT = Path(__file__).parent.parent
SCENE = ROOT / "examples" / "scene.png"
MAX_BYTES = 20_000_000
SCENES = 40


@pytest.fixture(scope="module")
def bundled() -> Pipeline:
    return Pipeline(device="cpu")


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Figures of a small slice; the seeds differ from those of the recorded figures."""
    with pytest.MonkeyPatch.context() as patch, (tmp_path_factory.mktemp("scores") / "out").open("w+") as out:
        patch.setattr("sys.stdout", out)
        assert accuracy(["--scenes", str(SCENES), "--seed", str(EVALUATION_SEED + 200_000), "--json"]) == 0
        out.seek(0)
        found: dict[str, Any] = json.load(out)
    return found


def test_it_fits_the_package(bundled: Pipeline) -> None:
    assert bundled.engine.root == BUNDLED
    assert sum(path.stat().st_size for path in BUNDLED.rglob("*") if path.is_file()) <= MAX_BYTES
    named = {spec.path for spec in bundled.engine.manifest.files()} | {"manifest.json", "manifest.sha256"}
    assert {path.relative_to(BUNDLED).as_posix() for path in BUNDLED.rglob("*") if path.is_file()} == named


def test_it_gives_its_golden_values(bundled: Pipeline) -> None:
    checks = verify(bundled)
    assert [check for check in checks if not check.passed] == []


@pytest.mark.parametrize(("group", "figure", "floor"), FLOORS)
def test_it_is_right_often_enough(scores: dict[str, Any], group: str, figure: str, floor: float) -> None:
    assert scores[group][figure] >= floor


def test_more_than_one_tile_is_seen(bundled: Pipeline) -> None:
    with bundled.open(SCENE) as image:
        answer = image.ask("Please segment the road in this image.")
    assert answer.timings.prompt_tokens > 9 * bundled.engine.manifest.sizes.tokens_per_side**2


def test_the_example_is_described_with_masks(bundled: Pipeline) -> None:
    answer = bundled(SCENE, "Describe this image with interleaved segmentation masks.")
    assert answer.finish_reason == "eos"
    assert len(answer.regions) == answer.response.count("[SEG]") >= 3
    assert all(region.phrase and region.area_px for region in answer.regions)


def test_what_is_not_there_is_not_shown(bundled: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["segment", str(SCENE), "the purple swimming pool", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["regions"] is not None


def test_the_example_is_what_its_script_draws() -> None:
    from examples import make_scene as script

    with Image.open(SCENE) as kept:
        np.testing.assert_array_equal(np.asarray(kept), make_scene(script.SEED, script.SIDE_PX).image)
