"""Training goes on with annotated pictures: words and masks are learnt, encoders stay, an interrupted run goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from annotate.settings import Settings
from export.checkpoint import Checkpoint
from geopixel_edge.errors import CheckpointError, GeoPixelError, OptionError
from geopixel_edge.masks import Mask
from training.annotated import AnnotatedPictures, covered
from training.batches import coverage
from training.dataset import load_dataset
from training.errors import DatasetError
from training.finetune import Finetuning, Tuning, main
from training.run import Run

from ..support.annotations import annotated
from ..support.tiny_training import PLAN

STEPS = 6


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Steps this small are not shared out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two annotated pictures."""
    out = tmp_path_factory.mktemp("data") / "out"
    annotated("scenes:2000065-2000066,192", out, settings=Settings(profile="published"))
    return out / "GeoPixelD" / "GeoPixelD.json"


@pytest.fixture(scope="module")
def start(prepared_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a tiny model."""
    run = Run(shutil.copytree(prepared_run, tmp_path_factory.mktemp("start") / "run"), PLAN, "cpu")
    run.save()
    return run.directory / "checkpoint"


def tuning(data: Path, start: Path, **changes: int | float) -> Tuning:
    """A few steps."""
    values = {"steps": STEPS, "batch": 2, "masks": 4, "hd_num": 4, "rate": 3e-3}
    return Tuning(str(data), str(start), **{**values, **changes})  # type: ignore[arg-type]


def curve(run: Path) -> list[dict[str, float]]:
    """The lines of a run."""
    return [json.loads(line) for line in (run / "curve.jsonl").read_text().splitlines()]


def test_words_and_masks_are_learnt_and_encoders_stay(data: Path, start: Path, tmp_path: Path) -> None:
    run = Finetuning(tmp_path / "run", tuning(data, start, rate=1e-2), "cpu")
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.train()
    lines = curve(tmp_path / "run")
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert lines[-1]["answer"] < 0.95 * lines[0]["answer"]
    assert lines[-1]["bce"] < lines[0]["bce"]
    moved = {name.partition(".")[0] for name, value in run.model.state_dict().items() if not value.equal(before[name])}
    assert moved == {"language_model", "token_embeddings", "pixel_decoder"}
    Checkpoint(tmp_path / "run" / "checkpoint").check_all()


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(data: Path, start: Path, tmp_path: Path) -> None:
    whole = Finetuning(tmp_path / "whole", tuning(data, start, steps=3), "cpu")
    whole.train()
    first = Finetuning(tmp_path / "run", tuning(data, start, steps=3), "cpu")
    step = first.train_step

    def stopping() -> dict[str, float]:
        first.stop()
        return step()

    first.train_step = stopping  # type: ignore[method-assign]
    first.train()
    assert len(curve(tmp_path / "run")) == 1
    resumed = Finetuning(tmp_path / "run", tuning(data, start, steps=3), "cpu")
    resumed.train()
    assert curve(tmp_path / "run") == curve(tmp_path / "whole")
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value, msg=name)


def test_each_round_takes_every_picture_once(data: Path, start: Path, tmp_path: Path) -> None:
    run = Finetuning(tmp_path / "run", tuning(data, start), "cpu")
    pictures: AnnotatedPictures = run.pictures
    views = [pictures.sample(number).views.numpy().tobytes() for number in range(6)]
    assert [len({*views[at : at + 2]}) for at in (0, 2, 4)] == [2, 2, 2]
    assert len({*views}) == 2
    again = pictures.sample(3)
    assert again.masks.equal(pictures.sample(3).masks)
    entries = load_dataset(data)
    assert len(again.masks) == min(4, max(len(entry.masks) for entry in entries))


def test_masks_of_any_picture_are_told_by_cells() -> None:
    bits = np.zeros((64, 64), np.bool_)
    bits[3:30, 10:41] = True
    np.testing.assert_allclose(covered(Mask.from_array(bits), 16), coverage(bits, 16), atol=1e-6)
    wide = np.zeros((30, 70), np.bool_)
    wide[:15] = True
    np.testing.assert_allclose(
        covered(Mask.from_array(wide), 4), np.repeat([[1.0], [1], [0], [0]], 4, axis=1), atol=1e-6
    )


def test_what_cannot_be_used_is_refused_before_anything_is_written(data: Path, start: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(data.parent, tmp_path / "broken")
    (broken / "train" / "scene_2000066.png").write_bytes(b"no picture")
    cases: tuple[tuple[Tuning, type[GeoPixelError], str], ...] = (
        (tuning(broken / "GeoPixelD.json", start), DatasetError, "1 of 2 entries cannot be used"),
        (tuning(tmp_path / "nothing.json", start), DatasetError, "no such file"),
        (tuning(data, tmp_path), CheckpointError, "config.json"),
        (tuning(data, start, rate=2.0), OptionError, "rate"),
        (tuning(data, start, steps=0), OptionError, "steps"),
        (tuning(data, start, hd_num=0), OptionError, "hd_num"),
    )
    for wanted, kind, said in cases:
        with pytest.raises(kind, match=said):
            Finetuning(tmp_path / "run", wanted, "cpu")
        assert not (tmp_path / "run").exists()
    with pytest.raises(OptionError, match="device"):
        Finetuning(tmp_path / "run", tuning(data, start), "none")
    assert not (tmp_path / "run").exists()


def test_a_directory_of_another_run_is_refused(data: Path, start: Path, tmp_path: Path) -> None:
    words = [str(data), str(tmp_path / "run"), "--start", str(start), "--steps", "1", "--batch", "1", "--hd-num", "4"]
    assert main([*words, "--device", "cpu"]) == 0
    assert (tmp_path / "run" / "checkpoint" / "model.safetensors").is_file()
    assert main([*words, "--device", "cpu", "--rate", "0.01"]) == 3
    (tmp_path / "run" / "state.pt").write_bytes(b"torn")
    assert main([*words, "--device", "cpu"]) == 4


def test_losses_that_are_not_finite_end_the_run(data: Path, start: Path, tmp_path: Path) -> None:
    run = Finetuning(tmp_path / "run", tuning(data, start), "cpu")
    run.model.token_embeddings.weight.data.fill_(float("nan"))
    with pytest.raises(OptionError, match="not finite at step 1"):
        run.train()
    assert not (tmp_path / "run" / "state.pt").exists()
