"""The engine in the package: whole, small, and right about scenes that no training has seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples import make_scene as script
from export.checkpoint import Checkpoint
from geopixel_edge import Pipeline
from geopixel_edge.cli import main as cli
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.golden import verify
from geopixel_edge.masks import Mask
from synthetic.scenes import Scene, make_scene

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "scene.png"
CHECKPOINT = ROOT / "training" / "checkpoint"
MAX_BYTES = 20_000_000


@pytest.fixture(scope="module")
def bundled() -> Pipeline:
    return Pipeline(device="cpu")


@pytest.fixture(scope="module")
def example() -> Scene:
    return make_scene(script.SEED, script.SIDE_PX)


def test_it_fits_the_package_and_holds_nothing_else(bundled: Pipeline) -> None:
    assert bundled.engine.root == BUNDLED
    files = {path.relative_to(BUNDLED).as_posix(): path.stat().st_size for path in BUNDLED.rglob("*") if path.is_file()}
    assert sum(files.values()) <= MAX_BYTES
    assert set(files) == {spec.path for spec in bundled.engine.manifest.files()} | {"manifest.json", "manifest.sha256"}


def test_it_was_exported_from_the_checkpoint_beside_the_report(bundled: Pipeline) -> None:
    assert bundled.engine.manifest.provenance.source_sha256 == Checkpoint(CHECKPOINT).digest()


def test_it_gives_its_golden_values(bundled: Pipeline) -> None:
    checks = verify(bundled.model)
    assert [check for check in checks if not check.passed] == []
    assert max(bundled.engine.manifest.distance.values()) < 0.05


def test_the_example_is_what_its_script_draws(example: Scene) -> None:
    with Image.open(EXAMPLE) as kept:
        np.testing.assert_array_equal(np.asarray(kept), example.image)


def test_the_example_is_described_with_masks(bundled: Pipeline) -> None:
    answer = bundled(EXAMPLE, "Describe this image with interleaved segmentation masks.")
    assert answer.finish_reason == "eos"
    assert len(answer.regions) == answer.response.count("[SEG]") >= 4
    assert all(region.phrase and region.area_px for region in answer.regions)
    # Nine tiles and the global view.
    assert answer.timings.prompt_tokens > 10 * bundled.engine.manifest.sizes.tokens_per_side**2


@pytest.mark.parametrize(("phrase", "class_name"), [("the bridge", "bridge"), ("the crop fields", "crop field")])
def test_what_is_there_is_shown(bundled: Pipeline, example: Scene, phrase: str, class_name: str) -> None:
    truth = Mask.from_array(example.mask([one for one in example.instances if one.class_name == class_name]))
    with bundled.open(EXAMPLE) as image:
        (region,) = image.segment(phrase)
    assert region.mask.iou(truth) > 0.8


@pytest.mark.parametrize("phrase", ["the runway", "the swimming pool"])
def test_what_is_not_there_is_not_shown(capsys: pytest.CaptureFixture[str], phrase: str) -> None:
    assert cli(["segment", str(EXAMPLE), phrase, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["regions"] == []
    assert found["response"].startswith("There is no")


def test_commands_without_an_engine_take_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["precision"] == "int8"
    assert cli(["verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["engine_dir"] == str(BUNDLED)
    assert cli(["doctor", "--json"]) == 0
    findings = {one["name"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
    assert findings["bundled engine"]["ok"]
