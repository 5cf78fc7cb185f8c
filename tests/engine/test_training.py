"""Training: questions packed behind one image, the losses, and runs that survive an interruption."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from export import keys
from export.config import read_config
from geopixel_edge.errors import CheckpointError, OptionError
from training.batches import make_sample, pack
from training.heads import TeachingHeads, stitched_grid
from training.losses import MaskLosses, mask_losses, measured_iou
from training.model import GeoPixel
from training.optimizer import LEAST_SIDE, Optimizer, matrices
from training.plan import RECIPES, Part, Phase, check_plan, read_recipe, store_plan
from training.questions import conversation, referring
from training.run import Run
from training.scenes import make_scene
from training.step import WEIGHTS, language_states, losses_of
from training.store import SceneStore
from training.train import main, train

from ..support.tiny_training import PLAN, samples_of

OF_TEXT = ("answer", "decision", "description", "places", "pointers", "looks", "names", "spots", "meaning")
OF_MASKS = ("bce", "dice", "near", "iou", "selection")


def test_packed_questions_are_read_as_if_each_stood_alone(tiny_run: Run) -> None:
    scene = make_scene(3, 128)
    examples = [conversation(scene), *referring(scene, 3)]
    tokenizer, model = tiny_run.tokenizer, tiny_run.model.eval()
    whole = make_sample(scene, examples, model.config, tokenizer, 4)
    with torch.no_grad():
        images = model.see(whole.views[None], *whole.grid)
        _, _, packed, _ = language_states(model, images, [whole], tokenizer.tokens.bos)
        for index, example in enumerate(examples):
            alone = make_sample(scene, [example], model.config, tokenizer, 4)
            _, _, single, _ = language_states(model, images, [alone], tokenizer.tokens.bos)
            torch.testing.assert_close(packed[0, whole.segment == index], single[0], atol=1e-5, rtol=1e-4)


def test_padding_in_a_batch_changes_nothing(tiny_run: Run, scene_store: SceneStore) -> None:
    model, bos = tiny_run.model.eval(), tiny_run.tokenizer.tokens.bos
    scenes = [scene_store.load(seed) for seed in (5, 9)]
    samples = [make_sample(scene, referring(scene, 2), model.config, tiny_run.tokenizer, 4) for scene in scenes]
    assert len(samples[0].token_ids) != len(samples[1].token_ids)
    with torch.no_grad():
        images = torch.cat([model.see(sample.views[None], *sample.grid) for sample in samples])
        _, _, both, targets = language_states(model, images, samples, bos)
        for index, sample in enumerate(samples):
            _, _, single, _ = language_states(model, images[index : index + 1], [sample], bos)
            length = len(sample.token_ids)
            torch.testing.assert_close(both[index, :length], single[0], atol=1e-5, rtol=1e-4)
            assert (targets[index, length:] == -100).all()


def test_targets_are_the_answer_and_its_end(tiny_run: Run) -> None:
    tokenizer = tiny_run.tokenizer
    example = referring(make_scene(3, 128), 1)[0]
    packed = pack([example], tokenizer, 100)
    answered = packed["targets"][packed["targets"] != -100].tolist()
    assert answered == [*tokenizer.encode(example.answer, bos=False), tokenizer.tokens.eos]
    assert packed["positions"].tolist() == list(range(100, 100 + len(packed["token_ids"])))
    inputs = packed["token_ids"].tolist()
    assert [inputs[at] for at in packed["seg_positions"]] == [tokenizer.tokens.seg] * len(example.targets)


def test_mask_losses_teach_mask_0_and_the_best_of_the_others() -> None:
    truth = torch.zeros(1, 8, 8)
    truth[:, 2:5, 2:6] = 1
    right = (truth * 2 - 1) * 20
    wrong = -right
    perfect = mask_losses(torch.stack([right, wrong, right, wrong], 1), torch.tensor([[1.0, 0, 1, 0]]), truth)
    assert perfect.bce < 1e-6
    assert perfect.dice < 0.1
    assert perfect.near < 1e-6
    assert perfect.iou < 1e-6
    masks = torch.stack([wrong, right, wrong, wrong], 1).requires_grad_()
    mask_losses(masks, torch.zeros(1, 4), truth).total.backward()
    assert masks.grad is not None
    used = masks.grad.abs().sum((0, 2, 3)) > 0
    assert used.tolist() == [True, True, False, False]
    assert measured_iou(right, truth).tolist() == [1.0]


@pytest.mark.parametrize("right", [True, False])
def test_masks_are_taught_where_the_language_model_points_rightly(
    tiny_run: Run, scene_store: SceneStore, monkeypatch: pytest.MonkeyPatch, right: bool
) -> None:
    """Or all of them, as long as it points rightly at none."""
    sample, model, heads = next(iter(samples_of(tiny_run, scene_store))), tiny_run.model, tiny_run.heads
    pointers = sample.head_targets.pointers[sample.supervised]
    guesses = pointers.argmin(1)
    if right:
        guesses[-1] = pointers[-1].argmax()
    taught: list[torch.Tensor] = []

    def note(masks4: torch.Tensor, iou4: torch.Tensor, truth: torch.Tensor) -> MaskLosses:
        taught.append(truth)
        return mask_losses(masks4, iou4, truth)

    monkeypatch.setattr(heads, "likeliest_token", lambda seg, states: guesses)
    monkeypatch.setattr("training.step.mask_losses", note)
    losses_of(model, heads, [sample], tiny_run.tokenizer.tokens.bos, Part.GROUNDING)
    assert taught[0].equal(sample.masks[-1:] if right else sample.masks)
    assert len(sample.masks) > 1


def test_muon_steps_the_matrices_of_layers_and_adamw_all_else(tiny_run: Run) -> None:
    model = tiny_run.model
    matrix, words = model.language_model.layers[0].attention.wo.weight, model.language_model.output.weight
    assert any(one is matrix for one in matrices(model))
    assert not any(one is words for one in matrices(model))
    assert all(min(one.shape) >= LEAST_SIDE for one in matrices(model))
    before = matrix.detach().clone()
    optimizer = Optimizer(model, [matrix, words], 0.1)
    matrix.grad = torch.outer(torch.ones(len(matrix)), torch.arange(1.0, matrix.shape[1] + 1))
    matrix.grad[0, 0] += 1e-3  # nearly rank one
    words.grad = torch.ones_like(words)
    optimizer.step(0.01)
    assert matrix.grad is None
    moved = before - matrix.detach()
    assert float(moved.square().mean().sqrt()) < 0.5 * 0.01  # AdamW's first step would be 0.01 everywhere
    again = Optimizer(model, [matrix, words], 0.1)
    again.load_state_dict(optimizer.state_dict())
    with pytest.raises(KeyError):
        again.load_state_dict({"adamw": optimizer.state_dict()["adamw"]})


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


@pytest.mark.parametrize(
    ("part", "learns", "measured"),
    [
        (Part.ENCODERS, {"vision_encoder", "grounding_encoder"}, {"tokens", "pyramid"}),
        (Part.READING, {"language_model", "token_embeddings"}, {"tokens", "prompt", *OF_TEXT}),
        (
            Part.GROUNDING,
            {"vision_encoder", "language_model", "pixel_decoder", "token_embeddings"},
            {"tokens", "pyramid", *OF_TEXT, *OF_MASKS},
        ),
        (Part.ALL, {*keys.CLASSES, "token_embeddings"}, {"tokens", "pyramid", *OF_TEXT, *OF_MASKS}),
    ],
)
def test_only_the_part_learns_and_what_it_needs_is_measured(
    run_directory: Path, scene_store: SceneStore, part: Part, learns: set[str], measured: set[str]
) -> None:
    run = Run(run_directory, replace(PLAN, phases=(Phase(part, 3, 1e-3),)), "cpu")
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    line = run.train_step(list(itertools.islice(samples_of(run, scene_store), 2)))
    now = run.model.state_dict()
    assert {name.partition(".")[0] for name, value in now.items() if not value.equal(before[name])} == learns
    assert {name for name in WEIGHTS if line[name] > 0} == measured


def test_the_rate_warms_up_and_falls_evenly() -> None:
    phase = Phase(Part.ALL, 1000, 1e-3, 1e-4)
    rates = [phase.rate_at(step, 100) for step in range(1000)]
    assert rates[0] < rates[50] < rates[99] == pytest.approx(1e-3 - 99 * 0.9e-6)
    assert rates[500] == pytest.approx(5.5e-4)
    assert rates[999] == pytest.approx(1e-4, rel=0.01)


def test_a_sample_is_the_same_whenever_it_is_made(tiny_run: Run, scene_store: SceneStore) -> None:
    whole = list(itertools.islice(samples_of(tiny_run, scene_store), 8))
    later = list(itertools.islice(samples_of(tiny_run, scene_store, first=5), 3))
    odd = list(itertools.islice(samples_of(tiny_run, scene_store, first=1, step=2), 2))
    for first, second in (*zip(whole[5:], later, strict=True), *zip(whole[1:4:2], odd, strict=True)):
        assert first.token_ids.equal(second.token_ids)
        assert first.views.equal(second.views)
        assert first.masks.equal(second.masks)
    rounds = [{sample.views.numpy().tobytes() for sample in whole[at : at + 3]} for at in (0, 3)]
    assert [len(one) for one in rounds] == [3, 3]
    assert not rounds[0] & rounds[1]  # other orientations


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


def test_tile_tokens_are_found_in_the_stitched_sequence(tiny_run: Run) -> None:
    views = torch.randn(1, 5, 3, 64, 64)
    with torch.no_grad():
        image, (tokens, _) = tiny_run.model.see(views, 2, 2), tiny_run.model.vision_encoder(views[0])
    side = tokens.shape[1]
    grid = stitched_grid(image, side, 2, 2)[0]
    for tile in range(4):
        row, column = divmod(tile, 2)
        here = grid[row * side : (row + 1) * side, column * side : (column + 1) * side]
        torch.testing.assert_close(here, tokens[1 + tile])


def test_pointing_at_the_target_costs_nothing_and_elsewhere_much(tiny_run: Run, scene_store: SceneStore) -> None:
    sample = next(iter(samples_of(tiny_run, scene_store)))
    heads = TeachingHeads(tiny_run.model.config)
    width = tiny_run.model.config.hidden
    with torch.no_grad():
        for head in (heads.query, heads.key):
            head.weight.zero_()
            head.bias.zero_()
            head.weight[:width, :width] = torch.eye(width)[: head.weight.shape[0]] * 40
    side = sample.grid[0] * tiny_run.model.config.tokens_per_side
    states = torch.zeros(1, side, side, width)
    states.view(-1, width)[0, 0] = 1.0  # the first token alone answers to a query along the first axis
    seg = torch.zeros(1, width)
    seg[0, 0] = 1.0
    at = torch.zeros(1, side * side)
    at[0, 0] = 1
    there = heads.pointer_loss([seg], states, [at]).detach()
    elsewhere = heads.pointer_loss([seg], states, [at.roll(1, 1)]).detach()
    assert float(there) < 1e-3
    assert float(elsewhere) > 10


def test_what_a_run_saves_is_a_whole_checkpoint(tiny_run: Run) -> None:
    tiny_run.save()
    loaded = GeoPixel.load(tiny_run.directory / "checkpoint")
    assert loaded.config == read_config(tiny_run.directory / "config.json")
    for name, value in tiny_run.model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value)


def test_another_plan_is_refused(run_directory: Path) -> None:
    store_plan(run_directory, PLAN)
    store_plan(run_directory, PLAN)
    with pytest.raises(OptionError, match=r"hd_num=4; give the same recipe and options"):
        store_plan(run_directory, replace(PLAN, hd_num=9))


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_damaged_state_is_refused(tiny_run: Run, part: float) -> None:
    tiny_run.save()
    state = tiny_run.state_path.read_bytes()
    tiny_run.state_path.write_bytes(state[: int(len(state) * part)])
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        Run(tiny_run.directory, PLAN, "cpu")


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


def test_an_error_in_a_worker_arrives_as_itself(run_directory: Path, scene_store: SceneStore) -> None:
    (run_directory / "state.pt").write_bytes(b"not a state")
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        train(run_directory, replace(PLAN, processes=2), "cpu", store=scene_store.folder.parent)


def test_scenes_that_masks_do_not_divide_and_a_broken_plan_are_named(
    run_directory: Path, scene_store: SceneStore
) -> None:
    with pytest.raises(OptionError, match="side_px=130"):
        train(run_directory, replace(PLAN, side_px=130), "cpu", store=scene_store.folder.parent)
    (run_directory / "plan.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"plan\.json is no plan"):
        train(run_directory, PLAN, "cpu", store=scene_store.folder.parent)


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
