"""Training: questions packed behind one image, the losses, and runs that survive an interruption."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from export.config import read_config
from geopixel_edge.errors import CheckpointError, OptionError
from training import train as training
from training.batches import Scenes, pack, prepare
from training.losses import mask_losses, measured_iou
from training.model import GeoPixel
from training.questions import conversation, referring
from training.scenes import make_scene
from training.step import _read
from training.train import CONFIG, Plan, Run, main

PLAN = Plan(steps=4, batch=2, side_px=128, hd_num=4, questions=2, learning_rate=1e-3, masks_per_image=4)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model made tiny: a step takes a fraction of a second."""
    raw = json.loads(CONFIG.read_text())
    raw |= {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    raw |= {"num_key_value_heads": 2, "out_dim": 32}
    raw["clip_config"] |= {"image_size": 64, "patch_size": 16, "hidden_size": 32, "intermediate_size": 64}
    raw["clip_config"] |= {"num_hidden_layers": 1, "num_attention_heads": 2}
    raw["sam2_config"]["image_size"] = 128
    raw["sam2_config"]["hiera"] |= {"embed_dim": 8, "stages": [1, 1, 1, 1], "global_att_blocks": [2]}
    raw["sam2_config"]["neck"] |= {"d_model": 32, "backbone_channel_list": [64, 32, 16, 8]}
    raw["sam2_config"]["mask_decoder"] |= {"transformer_num_heads": 4, "transformer_mlp_dim": 32}
    path = tmp_path_factory.mktemp("config") / "tiny.json"
    path.write_text(json.dumps(raw))
    return path


@pytest.fixture
def run(tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(training, "VOCABULARY_SCENES", 8)
    return Run(tmp_path / "run", PLAN, "cpu", config)


def test_packed_questions_are_read_as_if_each_stood_alone(run: Run) -> None:
    scene = make_scene(3, 128)
    examples = [conversation(scene), *referring(scene, 3)]
    tokenizer, model = run.tokenizer, run.model.eval()
    whole = prepare(scene, examples, model.config, tokenizer, 4)
    with torch.no_grad():
        images = model.see(whole.views[None], *whole.grid)
        packed, _ = _read(model, images, [whole], tokenizer.tokens.bos)
        for index, example in enumerate(examples):
            alone = prepare(scene, [example], model.config, tokenizer, 4)
            single, _ = _read(model, images, [alone], tokenizer.tokens.bos)
            torch.testing.assert_close(packed[0, whole.segment == index], single[0], atol=1e-5, rtol=1e-4)


def test_padding_in_a_batch_changes_nothing(run: Run) -> None:
    model, bos = run.model.eval(), run.tokenizer.tokens.bos
    samples = [next(iter(Scenes(model.config, run.tokenizer, seed, 128, 4, 2))) for seed in (5, 9)]
    assert len(samples[0].token_ids) != len(samples[1].token_ids)
    with torch.no_grad():
        images = torch.cat([model.see(sample.views[None], *sample.grid) for sample in samples])
        both, targets = _read(model, images, samples, bos)
        for index, sample in enumerate(samples):
            single, _ = _read(model, images[index : index + 1], [sample], bos)
            length = len(sample.token_ids)
            torch.testing.assert_close(both[index, :length], single[0], atol=1e-5, rtol=1e-4)
            assert (targets[index, length:] == -100).all()


def test_targets_are_the_answer_and_its_end(run: Run) -> None:
    tokenizer = run.tokenizer
    example = referring(make_scene(3, 128), 1)[0]
    packed = pack([example], tokenizer, 100)
    answered = packed["targets"][packed["targets"] != -100].tolist()
    assert answered == [*tokenizer.encode(example.answer, bos=False), tokenizer.tokens.eos]
    assert packed["positions"].tolist() == list(range(100, 100 + len(packed["token_ids"])))
    inputs = packed["token_ids"].tolist()
    assert [inputs[at] for at in packed["seg_at"]] == [tokenizer.tokens.seg] * len(example.targets)


def test_mask_losses_teach_mask_0_and_the_best_of_the_others() -> None:
    truth = torch.zeros(1, 8, 8)
    truth[:, 2:5, 2:6] = 1
    right = (truth * 2 - 1) * 20
    wrong = -right
    perfect = mask_losses(torch.stack([right, wrong, right, wrong], 1), torch.tensor([[1.0, 0, 1, 0]]), truth)
    assert perfect.bce < 1e-6
    assert perfect.dice < 0.1
    assert perfect.iou < 1e-6
    masks = torch.stack([wrong, right, wrong, wrong], 1).requires_grad_()
    mask_losses(masks, torch.zeros(1, 4), truth).total.backward()
    assert masks.grad is not None
    used = masks.grad.abs().sum((0, 2, 3)) > 0
    assert used.tolist() == [True, True, False, False]
    assert measured_iou(right, truth).tolist() == [1.0]


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(run: Run, tmp_path: Path, config: Path) -> None:
    class Stop(Exception):
        pass

    def stop_after(step: int) -> None:
        original = run._one

        def one(samples: list) -> dict:
            if run.step == step:
                raise Stop
            line = original(samples)
            run.save()
            return line

        run._one = one  # type: ignore[method-assign]

    stop_after(2)
    with pytest.raises(Stop):
        run.train(save_every_s=1e9)
    resumed = Run(run.directory, PLAN, "cpu", config)
    assert resumed.step == 2
    resumed.train(save_every_s=1e9)
    whole = Run(tmp_path / "whole", PLAN, "cpu", config)
    whole.train(save_every_s=1e9)
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value, msg=name)
    curve = [json.loads(line) for line in (run.directory / "curve.jsonl").read_text().splitlines()]
    assert [line["step"] for line in curve] == [1, 2, 3, 4]


def test_what_a_run_saves_is_a_whole_checkpoint(run: Run) -> None:
    run.save()
    loaded = GeoPixel.load(run.directory / "checkpoint")
    assert loaded.config == read_config(run.directory / "config.json")
    for name, value in run.model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value)


def test_a_damaged_state_or_another_plan_is_refused(run: Run, config: Path) -> None:
    run.save()
    with pytest.raises(OptionError, match="another directory"):
        Run(run.directory, Plan(8, 2, 128, 4, 2, 1e-3, 4), "cpu", config)
    (run.directory / "state.pt").write_bytes(b"not a state")
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        Run(run.directory, PLAN, "cpu", config)


def test_evaluation_seeds_are_never_trained_on(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "run"), "--steps", "500000", "--batch", "2"])
