"""`--calibrate`: what is heard is what the layers take, and int4's scales lose less of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from export import calibration, reference
from export.__main__ import main
from export.checkpoint import Checkpoint
from export.int4 import quantise_blocks
from export.language_model_graph import CheckpointWeights
from export.onnx_file import at_dtype
from export.precision import parse_precision, quantisation
from export.tokenizer import read_tokenizer, read_tokens
from geopixel_edge.arrays import F32
from geopixel_edge.build.matrices import Matrix, Quantised
from geopixel_edge.build.onnx_reader import EngineWeights
from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.errors import ExportError
from geopixel_edge.families.prompt import build_prompt
from geopixel_edge.images import load_image

from ..conftest import CHECKPOINT

SCENE = Path(__file__).parents[2] / "examples" / "scene.png"
INT4 = parse_precision("int4")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two parts of a scene, a text, and a folder."""
    root = tmp_path_factory.mktemp("pictures")
    scene = Image.open(SCENE).convert("RGB")
    scene.crop((0, 0, 200, 120)).save(root / "a.png")
    scene.crop((100, 100, 260, 300)).save(root / "b.jpg")
    (root / "notes.txt").write_text("not a picture")
    (root / "more").mkdir()
    return root


def widened(matrix: Matrix) -> F32:
    assert isinstance(matrix, Quantised)
    return matrix.widened()


@torch.no_grad()
def test_what_is_heard_is_what_the_layers_take(pictures: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint, tokens = Checkpoint(CHECKPOINT), read_tokens(CHECKPOINT)
    files = calibration.check(pictures, INT4)
    assert [path.name for path in files] == ["a.png", "b.jpg"]
    assert "notes.txt" in caplog.text
    heard = calibration.loudness(checkpoint, tokens, files)

    prompt = build_prompt(calibration.QUERY, (), 1, read_tokenizer(CHECKPOINT), tokens)
    before, after = (reference.token_rows(checkpoint, part) for part in prompt.parts)
    first, low, last = [], [], []
    norm = checkpoint.tensor("model.layers.0.attention_norm.weight").float()
    for path in files:
        picture = Image.fromarray(load_image(path).pixels)
        seen = reference.image_tokens(
            checkpoint, reference.divide(picture, 1, int(checkpoint.config.clip["image_size"]))
        )
        rows = torch.cat([before, seen, after])
        normed = F.rms_norm(rows, norm.shape, norm, checkpoint.config.rms_norm_eps)
        first.append(normed)
        low.append(normed[len(before) : len(before) + len(seen)])
        image_rows = torch.arange(len(before), len(before) + len(seen))
        last.append(reference.hidden_states(checkpoint, rows, image_rows))
    wqkv = "layers.0.attention.wqkv"
    for name, taken in ((wqkv, first), (f"{wqkv}.Plora_A", low), ("output", last)):
        expected = torch.cat(taken).square().mean(dim=0).sqrt().numpy()
        np.testing.assert_allclose(heard[name], expected, rtol=1e-4, err_msg=name)
    linear = {name.removesuffix(".weight") for name in checkpoint.claims["language_model"] if "norm" not in name}
    assert heard.keys() == linear


def test_less_of_what_is_heard_is_lost() -> None:
    """A layer whose inputs differ in loudness as those behind an activation do."""
    weight = at_dtype(Checkpoint(CHECKPOINT).tensor("model.layers.0.feed_forward.w2.weight"), "float32", "w2")
    loud = np.exp(np.random.default_rng(0).standard_normal(weight.shape[1])).astype(np.float32)

    def lost(heard: np.ndarray | None) -> float:
        return float(np.square((quantise_blocks(weight, 128, heard).widened() - weight) * loud).sum())

    assert lost(loud) < 0.9 * lost(None)


def test_an_engine_is_exported_by_it(pictures: Path, tmp_path: Path) -> None:
    """The check against torch on the rounded weights passes: both round by the same loudness."""
    target = tmp_path / "engine"
    precision = "language_model=int4:32"
    assert main([str(CHECKPOINT), str(target), "--precision", precision, "--calibrate", str(pictures)]) == 0
    told = read_manifest(target).provenance.quantisation
    assert told == f"{quantisation(parse_precision(precision))}; int4 scales by calibration pictures"

    checkpoint, found = Checkpoint(CHECKPOINT), []
    name = "layers.0.feed_forward.w2.weight"
    for loudness in ({}, calibration.loudness(checkpoint, read_tokens(CHECKPOINT), sorted(pictures.glob("?.*")))):
        checkpoint.loudness = loudness
        found.append(widened(CheckpointWeights(checkpoint, parse_precision(precision)["language_model"]).matrix(name)))
    stored = widened(EngineWeights(target / "language_model.onnx").matrix(name))
    assert np.array_equal(stored, found[1])
    assert not np.array_equal(stored, found[0])


def test_only_so_many_pictures_are_used(pictures: Path, tmp_path: Path) -> None:
    for index in range(calibration.MOST_PICTURES + 3):
        shutil.copyfile(pictures / "a.png", tmp_path / f"{index:02}.png")
    assert len(calibration.check(tmp_path, INT4)) == calibration.MOST_PICTURES


@pytest.mark.parametrize(
    ("made", "precision", "told"),
    [
        ("", "int4", "holds no readable picture; give a folder"),
        ("text", "int4", "holds no readable picture; give a folder"),
        ("absent", "int4", "No such file or directory; give a folder of pictures"),
        ("file", "int4", "Not a directory; give a folder of pictures"),
        ("", "int8", "chooses int4's scales; give --precision int4, or leave it out"),
    ],
)
def test_a_folder_that_cannot_be_used_ends_it_before_work_starts(
    made: str, precision: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    if made == "file":
        folder.write_text("not a folder")
    elif made != "absent":
        folder.mkdir()
    if made == "text":
        (folder / "a.png").write_text("not a picture")
    with pytest.raises(ExportError) as caught:
        calibration.check(folder, parse_precision(precision))
    assert f"calibrate={str(folder)!r}" in str(caught.value)
    assert told in str(caught.value)
    target = tmp_path / "engine"
    assert main([str(CHECKPOINT), str(target), "--precision", precision, "--calibrate", str(folder)]) == 6
    assert told in capsys.readouterr().err
    assert [path for path in tmp_path.iterdir() if "engine" in path.name] == []
