"""An engine of the other form: the same numbers, laid out for other operators."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from ..engine.digests import describe_file
from ..engine.directory import Engine, write_manifest
from ..engine.golden import Check, verify
from ..engine.manifest import BlockSpec, Form, Manifest
from ..engine.publish import aside, check_target, clear_leftovers, publish
from ..errors import ExportError, GeoPixelError
from ..memory.footprint import measure_all
from ..model import Model
from .decoder import DecoderGraph, DecoderSizes
from .onnx_reader import EngineWeights
from .portable import PortableGraph
from .products import has_form, write_products
from .ready import ReadyGraph

GRAPHS: dict[Form, type[DecoderGraph]] = {"portable": PortableGraph, "ready": ReadyGraph}
LANGUAGE_MODEL = "language_model"
Progress = Callable[[str, int, int], object]


def build_form(
    source: Path,
    target: Path,
    form: Form,
    overwrite: bool = False,
    progress: Progress = lambda step, done, total: None,
) -> list[Check]:
    """Write `source` to `target` in `form`, and return the checks the new engine passed.

    Weights keep their numbers, one matrix is in memory at a time, and blocks that are alike in both are copied. The new
    engine must give its golden values, or nothing is published. `progress(step, done, total)` is told what is being
    done. EngineError for a source that cannot be used; ExportError for a target that exists, a full disk or a failed
    check.
    """
    target = Path(os.path.abspath(target))
    clear_leftovers(target)
    check_target(target, overwrite)
    engine = Engine(source)
    _check_source(engine, form)
    with aside(target) as root:
        check_room(engine, target, root)
        copy_others(engine, root, changed_blocks(engine.manifest), progress)
        _write(engine, root, form, progress)
        checks = checked(root, "cpu")
        publish(root, target, overwrite)
    return checks


def check_room(engine: Engine, target: Path, root: Path) -> None:
    """ExportError where the disk of `root`, which will be `target`, does not hold another such engine."""
    free = shutil.disk_usage(root).free
    needed = int(1.1 * sum(spec.bytes for spec in engine.manifest.files()))
    if free < needed:
        raise ExportError(f"{target.parent} has {free} bytes free, the engine needs about {needed}; make room first")


def _check_source(engine: Engine, form: Form) -> None:
    if engine.manifest.form == form:
        raise ExportError(f"form={form!r}: {engine.root} has it already; copy the directory, or give the other form")
    narrow = [name for name, block in engine.manifest.blocks.items() if block.precision.weights == "float8"]
    if narrow:
        raise ExportError(
            f"{engine.root}: block {narrow[0]!r} is float8, which TensorRT alone multiplies; build from the engine it "
            "was made of"
        )
    strange = [name for name, block in engine.manifest.blocks.items() if block.runtime != "onnx"]
    if strange:
        raise ExportError(
            f"{engine.root}: block {strange[0]!r} is not for ONNX Runtime; give the engine it was built from"
        )


def changed_blocks(manifest: Manifest) -> list[str]:
    """The blocks whose files differ between the forms."""
    return [name for name, spec in manifest.blocks.items() if name == LANGUAGE_MODEL or has_form(spec.precision)]


def copy_others(engine: Engine, root: Path, blocks: Collection[str], progress: Progress) -> None:
    """All files but those of `blocks`."""
    own = {spec.path for block in blocks for spec in engine.manifest.blocks[block].files}
    others = [spec for spec in engine.manifest.files() if spec.path not in own]
    for index, spec in enumerate(others):
        progress("copying", index, len(others))
        (root / spec.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(engine.path(spec), root / spec.path)


def _write(engine: Engine, root: Path, form: Form, progress: Progress) -> None:
    manifest, blocks = engine.manifest, dict(engine.manifest.blocks)
    for name in changed_blocks(manifest):
        blocks[name] = write_block(engine, name, root, GRAPHS[form], form, progress)
    manifest = msgspec.structs.replace(manifest, blocks=blocks, form=form)
    write_manifest(root, manifest)
    progress("measuring", 0, 1)
    for name, measured in measure_all(root, changed_blocks(manifest)).items():
        blocks[name] = msgspec.structs.replace(blocks[name], footprint=measured.footprint)
    write_manifest(root, msgspec.structs.replace(manifest, blocks=blocks))


def write_block(
    engine: Engine, name: str, root: Path, decoder: type[DecoderGraph], form: Form, progress: Progress
) -> BlockSpec:
    """Write one of `changed_blocks` in a form, the language model as `decoder` lays it out, into `root`.

    Returns its entry of a manifest, without footprint.
    """
    spec = engine.manifest.blocks[name]
    place = spec.files[0].path
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    if name == LANGUAGE_MODEL:
        spec = _write_language_model(engine, root / place, decoder, progress)
    else:
        progress(name, 0, 1)
        write_products(engine.path(spec.files[0]), root / place, form, spec.precision)
    files = tuple(describe_file(root, file) for file in (place, f"{place}.data"))
    return msgspec.structs.replace(spec, files=files, footprint=None)


def _write_language_model(engine: Engine, path: Path, decoder: type[DecoderGraph], progress: Progress) -> BlockSpec:
    """Write the decoder; its record with the inputs and outputs of the form."""
    manifest, spec = engine.manifest, engine.manifest.blocks[LANGUAGE_MODEL]
    weights = EngineWeights(engine.path(spec.files[0]))
    graph = decoder(path, sizes_of(manifest, weights.epsilon), spec.precision, weights)
    done = iter(range(1, manifest.sizes.layers + 1))
    graph.write(lambda: progress("language model", next(done), manifest.sizes.layers))
    return msgspec.structs.replace(spec, inputs=tuple(graph.graph.inputs), outputs=tuple(graph.graph.outputs))


def sizes_of(manifest: Manifest, epsilon: float) -> DecoderSizes:
    """The decoder's sizes, most of which the manifest has."""
    s = manifest.sizes
    return DecoderSizes(s.layers, s.hidden, s.heads, s.kv_heads, s.head_dim, s.vocabulary, epsilon)


def checked(root: Path, device: str) -> list[Check]:
    """The checks of the new engine; ExportError when it fails one."""
    try:
        checks = verify(Model.open(root, device))
    except GeoPixelError as error:
        raise ExportError(f"nothing was published: the engine that was built does not run: {error}") from error
    if failed := [f"{one.block} {one.quantity}" for one in checks if not one.passed]:
        raise ExportError(
            f"nothing was published: {', '.join(failed)} of the engine that was built differ; report this"
        )
    return checks
