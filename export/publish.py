"""From a checkpoint to a published engine directory: write aside, check against torch, rename once."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from tqdm import tqdm

from geopixel_edge.engine.directory import read_manifest, write_manifest
from geopixel_edge.engine.golden import Check, measure
from geopixel_edge.engine.manifest import Dtype, Form, Manifest, Precision
from geopixel_edge.engine.publish import aside, check_target, clear_leftovers, publish
from geopixel_edge.errors import ExportError, GeoPixelError
from geopixel_edge.memory.footprint import measure_all
from geopixel_edge.resources import return_heap
from geopixel_edge.runtimes.host import HostDevice
from geopixel_edge.text.tokenizer import Tokenizer

from . import calibration, keys
from .adapter import Adapter
from .checkpoint import Checkpoint
from .embeddings import embeddings_as, table_of
from .golden import check_rounding, open_for_check, write_golden
from .manifest import make_manifest, with_footprints
from .precision import parse_precision
from .record import write_record
from .tokenizer import MODEL_NAME, note_spare_rows, read_tokens, write_tokenizer
from .usage import Usage
from .writers import WRITERS
from .writers import steps as steps_of

log = logging.getLogger(__name__)
# The libraries with a vision block at float32, and copies of the largest tensor while it is rounded.
_LEAST_BYTES, _BYTES_PER_NUMBER = 700_000_000, 12
_ROWS_AT_ONCE = 8192


def export_engine(
    source: Path,
    target: Path,
    precision: str = "fp32",
    overwrite: bool = False,
    adapter: Path | None = None,
    form: Form = "ready",
    usage: Usage | None = None,
    calibrate: Path | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> list[Check]:
    """Export `source` to the engine directory `target` and return the measured distance of every block to torch.

    `precision` is one word for all blocks or a word for each, as precision.parse_precision reads it. Nothing is
    published unless every check passes. `overwrite` replaces an engine directory, and nothing else. `adapter` is what
    fine-tuning `source` left, merged while it is read. `form` is the language model's: for ONNX Runtime, or in standard
    operators. `calibrate` is a folder of pictures, by which int4's scales are chosen. `usage` learns of child
    processes; `is_stopped` is asked between steps, since a library may swallow the KeyboardInterrupt of a signal.
    CheckpointError when checkpoint or adapter are not whole or do not fit each other; ExportError for an existing
    target, pictures that cannot be used, too little disk or memory, sizes the graphs cannot have or a failed check. A
    failure or an interruption leaves `target` as it was and removes what was written aside; what a killed export left
    is removed by the next one to the same target.
    """
    precisions = parse_precision(precision)
    target = Path(os.path.abspath(target))
    clear_leftovers(target)
    check_target(target, overwrite)
    checkpoint = Checkpoint(source, Adapter(adapter) if adapter else None)
    checkpoint.check_all()
    _check_memory(checkpoint)
    pictures = calibration.check(calibrate, precisions) if calibrate else []
    with aside(target) as root:
        check_room(root, checkpoint, precisions)
        if pictures:
            checkpoint.loudness = calibration.loudness(checkpoint, read_tokens(source), pictures)
        steps = (
            partial(write_all, checkpoint, root, precisions, form),
            partial(check_rounding, checkpoint, root),
            partial(_measure, root, usage or Usage()),
            partial(_record, root, found := list[Check]()),
        )
        for step in steps:
            step()
            if is_stopped():
                raise KeyboardInterrupt
        publish(root, target, overwrite)
    return found


def _record(root: Path, found: list[Check]) -> None:
    """Check the engine, and write each block's largest distance to torch into the manifest."""
    found += check_engine(root)
    distances: dict[str, float] = {}
    for check in found:
        distances[check.block] = max(distances.get(check.block, 0.0), check.distance)
    write_manifest(root, msgspec.structs.replace(read_manifest(root), distance=distances))


