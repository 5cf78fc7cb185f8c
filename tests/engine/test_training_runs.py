"""A run of training: interrupted, in several processes, begun with a checkpoint, and what it leaves on disk."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from export.config import read_config
from geopixel_edge.errors import CheckpointError
from training.model import GeoPixel
from training.plan import Part, Phase
from training.run import Run
from training.store import SceneStore
from training.train import train

from ..support.tiny_training import PLAN, samples_of


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    run_directory: Path, prepared_run: Path, scene_store: SceneStore, tmp_path: Path, stop: int
) -> None:
    class Stop(Exception):
        pass

    first = Run(run_directory, PLAN, "cpu")
    step, seen = first.train_step, list[dict]()

    def stopping(scenes: list) -> dict:
        if len(seen) == stop:
            raise Stop
        seen.append(line := step(scenes))
        first.save()
        return line

    first.train_step = stopping  # type: ignore[method-assign]
    with pytest.raises(Stop):
        first.train(scene_store, save_every_s=1e9)
    resumed = Run(run_directory, PLAN, "cpu")
    assert resumed.steps_before + resumed.step == stop
    resumed.train(scene_store, save_every_s=1e9)
    whole = Run(shutil.copytree(prepared_run, tmp_path / "whole"), PLAN, "cpu")
    whole.train(scene_store, save_every_s=1e9)
    for name, value in (*whole.model.state_dict().items(), *whole.heads.state_dict().items()):
        known = {**resumed.model.state_dict(), **resumed.heads.state_dict()}
        torch.testing.assert_close(known[name], value, msg=name)
    curve = [json.loads(line) for line in (run_directory / "curve.jsonl").read_text().splitlines()]
    assert [line["step"] for line in curve] == [1, 2, 3, 4, 5, 6]
    assert [line["part"] for line in curve] == ["encoders", "masks", "masks", "reading", "all", "all"]


def test_two_processes_learn_from_both_halves(
    run_directory: Path, prepared_run: Path, scene_store: SceneStore, tmp_path: Path
) -> None:
    plan = replace(PLAN, phases=(Phase(Part.ALL, 2, 1e-3, questions=2, masks=3),), processes=2)
    train(run_directory, plan, "cpu", store=scene_store.folder.parent, save_every_s=1e9)
    lines = [json.loads(line) for line in (run_directory / "curve.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    alone = Run(shutil.copytree(prepared_run, tmp_path / "alone"), replace(plan, processes=1), "cpu")
    both = list(itertools.islice(samples_of(alone, scene_store), 2))
    totals = [Run(alone.directory, alone.plan, "cpu").train_step([sample])["total"] for sample in both]
    assert lines[0]["total"] == pytest.approx(sum(totals) / 2, abs=2e-2)


def test_what_a_run_saves_is_a_whole_checkpoint(tiny_run: Run) -> None:
    tiny_run.save()
    loaded = GeoPixel.load(tiny_run.directory / "checkpoint")
    assert loaded.config == read_config(tiny_run.directory / "config.json")
    for name, value in tiny_run.model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value)


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_damaged_state_is_refused(tiny_run: Run, part: float) -> None:
    tiny_run.save()
    state = tiny_run.state_path.read_bytes()
    tiny_run.state_path.write_bytes(state[: int(len(state) * part)])
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        Run(tiny_run.directory, PLAN, "cpu")


def test_an_error_in_a_worker_arrives_as_itself(run_directory: Path, scene_store: SceneStore) -> None:
    (run_directory / "state.pt").write_bytes(b"not a state")
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        train(run_directory, replace(PLAN, processes=2), "cpu", store=scene_store.folder.parent)


def test_a_run_can_begin_with_a_checkpoint(tiny_run: Run, scene_store: SceneStore, tmp_path: Path) -> None:
    tiny_run.train_step([next(iter(samples_of(tiny_run, scene_store)))])
    tiny_run.save()
    start = str(tiny_run.directory / "checkpoint")
    plan = replace(PLAN, start=start, phases=PLAN.phases[:1])
    train(tmp_path / "second", plan, "cpu", store=scene_store.folder.parent)
    shutil.copytree(tmp_path / "second" / "tokenizer", tmp_path / "third" / "tokenizer")
    shutil.copy(tmp_path / "second" / "config.json", tmp_path / "third" / "config.json")
    third = Run(tmp_path / "third", plan, "cpu")
    for begun, known in ((third.model, tiny_run.model), (third.heads, tiny_run.heads)):
        for name, value in begun.state_dict().items():
            torch.testing.assert_close(value, known.state_dict()[name], msg=name)
    assert (tmp_path / "second" / "checkpoint" / "model.safetensors").is_file()


def test_a_checkpoint_without_its_heads_is_refused(tiny_run: Run, run_directory: Path) -> None:
    tiny_run.save()
    (tiny_run.directory / "heads.safetensors").write_bytes(b"no heads")
    with pytest.raises(CheckpointError, match="heads"):
        Run(run_directory, replace(PLAN, start=str(tiny_run.directory / "checkpoint")), "cpu")


def test_a_run_cannot_begin_with_what_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        train(tmp_path / "run", replace(PLAN, start=str(tmp_path)), "cpu")
