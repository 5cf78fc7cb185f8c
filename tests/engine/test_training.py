"""Training: questions packed behind one image, the losses, and runs that survive an interruption."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from export import keys
from export.torch_model.language_model import Layer
from synthetic.questions import conversation, referring
from synthetic.scenes import make_scene
from training.batches import make_sample, pack
from training.heads import TeachingHeads, stitched_grid
from training.losses import MaskLosses, mask_losses, measured_iou
from training.optimizer import LEAST_SIDE, Optimizer, matrices
from training.plan import Part, Phase
from training.run import Run
from training.step import WEIGHTS, language_states, losses_of
from training.store import SceneStore

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
    packed = pack([(example.question, example.answer)], tokenizer, 100)
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
    layer = model.language_model.layers[0]
    assert isinstance(layer, Layer)
    matrix, words = layer.attention.wo.weight, model.language_model.output.weight
    assert isinstance(matrix, nn.Parameter)
    assert isinstance(words, nn.Parameter)
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
