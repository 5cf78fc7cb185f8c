"""Manifests of schema 1, as versions before 0.2 wrote them: read as what schema 2 would say of the same files."""

from __future__ import annotations

from typing import Literal

from .manifest import (
    SCHEMA_VERSION,
    BlockSpec,
    Distance,
    Embeddings,
    FileSpec,
    Manifest,
    Name,
    Preprocessing,
    Provenance,
    Sizes,
    SpecialTokens,
    Struct,
    TensorSpec,
)
from .precision import PRECISIONS


class BlockSpecV1(Struct, frozen=True):
    """A block of schema 1; its precision was a name."""

    runtime: Name
    precision: Literal["fp32", "fp16", "int8"]
    files: tuple[FileSpec, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class ManifestV1(Struct, frozen=True):
    """`manifest.json` of schema 1, whole."""

    schema_version: int
    family: str
    precision: str
    sizes: Sizes
    preprocessing: Preprocessing
    tokens: SpecialTokens
    tokenizer: FileSpec
    embeddings: Embeddings
    blocks: dict[str, BlockSpecV1]
    golden: tuple[FileSpec, ...]
    provenance: Provenance
    distance: dict[str, Distance]


def upgraded(old: ManifestV1) -> Manifest:
    """The same engine in schema 2. Its int8 weights were widened when loaded, and are."""
    blocks = {
        name: BlockSpec(
            runtime=block.runtime,
            precision=PRECISIONS["int8-widened" if block.precision == "int8" else block.precision],
            files=block.files,
            inputs=block.inputs,
            outputs=block.outputs,
        )
        for name, block in old.blocks.items()
    }
    return Manifest(
        schema_version=SCHEMA_VERSION,
        family=old.family,
        sizes=old.sizes,
        preprocessing=old.preprocessing,
        tokens=old.tokens,
        tokenizer=old.tokenizer,
        embeddings=old.embeddings,
        blocks=blocks,
        golden=old.golden,
        provenance=old.provenance,
        distance=old.distance,
    )
