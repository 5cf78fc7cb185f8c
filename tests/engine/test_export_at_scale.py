"""One decoder layer at GeoPixel-7B's true widths, with all its other blocks: exported and asked, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from export.checkpoint import Checkpoint
from export.tokenizer import read_tokenizer
from geopixel_edge.engine.directory import read_manifest
from tests.support import random_checkpoint
from tests.support.random_checkpoint import SHAPES, selected, shards

REPOSITORY = Path(__file__).parents[2]
MOST_BYTES = 6 * 10**9
MANIFEST = REPOSITORY.parent / "shared" / "reference" / "geopixel-7b-manifest.json"


@pytest.mark.skipif(not MANIFEST.is_file(), reason="the manifest that the shapes were taken from is not here")
def test_keys_and_shapes_are_the_manifests() -> None:
    tensors = json.loads(MANIFEST.read_text())["tensors"]
    assert {key: tuple(entry["shape"]) for key, entry in tensors.items()} == SHAPES


def test_a_slice_has_whole_layers_and_every_other_block() -> None:
    two = selected(2, dead_adapters=False)
    assert {key.split(".")[2] for key in two if key.startswith("model.layers.")} == {"0", "1"}
    assert not [key for key in two if ".lora_" in key]
    assert set(selected(32, dead_adapters=True)) == set(SHAPES)
    pieces = shards(two, 2 * 10**9)
    assert len(pieces) > 1
    assert {key: shape for piece in pieces for key, shape in piece.items()} == two


@pytest.mark.parametrize("pickled", [False, True])
def test_both_formats_hold_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pickled: bool) -> None:
    """A narrow one: the keys of one layer with every side cut to at most 8, read back as they were drawn."""
    narrow = {key: tuple(min(side, 8) for side in shape) for key, shape in selected(1, False).items()}
    monkeypatch.setattr(random_checkpoint, "selected", lambda *_: narrow)
    random_checkpoint.write(tmp_path / "c", 1, pickled)
    checkpoint = Checkpoint(tmp_path / "c")
    for key in ("model.layers.0.attention.wo.weight", "vision_proj.0.bias", "output.weight"):
        (part,) = random_checkpoint.parts(key, narrow[key])
        assert checkpoint.tensor(key).equal(part.reshape(narrow[key]))
    assert read_tokenizer(tmp_path / "c").size == checkpoint.config.vocabulary


@pytest.mark.long
def test_a_slice_is_exported_and_asked(tmp_path: Path) -> None:
    random_checkpoint.write(tmp_path / "checkpoint", layers=1)
    engine = tmp_path / "engine"
    command = [sys.executable, "-m", "export", str(tmp_path / "checkpoint"), str(engine), "--precision", "fp16"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert 10**9 < told["peak_bytes"] <= MOST_BYTES
    assert told["seconds"] > 1
    assert all(block.footprint is not None for block in read_manifest(engine).blocks.values())
    image = str(REPOSITORY / "tests" / "data" / "tiny-geopixel" / "images" / "wide.png")
    ask = [sys.executable, "-m", "geopixel_edge", "ask", image, "What is here?", "--engine", str(engine)]
    answer = subprocess.run(
        [*ask, "--hd-num", "1", "--max-new-tokens", "2", "--json"], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert answer.returncode == 0, answer.stderr
    assert len(json.loads(answer.stdout)["token_ids"]) == 2
