"""Stand-ins for tests: an engine directory whose files hold noise instead of graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geopixel_edge.engine.digests import describe_file
from geopixel_edge.engine.directory import write_manifest
from geopixel_edge.engine.manifest import (
    BLOCKS,
    SCHEMA_VERSION,
    BlockSpec,
    Embeddings,
    Manifest,
    Normalisation,
    Preprocessing,
    Provenance,
    Sizes,
    SpecialTokens,
    TensorSpec,
)
from geopixel_edge.engine.precision import PRECISIONS

SIZES = Sizes(
    tile_px=56,
    tokens_per_side=2,
    hidden=8,
    layers=1,
    heads=4,
    kv_heads=2,
    head_dim=2,
    vocabulary=16,
    max_positions=64,
    max_prompt_tokens=32,
    grounding_px=64,
    mask_px=16,
)
TOKENS = SpecialTokens(
    bos=1, eos=2, unk=0, seg=13, phrase_open=14, phrase_close=15, turn_open="[OPEN]", turn_close="[CLOSE]"
)


def make_engine(parent: Path, seed: int = 0) -> Path:
    """Write `parent/engine`, which opens without error, and return it; every block has a graph and external data."""
    root = parent / "engine"
    rng = np.random.default_rng(seed)
    names = [f"{block}/{block}.onnx{end}" for block in BLOCKS for end in ("", ".data")]
    for name in [*names, "tokenizer.model", "embeddings.npy", "golden/case.npz"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(rng.bytes(64))
    half = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    blocks = {
        name: BlockSpec(
            runtime="onnx",
            precision=PRECISIONS["fp32"],
            files=tuple(describe_file(root, f"{name}/{name}.onnx{end}") for end in ("", ".data")),
            inputs=(TensorSpec(name="x", dtype="float32", shape=("n", 3, 56, 56)),),
            outputs=(TensorSpec(name="y", dtype="float32", shape=("n", 4, 8)),),
        )
        for name in BLOCKS
    }
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        family="geopixel",
        sizes=SIZES,
        preprocessing=Preprocessing(vision=half, grounding=half, pad_value=255),
        tokens=TOKENS,
        tokenizer=describe_file(root, "tokenizer.model"),
        embeddings=Embeddings(file=describe_file(root, "embeddings.npy")),
        blocks=blocks,
        golden=(describe_file(root, "golden/case.npz"),),
        provenance=Provenance(
            exporter_version="0",
            source_sha256="0" * 64,
            source_name="noise",
            created_utc="2000-01-01T00:00:00Z",
            quantisation="none",
            packages={},
        ),
        distance=dict.fromkeys(BLOCKS, 1e-6),
    )
    write_manifest(root, manifest)
    return root
