"""An engine whose products are float8, from one of float16: what TensorRT makes plans of for Ada, Hopper and newer."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from ..arrays import Array
from ..engine.digests import describe_file
from ..engine.directory import Engine, read_manifest, write_manifest
from ..engine.golden import Check, measure
from ..engine.golden_files import GOLDEN_FILES, RECORD_FILE, read_golden
from ..engine.precision import FLOAT8
from ..engine.publish import aside, check_target, clear_leftovers, publish
from ..errors import ExportError, OptionError
from ..memory.footprint import measure_all
from ..memory.residency import Residency
from ..model import Model
from ..runtimes import NONE, Runner, Tensor
from ..runtimes.cut import WHOLE, Cut
from . import float8
from .forms import Progress, check_room, checked, copy_others

BLOCKS = ("vision_encoder", "language_model", "grounding_encoder")


def build_float8(
    source: Path,
    target: Path,
    blocks: Sequence[str],
    overwrite: bool = False,
    progress: Progress = lambda step, done, total: None,
) -> list[Check]:
    """Write `source`, a portable ONNX engine, to `target` with the products of `blocks` in float8; the checks passed.

    How loud their rows are is measured on the golden picture; the distance to torch's values is measured and stated
    anew, and bounded. OptionError for a block or an engine that cannot be used so; ExportError for a target that
    exists, a full disk or a failed check.
    """
    target = Path(os.path.abspath(target))
    clear_leftovers(target)
    check_target(target, overwrite)
    engine = Engine(source)
    _check(engine, blocks)
    with aside(target) as root:
        check_room(engine, target, root)
        progress("measuring how loud rows are", 0, 1)
        loudest = loudest_of(source, blocks)
        copy_others(engine, root, blocks, progress)
        written = dict(engine.manifest.blocks)
        for index, name in enumerate(blocks):
            progress(f"rounding {name}", index, len(blocks))
            written[name] = _write(engine, name, root, loudest[name])
        _forget_record(engine, root)
        golden = tuple(describe_file(root, spec.path) for spec in engine.manifest.golden if spec.path != RECORD_FILE)
        write_manifest(root, msgspec.structs.replace(engine.manifest, blocks=written, golden=golden))
        progress("checking", 0, 1)
        _measure(root, blocks)
        checks = checked(root, "cpu")
        publish(root, target, overwrite)
    return checks


def _check(engine: Engine, blocks: Sequence[str]) -> None:
    manifest = engine.manifest
    for name in blocks:
        if name not in BLOCKS:
            raise OptionError(f"float8={name!r}: no block that float8 is for; give some of {','.join(BLOCKS)}")
        spec = manifest.blocks[name]
        if spec.runtime != "onnx" or manifest.form != "portable":
            raise OptionError(
                f"{engine.root} is not in the portable form; run `geopixel-edge build {engine.root} portable --form "
                "portable`, and give what it writes"
            )
        if spec.precision.weights != "float16":
            raise OptionError(
                f"float8={name!r}: its weights are {spec.precision.weights} in {engine.root}; give an engine "
                "exported with fp16"
            )


def _write(engine: Engine, name: str, root: Path, loudest: Mapping[str, float]) -> Any:
    spec = engine.manifest.blocks[name]
    place = spec.files[0].path
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    float8.write_float8(engine.path(spec.files[0]), root / place, loudest)
    files = tuple(describe_file(root, file) for file in (place, f"{place}.data"))
    precision = msgspec.structs.replace(FLOAT8, parts=spec.precision.parts)
    return msgspec.structs.replace(spec, files=files, precision=precision, footprint=None)


def _forget_record(engine: Engine, root: Path) -> None:
    """The second golden record is of other weights; distance alone is held to."""
    facts = msgspec.structs.replace(read_golden(engine)[0], record=None)
    (root / GOLDEN_FILES["facts"]).write_bytes(msgspec.json.format(msgspec.json.encode(facts)))
    (root / RECORD_FILE).unlink(missing_ok=True)


def _measure(root: Path, blocks: Sequence[str]) -> None:
    """Footprints, and each block's distance to torch; ExportError for one that is beyond its precision's tolerance."""
    manifest = read_manifest(root)
    specs = dict(manifest.blocks)
    for name, measured in measure_all(root, blocks).items():
        specs[name] = msgspec.structs.replace(specs[name], footprint=measured.footprint)
    with closing(Model.open(root, "cpu")) as model:
        checks, _ = measure(model)
    if failed := [check for check in checks if not check.passed]:
        told = "; ".join(f"{one.block} {one.quantity} is {one.distance:.2e} off" for one in failed)
        raise ExportError(f"nothing was published: {told}; leave that block at float16")
    distance: dict[str, float] = {}
    for check in checks:
        distance[check.block] = max(distance.get(check.block, 0.0), check.distance)
    write_manifest(root, msgspec.structs.replace(manifest, blocks=specs, distance=distance))


def loudest_of(source: Path, blocks: Sequence[str]) -> dict[str, dict[str, float]]:
    """The largest number in the rows of every product, by block, while the golden picture is answered."""

    class Recording(Residency):
        """Runners whose inputs are kept."""

        def load(self, wanted: frozenset[str], cut: Cut = WHOLE) -> Mapping[str, Runner]:
            super().load(wanted, cut)
            for name in set(blocks) & self._runners.keys():
                if not isinstance(self._runners[name], _Recorder):
                    self._runners[name] = _Recorder(self._runners[name], feeds[name])
            return self._runners

    class Recorded(Model):
        residency_kind = Recording

    feeds: dict[str, list[dict[str, Array]]] = {name: [] for name in blocks}
    with closing(Recorded.open(source, "cpu")) as model:
        measure(model)
        files = {name: model.engine.path(model.manifest.blocks[name].files[0]) for name in blocks}
    found: dict[str, dict[str, float]] = {}
    for name, path in files.items():
        with tempfile.TemporaryDirectory() as folder:
            probe = Path(folder) / path.name
            rows = float8.write_probe(path, probe)
            seen = [float8.loudest_in(probe, path, rows, one) for one in feeds[name]]
        found[name] = {row: max(one[row] for one in seen) for row in rows}
    return found


class _Recorder:
    """A runner that keeps what it is given."""

    def __init__(self, runner: Runner, kept: list[dict[str, Array]]) -> None:
        self._runner, self._kept = runner, kept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def run(
        self, feeds: Mapping[str, Tensor], into: Mapping[str, Tensor] = NONE, more_follow: bool = False
    ) -> dict[str, Tensor]:
        """Keep the feeds, and run."""
        self._kept.append({name: tensor.numpy().copy() for name, tensor in feeds.items()})
        return self._runner.run(feeds, into, more_follow)