def _check_memory(checkpoint: Checkpoint) -> None:
    """ExportError where the machine has too little left for what an export takes, whatever the number of layers."""
    largest = max(int(np.prod(checkpoint.shape(key))) for names in checkpoint.claims.values() for key in names.values())
    needed, free = _LEAST_BYTES + _BYTES_PER_NUMBER * largest, HostDevice().free_bytes()
    if 0 < free < needed:
        raise ExportError(f"{free / 1e9:.1f} GB of memory are free, the export needs about {needed / 1e9:.1f} GB")


def _measure(root: Path, usage: Usage) -> None:
    """Write what every block takes in memory into the manifest."""
    return_heap(collecting=True)  # helpers stand beside this process
    found = measure_all(root)
    for one in found.values():
        usage.had_child(one.peak_bytes)
    footprints = {block: one.footprint for block, one in found.items()}
    write_manifest(root, with_footprints(read_manifest(root), footprints))


def check_room(root: Path, checkpoint: Checkpoint, precisions: Mapping[str, Precision]) -> None:
    """ExportError where the disk of `root` has too little left for the engine."""
    needed = sum(
        int(np.prod(checkpoint.shape(key))) * precisions[block].bytes_per_number
        for block, names in checkpoint.claims.items()
        if block in precisions
        for key in names.values()
    )
    free = shutil.disk_usage(root).free
    if free < needed * 1.05:
        raise ExportError(f"{root.parent} has {free} bytes free, the engine needs about {int(needed)}; make room first")


def write_all(checkpoint: Checkpoint, root: Path, precisions: Mapping[str, Precision], form: Form) -> Manifest:
    """Write every file of the engine, the manifest last."""
    with tqdm(total=steps_of(checkpoint) + 3, disable=None, unit="step") as bar:
        bar.set_description("tokenizer")
        tokens = write_tokenizer(checkpoint.root, root)
        note_spare_rows(Tokenizer(root / MODEL_NAME, tokens), checkpoint.config.vocabulary)
        bar.update()
        for block, precision in precisions.items():
            bar.set_description(block)
            log.info("exporting %s at %s", block, precision.name)
            WRITERS[block](checkpoint, block, root / f"{block}.onnx", precision, bar, form)
            return_heap(collecting=True)
        bar.set_description("token embeddings")
        _write_table(checkpoint, root / "token_embeddings.npy", embeddings_as(precisions["language_model"]))
        bar.update()
        bar.set_description("golden values")
        golden = write_golden(checkpoint, root, tokens)
        bar.update()
    manifest = make_manifest(checkpoint, root, precisions, tokens, golden, form)
    write_manifest(root, manifest)
    return manifest


def _write_table(checkpoint: Checkpoint, path: Path, stored: Dtype) -> None:
    """The token-embedding table, some rows at a time."""
    table, name = checkpoint.tensor(keys.EMBEDDINGS_KEY), keys.EMBEDDINGS_KEY
    first = table_of(table[:1], stored, name)
    header = {"descr": first.dtype.str, "fortran_order": False, "shape": (len(table), first.shape[1])}
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for rows in table.split(_ROWS_AT_ONCE):
            # By Python's own write, whose errors say what is wrong with the disk.
            stream.write(table_of(rows, stored, name).data)


def check_engine(root: Path) -> list[Check]:
    """Load the engine as a user would, compare every block with torch, and record what each gives."""
    try:
        model = open_for_check(root)
        checks, views = measure(model)
    except GeoPixelError as error:
        raise ExportError(f"nothing was published: the exported engine does not run: {error}") from error
    failed = [
        f"{c.block} {c.quantity} is {c.distance:.2e} off, {c.tolerance:.0e} allowed" for c in checks if not c.passed
    ]
    if failed:
        raise ExportError(f"nothing was published, the exported blocks differ from torch: {'; '.join(failed)}")
    write_record(model, checks, views)
    model.close()
    return checks
