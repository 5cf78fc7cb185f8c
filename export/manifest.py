"""The manifest of a written engine: what its files are and where they came from."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import onnx

import geopixel_edge
from geopixel_edge import limits
from geopixel_edge.engine.digests import describe_file
from geopixel_edge.engine.manifest import (
    SCHEMA_VERSION,
    BlockSpec,
    Embeddings,
    Footprint,
    Form,
    Manifest,
    Normalisation,
    Precision,
    Preprocessing,
    Provenance,
    Sizes,
    SpecialTokens,
    TensorSpec,
)

from . import config as constants
from .checkpoint import Checkpoint
from .config import ModelConfig
from .precision import quantisation
from .tokenizer import MODEL_NAME

FAMILY = "geopixel"
PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "sentencepiece")


def make_manifest(
    checkpoint: Checkpoint,
    root: Path,
    precisions: Mapping[str, Precision],
    tokens: SpecialTokens,
    golden: list[str],
    form: Form,
) -> Manifest:
    """The manifest of the files in `root`; footprints and distances are not measured yet."""
    return Manifest(
        schema_version=SCHEMA_VERSION,
        family=FAMILY,
        sizes=_sizes(checkpoint.config),
        preprocessing=Preprocessing(
            vision=Normalisation(mean=constants.CLIP_MEAN, std=constants.CLIP_STD),
            grounding=Normalisation(mean=constants.IMAGENET_MEAN, std=constants.IMAGENET_STD),
            pad_value=constants.PAD_VALUE,
        ),
        tokens=tokens,
        tokenizer=describe_file(root, MODEL_NAME),
        embeddings=Embeddings(file=describe_file(root, "token_embeddings.npy")),
        blocks={block: block_spec(root, block, precision) for block, precision in precisions.items()},
        golden=tuple(describe_file(root, name) for name in golden),
        provenance=_provenance(checkpoint, precisions),
        distance={},
        form=form,
    )


def with_footprints(manifest: Manifest, footprints: Mapping[str, Footprint]) -> Manifest:
    """The same manifest with what each block was measured to take in memory."""
    blocks = {
        name: msgspec.structs.replace(block, footprint=footprints.get(name, block.footprint))
        for name, block in manifest.blocks.items()
    }
    return msgspec.structs.replace(manifest, blocks=blocks)


def _sizes(c: ModelConfig) -> Sizes:
    return Sizes(
        tile_px=int(c.clip["image_size"]),
        tokens_per_side=c.tokens_per_side,
        hidden=c.hidden,
        layers=c.layers,
        heads=c.heads,
        kv_heads=c.kv_heads,
        head_dim=c.head_dim,
        vocabulary=c.vocabulary,
        max_positions=c.max_positions,
        max_prompt_tokens=limits.MAX_PROMPT_TOKENS,
        grounding_px=int(c.sam2["image_size"]),
        mask_px=c.mask_px,
    )


def _provenance(checkpoint: Checkpoint, precisions: Mapping[str, Precision]) -> Provenance:
    return Provenance(
        exporter_version=geopixel_edge.__version__,
        source_sha256=checkpoint.digest(),
        source_name=checkpoint.root.resolve().name,
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        quantisation=quantisation(precisions)
        + ("; int4 scales by calibration pictures" if checkpoint.loudness else ""),
        packages={name: importlib.metadata.version(name) for name in PACKAGES},
        adapter_sha256=checkpoint.adapter.digest() if checkpoint.adapter else None,
        adapter_name=checkpoint.adapter.name if checkpoint.adapter else None,
    )


def block_spec(root: Path, block: str, precision: Precision) -> BlockSpec:
    """What the files of a block are, by its graph's inputs and outputs."""
    graph = onnx.load(str(root / f"{block}.onnx"), load_external_data=False).graph
    files = [f"{block}.onnx", *sorted(path.name for path in root.glob(f"{block}.onnx.data*"))]
    return BlockSpec(
        runtime="onnx",
        precision=precision,
        files=tuple(describe_file(root, name) for name in files),
        inputs=tuple(_tensor_spec(value) for value in graph.input),
        outputs=tuple(_tensor_spec(value) for value in graph.output),
    )


def _tensor_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(side.dim_value if side.HasField("dim_value") else side.dim_param for side in tensor.shape.dim)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return msgspec.convert({"name": value.name, "dtype": dtype, "shape": shape}, TensorSpec)
