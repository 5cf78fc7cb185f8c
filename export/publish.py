"""From a checkpoint to a published engine directory: write aside, check against torch, rename once."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import shutil
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np
import onnx
from tqdm import tqdm

import geopixel_edge
from geopixel_edge import limits
from geopixel_edge.engine import (
    MANIFEST_NAME,
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
    describe_file,
    write_manifest,
)
from geopixel_edge.errors import ExportError, GeoPixelError
from geopixel_edge.golden import Check, verify
from geopixel_edge.pipeline import Pipeline

from . import config as constants
from . import grounding_encoder, keys, pixel_decoder, vision_encoder
from .checkpoint import Checkpoint
from .golden import write_golden
from .language_model_graph import LanguageModelGraph
from .tokenizer import TokenizerFacts, convert

log = logging.getLogger(__name__)
BYTES_PER_NUMBER = {"fp32": 4, "fp16": 2}
PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "tokenizers")
_EXPORTERS = {module.__name__.rpartition(".")[2]: module.export_onnx
              for module in (vision_encoder, grounding_encoder, pixel_decoder)}  # fmt: skip


def export_engine(source: Path, target: Path, precision: str = "fp32", overwrite: bool = False) -> list[Check]:
    """Export `source` to the engine directory `target` and return the measured distance of every block to torch.

    Nothing is published unless every check passes. CheckpointError when the checkpoint is not whole; ExportError for
    an existing target, a full disk or a failed check. A failure leaves `target` as it was and removes what was
    written aside.
    """
    _check_target(target, overwrite)
    checkpoint = Checkpoint(source)
    checkpoint.check_all()
    with _aside(target) as root:
        _check_room(root, checkpoint, precision)
        manifest = _write_all(checkpoint, root, precision)
        checks = _check(root)
        distances: dict[str, float] = {}
        for check in checks:
            distances[check.block] = max(distances.get(check.block, 0.0), check.distance)
        write_manifest(root, msgspec.structs.replace(manifest, distance=distances))
        _publish(root, target)
    return checks


def _check_target(target: Path, overwrite: bool) -> None:
    if target.is_symlink() or (target.exists() and not (overwrite and (target / MANIFEST_NAME).is_file())):
        raise ExportError(
            f"engine_dir={str(target)!r} exists; give a new path (or --overwrite for an engine directory)"
        )
    if not target.absolute().parent.is_dir():
        raise ExportError(f"engine_dir={str(target)!r} has no parent directory; create it first")


@contextlib.contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """A directory beside the target, on the same file system, gone afterwards unless it was renamed."""
    root = target.absolute().parent / f".{target.name}.partial-{os.getpid()}"
    try:
        root.mkdir()
        yield root
    except OSError as error:
        raise ExportError(f"nothing was published: {error.strerror or error} ({root.parent})") from error
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _check_room(root: Path, checkpoint: Checkpoint, precision: str) -> None:
    claimed = [key for names in checkpoint.claims.values() for key in names.values()]
    needed = sum(int(np.prod(checkpoint.shape(key))) for key in claimed) * BYTES_PER_NUMBER[precision]
    free = shutil.disk_usage(root).free
    if free < needed * 1.05:
        raise ExportError(f"{root.parent} has {free} bytes free, the engine needs about {needed}; make room first")


def _write_all(checkpoint: Checkpoint, root: Path, precision: str) -> Manifest:
    c = checkpoint.config
    with tqdm(total=len(_EXPORTERS) + c.layers + 3, disable=None, unit="step") as bar:
        bar.set_description("tokenizer")
        facts = convert(checkpoint.root, root / "tokenizer.json")
        tokens = _special_tokens(facts)
        bar.update()
        for block, export_onnx in _EXPORTERS.items():
            bar.set_description(block)
            log.info("exporting %s", block)
            export_onnx(checkpoint.load(block), root / f"{block}.onnx", precision)
            bar.update()
        bar.set_description("language_model")
        log.info("exporting language_model")
        LanguageModelGraph(checkpoint, root / "language_model.onnx", precision).write(bar)
        bar.set_description("token embeddings")
        dtype = np.float16 if precision == "fp16" else np.float32
        np.save(root / "token_embeddings.npy", checkpoint.tensor(keys.EMBEDDINGS_KEY).float().numpy().astype(dtype))
        bar.update()
        bar.set_description("golden values")
        golden = write_golden(checkpoint, root, tokens, root / "tokenizer.json")
        bar.update()
    manifest = _manifest(checkpoint, root, precision, tokens, golden)
    write_manifest(root, manifest)
    return manifest


def _special_tokens(facts: TokenizerFacts) -> SpecialTokens:
    return SpecialTokens(
        bos=facts.bos, eos=facts.eos, unk=facts.unk, seg=facts.seg, phrase_open=facts.phrase_open,
        phrase_close=facts.phrase_close, turn_open="[UNUSED_TOKEN_146]", turn_close="[UNUSED_TOKEN_145]",
    )  # fmt: skip


def _manifest(checkpoint: Checkpoint, root: Path, precision: str, tokens: SpecialTokens, golden: list[str]) -> Manifest:
    c = checkpoint.config
    sizes = Sizes(
        tile_px=int(c.clip["image_size"]), tokens_per_side=c.tokens_per_side, hidden=c.hidden, layers=c.layers,
        heads=c.heads, kv_heads=c.kv_heads, head_dim=c.head_dim, vocabulary=c.vocabulary,
        max_positions=c.max_positions, max_prompt_tokens=limits.MAX_PROMPT_TOKENS,
        grounding_px=int(c.sam2["image_size"]), mask_px=c.mask_px,
    )  # fmt: skip
    provenance = Provenance(
        exporter_version=geopixel_edge.__version__,
        source_sha256=checkpoint.digest(),
        source_name=checkpoint.root.resolve().name,
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        quantisation="none",
        packages={name: importlib.metadata.version(name) for name in PACKAGES},
    )
    return Manifest(
        schema_version=SCHEMA_VERSION, family="geopixel", precision=precision, sizes=sizes,
        preprocessing=Preprocessing(
            vision=Normalisation(mean=constants.CLIP_MEAN, std=constants.CLIP_STD),
            grounding=Normalisation(mean=constants.IMAGENET_MEAN, std=constants.IMAGENET_STD),
            pad_value=constants.PAD_VALUE,
        ),
        tokens=tokens, tokenizer=describe_file(root, "tokenizer.json"),
        embeddings=Embeddings(file=describe_file(root, "token_embeddings.npy")),
        blocks={block: _block_spec(root, block, precision) for block in keys.CLASSES},
        golden=tuple(describe_file(root, name) for name in golden), provenance=provenance, distance={},
    )  # fmt: skip


def _block_spec(root: Path, block: str, precision: str) -> BlockSpec:
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


def _check(root: Path) -> list[Check]:
    """Load the engine as a user would and compare every block with torch."""
    try:
        checks = verify(Pipeline(root, device="cpu"))
    except GeoPixelError as error:
        raise ExportError(f"nothing was published: the exported engine does not run: {error}") from error
    failed = [
        f"{c.block} {c.quantity} is {c.distance:.2e} off, {c.tolerance:.0e} allowed" for c in checks if not c.passed
    ]
    if failed:
        raise ExportError(f"nothing was published, the exported blocks differ from torch: {'; '.join(failed)}")
    return checks


def _publish(root: Path, target: Path) -> None:
    """One rename; an engine being replaced is moved aside first and removed last."""
    if not target.exists():
        root.rename(target)
        return
    old = target.with_name(f".{target.name}.replaced-{os.getpid()}")
    target.rename(old)
    try:
        root.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
