"""Recipes, plans and rates: what can be trained, and what is refused before anything is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from geopixel_edge.errors import CheckpointError, OptionError
from training.plan import RECIPES, Part, Phase, check_plan, read_recipe, store_plan
from training.store import SceneStore
from training.train import main, train

from ..support.tiny_training import PLAN


def test_the_rate_warms_up_and_falls_evenly() -> None:
    phase = Phase(Part.ALL, 1000, 1e-3, 1e-4)
    rates = [phase.rate_at(step, 100) for step in range(1000)]
    assert rates[0] < rates[50] < rates[99] == pytest.approx(1e-3 - 99 * 0.9e-6)
    assert rates[500] == pytest.approx(5.5e-4)
    assert rates[999] == pytest.approx(1e-4, rel=0.01)


def test_another_plan_is_refused(run_directory: Path) -> None:
    store_plan(run_directory, PLAN.as_json())
    store_plan(run_directory, PLAN.as_json())
    with pytest.raises(OptionError, match=r"hd_num=4; give the same recipe and options"):
        store_plan(run_directory, replace(PLAN, hd_num=9).as_json())


PHASE = {"part": "all", "steps": 3, "rate": 1e-3}
RECIPE = {"scenes": 3, "side_px": 128, "hd_num": 4, "phases": [PHASE]}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"hd_num": 0}, "hd_num=0"),
        ({"side_px": "640"}, "side_px='640'"),
        ({"side_px": 64}, "side_px=64"),
        ({"phases": [{**PHASE, "anew": "no"}]}, "anew='no'"),
        ({"phases": [{**PHASE, "own_states": 1}]}, "own_states=1"),
        ({"phases": [{**PHASE, "own_states": True}]}, "own_states=True goes with part='masks'"),
        ({"phases": [{**PHASE, "part": "grounding", "anew": True}]}, "anew=True goes with part='masks'"),
        ({"scenes": 500_001}, "scenes=500001"),
        ({"any_colour_scenes": -1}, "any_colour_scenes=-1"),
        ({"phases": []}, "phases=[]"),
        ({"phases": [{**PHASE, "rate": 0}]}, "rate=0"),
        ({"phases": [{**PHASE, "last_rate": 2.0}]}, "last_rate=2.0"),
        ({"phases": [{**PHASE, "rate": float("nan")}]}, "rate=nan"),
        ({"phases": [{**PHASE, "steps": 0}]}, "steps=0"),
        ({"phases": [{**PHASE, "batch": 3}]}, "no multiple of processes"),
        ({"phases": [{**PHASE, "batch": "x"}]}, "batch"),
        ({"phases": [{**PHASE, "part": "mask"}]}, "is no recipe"),
        ({"phases": [{**PHASE, "part": "masks"}]}, "kept_scenes=0"),
        ({"phases": [{"part": "all"}]}, "is no recipe"),
        ({"phases": 7}, "is no recipe"),
        ({"size": 3}, "is no recipe"),
    ],
)
def test_what_cannot_be_trained_is_refused_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, Any], said: str
) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(RECIPE | changed))
    assert main([str(tmp_path / "run"), "--recipe", str(recipe), "--processes", "2", "--device", "cpu"]) == 3
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--device", "nowhere"], "device='nowhere'"),
        (["--processes", "0"], "processes=0"),
        (["--recipe", "nowhere.json"], "recipe='nowhere.json'"),
    ],
)
def test_options_that_cannot_be_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main([str(tmp_path / "run"), *options]) == 3
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_shipped_recipe_can_be_trained() -> None:
    plan = read_recipe(RECIPES / "small.json", 2)
    check_plan(plan, "cpu")
    assert Part.ALL in {phase.part for phase in plan.phases}


def test_scenes_that_masks_do_not_divide_and_a_broken_plan_are_named(
    run_directory: Path, scene_store: SceneStore
) -> None:
    with pytest.raises(OptionError, match="side_px=130"):
        train(run_directory, replace(PLAN, side_px=130), "cpu", store=scene_store.folder.parent)
    (run_directory / "plan.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"plan\.json is no plan"):
        train(run_directory, PLAN, "cpu", store=scene_store.folder.parent)
