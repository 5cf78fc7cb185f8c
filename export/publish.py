"""From a checkpoint to a published engine directory: write aside, check against torch, rename once."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import onnx
from tqdm import tqdm

import geopixel_edge
from geopixel_edge import limits
from geopixel_edge.engine import CHECKSUM_NAME, MANIFEST_NAME
from geopixel_edge.engine.directory import describe_file, read_manifest, write_manifest
from geopixel_edge.engine.golden import Check, measure
from geopixel_edge.engine.manifest import (
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
from geopixel_edge.errors import EngineError, ExportError, GeoPixelError
from geopixel_edge.pipeline import Pipeline

from . import config as constants
from . import keys
from .checkpoint import Checkpoint
from .config import reason
from .golden import check_rounding, write_golden
from .int8 import quantise_file
from .language_model_graph import LanguageModelGraph
from .onnx_file import at_precision
from .record import write_record
from .tokenizer import MODEL_NAME, write_tokenizer
from .torch_model import grounding_encoder, pixel_decoder, vision_encoder

log = logging.getLogger(__name__)
BYTES_PER_NUMBER = {"fp32": 4, "fp16": 2, "int8": 1}
PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "sentencepiece")
_EXPORTERS = {
    module.__name__.rpartition(".")[2]: module.export_onnx
    for module in (vision_encoder, grounding_encoder, pixel_decoder)
}


def export_engine(source: Path, target: Path, precision: str = "fp32", overwrite: bool = False) -> list[Check]:
    """Export `source` to the engine directory `target` and return the measured distance of every block to torch.

    Nothing is published unless every check passes. `overwrite` replaces an engine directory, and nothing else.
    CheckpointError when the checkpoint is not whole; ExportError for an existing target, a full disk, sizes the
    graphs cannot have or a failed check. A failure or an interruption leaves `target` as it was and removes what was
    written aside.
    """
    if precision not in BYTES_PER_NUMBER:
        raise ExportError(f"precision={precision!r} is not one of {sorted(BYTES_PER_NUMBER)}")
    target = Path(os.path.abspath(target))
    _check_target(target, overwrite)
    checkpoint = Checkpoint(source)
    checkpoint.check_all()
    with _aside(target) as root:
        _check_room(root, checkpoint, precision)
        _write_all(checkpoint, root, precision)
        checks = _check(root)
        if precision == "int8":
            check_rounding(checkpoint, root)
        distances: dict[str, float] = {}
        for check in checks:
            distances[check.block] = max(distances.get(check.block, 0.0), check.distance)
        write_manifest(root, msgspec.structs.replace(read_manifest(root), distance=distances))
        _publish(root, target, overwrite)
    return checks


def _check_target(target: Path, overwrite: bool) -> None:
    """ExportError unless the place is free, or holds an engine and nothing else and may be overwritten."""
    try:
        if not target.parent.is_dir():
            raise ExportError(f"engine_dir={str(target)!r} has no parent directory; create it first")
        target.lstat()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:  # too long a name, a null byte: better told now than after hours
        told = f"engine_dir={str(target)[:200]!r} cannot be used ({reason(error)[:100]}); give another"
        raise ExportError(told) from None
    if not overwrite or target.is_symlink():
        raise ExportError(
            f"engine_dir={str(target)!r} exists; give a new path (or --overwrite for an engine directory)"
        )
    try:
        known = {MANIFEST_NAME, CHECKSUM_NAME, *(spec.path for spec in read_manifest(target).files())}
    except EngineError as error:
        raise ExportError(f"engine_dir is not replaced, since it is no sound engine: {error}; or remove it") from None
    found = (path for path in target.rglob("*") if path.is_symlink() or not path.is_dir())
    if strangers := sorted({path.relative_to(target).as_posix() for path in found} - known):
        raise ExportError(f"engine_dir={str(target)!r} holds {strangers[0]!r}, which is not the engine's; move it")


@contextlib.contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """A directory beside the target, on the same file system, gone afterwards unless it was renamed."""
    # Not the process id: on a shared volume two containers can have the same one.
    root = target.with_name(f".{target.name[:100]}.partial-{secrets.token_hex(4)}")
    try:
        root.mkdir()
    except (OSError, ValueError) as error:
        raise ExportError(f"{target.parent} cannot be written in ({reason(error)}); give another place") from None
    try:
        yield root
    except GeoPixelError:
        raise
    except OSError as error:
        raise ExportError(f"nothing was published: {error.strerror or error} ({target.parent})") from error
    except Exception as error:  # sizes that only the tracing or running of a graph shows to be impossible
        raise ExportError(f"nothing was published, a step failed ({reason(error)}); is config.json right?") from error
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
        tokens = write_tokenizer(checkpoint.root, root)
        bar.update()
        for block, export_onnx in _EXPORTERS.items():
            bar.set_description(block)
            log.info("exporting %s", block)
            export_onnx(checkpoint.load(block), root / f"{block}.onnx", precision)
            if precision == "int8":
                quantise_file(root / f"{block}.onnx")
            bar.update()
        bar.set_description("language_model")
        log.info("exporting language_model")
        LanguageModelGraph(checkpoint, root / "language_model.onnx", precision).write(bar)
        bar.set_description("token embeddings")
        stored = "fp16" if precision == "int8" else precision  # rows are read one by one, so a table has no scale
        table = at_precision(checkpoint.tensor(keys.EMBEDDINGS_KEY), stored, keys.EMBEDDINGS_KEY)
        np.save(root / "token_embeddings.npy", table)
        bar.update()
        bar.set_description("golden values")
        golden = write_golden(checkpoint, root, tokens)
        bar.update()
    manifest = _manifest(checkpoint, root, precision, tokens, golden)
    write_manifest(root, manifest)
    return manifest


def _manifest(checkpoint: Checkpoint, root: Path, precision: str, tokens: SpecialTokens, golden: list[str]) -> Manifest:
    c = checkpoint.config
    sizes = Sizes(
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
    provenance = Provenance(
        exporter_version=geopixel_edge.__version__,
        source_sha256=checkpoint.digest(),
        source_name=checkpoint.root.resolve().name,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        quantisation="weights int8, a scale per output channel" if precision == "int8" else "none",
        packages={name: importlib.metadata.version(name) for name in PACKAGES},
    )
    return Manifest(
        schema_version=SCHEMA_VERSION,
        family="geopixel",
        precision=precision,
        sizes=sizes,
        preprocessing=Preprocessing(
            vision=Normalisation(mean=constants.CLIP_MEAN, std=constants.CLIP_STD),
            grounding=Normalisation(mean=constants.IMAGENET_MEAN, std=constants.IMAGENET_STD),
            pad_value=constants.PAD_VALUE,
        ),
        tokens=tokens,
        tokenizer=describe_file(root, MODEL_NAME),
        embeddings=Embeddings(file=describe_file(root, "token_embeddings.npy")),
        blocks={block: _block_spec(root, block, precision) for block in keys.CLASSES},
        golden=tuple(describe_file(root, name) for name in golden),
        provenance=provenance,
        distance={},
    )


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
    """Load the engine as a user would, compare every block with torch, and record what each gives."""
    try:
        pipeline = Pipeline(root, device="cpu")
        checks, views = measure(pipeline)
    except GeoPixelError as error:
        raise ExportError(f"nothing was published: the exported engine does not run: {error}") from error
    failed = [
        f"{c.block} {c.quantity} is {c.distance:.2e} off, {c.tolerance:.0e} allowed" for c in checks if not c.passed
    ]
    if failed:
        raise ExportError(f"nothing was published, the exported blocks differ from torch: {'; '.join(failed)}")
    write_record(pipeline, checks, views)
    return checks


def _publish(root: Path, target: Path, overwrite: bool) -> None:
    """One rename; an engine being replaced is moved aside first, removed last, and put back if that fails."""
    _check_target(target, overwrite)  # hours may have passed
    if not target.exists():
        root.rename(target)
        return
    old = root.with_name(f"{root.name}-replaced")
    try:
        target.rename(old)
        root.rename(target)
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(old, ignore_errors=True)
