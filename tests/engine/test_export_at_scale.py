"""One decoder layer at GeoPixel-7B's true widths, with all its other blocks: exported and asked, in bounded memory."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from export.checkpoint import Checkpoint
from export.tokenizer import read_tokenizer
from geopixel_edge.engine.directory import read_manifest
from tests.support import random_checkpoint
from tests.support.random_checkpoint import SHAPES, selected, shards

REPOSITORY = Path(__file__).parents[2]
MOST_BYTES = 6 * 10**9
MOST_BRIEF_BYTES = 2_300_000_000
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


def test_a_brief_checkpoint_has_every_kind_of_layer_at_its_width() -> None:
    whole, few = selected(1, dead_adapters=False), random_checkpoint.brief(selected(1, dead_adapters=False))
    kinds = {re.sub(r"\.[0-9]+\.", ".N.", key) for key in whole}
    assert {re.sub(r"\.[0-9]+\.", ".N.", key) for key in few} == kinds
    shapes = set(whole.values())
    assert {key for key, shape in few.items() if shape not in shapes} == {
        "model.tok_embeddings.weight",
        "output.weight",
    }


def export(checkpoint: Path, engine: Path, precision: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "export", str(checkpoint), str(engine), "--precision", precision, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["seconds"] > 1
    assert all(block.footprint is not None for block in read_manifest(engine).blocks.values())
    return told


def ask(engine: Path) -> list[int]:
    image = str(REPOSITORY / "tests" / "data" / "tiny-geopixel" / "images" / "wide.png")
    command = [sys.executable, "-m", "geopixel_edge", "ask", image, "What is here?", "--engine", str(engine)]
    answer = subprocess.run(
        [*command, "--hd-num", "1", "--max-new-tokens", "2", "--json"], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert answer.returncode == 0, answer.stderr
    token_ids: list[int] = json.loads(answer.stdout)["token_ids"]
    return token_ids


def test_one_layer_at_int4_is_exported_in_little_memory_and_asked(tmp_path: Path) -> None:
    """True widths. Blocks beside each other, or one of them whole in float32, would take more than is allowed."""
    random_checkpoint.write(tmp_path / "checkpoint", layers=1, is_brief=True)
    told = export(tmp_path / "checkpoint", tmp_path / "engine", "int4,language_model.embeddings=int8")
    assert 10**9 < told["peak_bytes"] <= MOST_BRIEF_BYTES
    assert len(ask(tmp_path / "engine")) == 2


@pytest.mark.long
def test_a_slice_is_exported_and_asked(tmp_path: Path) -> None:
    random_checkpoint.write(tmp_path / "checkpoint", layers=1)
    told = export(tmp_path / "checkpoint", tmp_path / "engine", "fp16")
    assert 10**9 < told["peak_bytes"] <= MOST_BYTES
    assert len(ask(tmp_path / "engine")) == 2
