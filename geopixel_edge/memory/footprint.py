"""What a block takes in memory, measured in a process of its own: its weights, and how a run grows with its sizes.

`python -m geopixel_edge.memory.footprint ENGINE BLOCK` prints one JSON object.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from ..engine.directory import Engine, manifest_digest, read_manifest
from ..engine.manifest import BlockSpec, Footprint, Term
from ..engine.names import PAST, PRESENT, SEQLENS_K, TOTAL_LENGTH
from ..resources import return_heap
from ..runtimes import Runner, Tensor
from ..runtimes.host import HostDevice
from ..runtimes.loading import load_block, load_first_piece, weights_left_out
from ..runtimes.onnx_import import import_onnxruntime
from .parts import PARTS
from .sparing import LARGE_BYTES

log = logging.getLogger(__name__)
# The longest cache that the language model is measured with: a runtime that keeps attention's scores then takes more
# for them than for the feed-forward layer, below which they would not show. (ONNX Runtime 1.32 keeps none on a CPU.)
_LONG = 8192
# Sizes to run each block at, ascending, and the products of them that its memory is a sum of. Linear in few terms, so
# that small runs say what large ones take.
_RUNS: dict[str, tuple[tuple[dict[str, int], ...], tuple[tuple[str, ...], ...]]] = {
    "vision_encoder": (({"n": 1}, {"n": 2}), ((), ("n",))),
    "grounding_encoder": (({},), ((),)),
    "pixel_decoder": (({"n": 1}, {"n": 2}, {"n": 4}), ((), ("n",))),
    "language_model": (
        tuple(
            {"B": 1, "S": rows, "capacity": capacity, "image_rows": rows, "output_rows": 1}
            for rows, capacity in ((1, 256), (64, 256), (256, 256), (256, _LONG))
        ),
        ((), ("S",), ("S", "capacity")),
    ),
}
_STATUS = Path("/proc/self/status")
_RESET_PEAK = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Measured:
    """A block's footprint, and what the process that measured it had resident at most."""

    footprint: Footprint
    peak_bytes: int


def measure_all(root: Path, blocks: Sequence[str] = ()) -> dict[str, Measured]:
    """The footprint of every block of an engine, or of `blocks`; {} where the system does not tell.

    Each is measured in a fresh process.

    A block that cannot be measured is left out, and a warning says why: plans then go by the size of its files. Of a
    large one the first piece is measured, and its weights taken to grow with their bytes.
    """
    if not _STATUS.is_file():
        return {}
    found = {}
    for block in blocks or read_manifest(root).blocks:
        command = [sys.executable, "-m", "geopixel_edge.memory.footprint", str(root), block]
        done = subprocess.run(command, capture_output=True)
        if done.returncode:
            log.warning("the memory of %s is not measured: %s", block, done.stderr.decode().strip().rpartition("\n")[2])
            continue
        found[block] = msgspec.json.decode(done.stdout, type=Measured)
    return found


def _kilobytes(field: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1])


class _Meter:
    """Growth of this process, and its highest resident memory although each measurement begins anew."""

    def __init__(self) -> None:
        self._highest = 0

    @property
    def peak_bytes(self) -> int:
        self._highest = max(self._highest, _kilobytes("VmHWM") * 1024)
        return self._highest

    def peak_of(self, action: Callable[[], object]) -> int:
        """Bytes by which the process grew at most while `action` ran."""
        self._highest = self.peak_bytes
        before = _kilobytes("VmRSS")
        _RESET_PEAK.write_text("5")
        action()
        return max(0, _kilobytes("VmHWM") - before) * 1024


class _Written(Engine):
    """An engine whose files were written a moment ago, and which is not read whole to be verified for each block."""

    def __init__(self, root: Path) -> None:
        self.root, self.manifest, self.damage = root.absolute(), read_manifest(root), None
        self.digest = manifest_digest(root)


def measure(root: Path, block: str) -> Measured:
    """Load one block here and run it at several sizes, the smallest first: its arena keeps what it once had."""
    engine, device, meter = _Written(root), HostDevice(), _Meter()
    spec = engine.manifest.blocks[block]
    import_onnxruntime()
    _warm_up(engine, block, device)
    before = _kilobytes("VmRSS")
    if spec.bytes > LARGE_BYTES:
        runner, share = load_first_piece(engine, block, device)
    else:
        runner, share = load_block(engine, block, device, None), 1.0
    grown = max(0, _kilobytes("VmRSS") - before) * 1024
    weights = max(int(grown / share), spec.bytes)
    runs, products = _RUNS[block]
    runs = tuple({**sizes, **_bounded(sizes, engine.manifest.sizes.max_positions)} for sizes in runs)
    peaks = _peaks(runner, runs, device, meter)
    spared = spared_by_parts(engine, block) if block == "language_model" else {}
    footprint = Footprint(weights_bytes=weights, workspace=fitted(runs, products, peaks), spared=spared)
    return Measured(footprint, meter.peak_bytes)


def spared_by_parts(engine: Engine, block: str) -> dict[str, int]:
    """Bytes of the weights that each part does without; none for a form whose graph is not cut."""
    if engine.manifest.form != "ready" or engine.manifest.blocks[block].runtime != "onnx":
        return {}
    return {part: weights_left_out(engine, block, cut) for part, cut in PARTS.items()}


def _bounded(sizes: Mapping[str, int], most: int) -> dict[str, int]:
    """The cache's length within the positions that the model knows."""
    return {"capacity": min(sizes["capacity"], most)} if "capacity" in sizes else {}


def _peaks(runner: Runner, runs: Sequence[Mapping[str, int]], device: HostDevice, meter: _Meter) -> list[int]:
    """What a run takes at most at each size, with what the arena kept of those before."""
    grown, peaks = 0, []
    for sizes in runs:
        feeds, into = _tensors(runner.spec, device, sizes)
        start = _kilobytes("VmRSS")
        peak = meter.peak_of(partial(runner.run, feeds, into))
        peaks.append(grown + peak)
        grown += max(0, _kilobytes("VmRSS") - start) * 1024
    return peaks


def _warm_up(engine: Engine, block: str, device: HostDevice) -> None:
    """Load, run and free the smallest other block: what a runtime takes once is the process's, not the block's."""
    others = {name: spec for name, spec in engine.manifest.blocks.items() if name != block}
    name = min(others, key=lambda one: others[one].bytes)
    runner = load_block(engine, name, device, None)
    runner.run(*_tensors(others[name], device, _RUNS[name][0][0]))
    runner.close()
    del runner
    return_heap(collecting=True)  # else what it leaves would be reused unseen


def _tensors(
    spec: BlockSpec, device: HostDevice, sizes: Mapping[str, int]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs, touched now so that they are not counted as the block's, and the outputs that are written in place."""
    feeds = {one.name: device.zeros(one.dtype, _shape(one.shape, sizes)) for one in spec.inputs}
    for name, tensor in feeds.items():
        tensor.numpy()[...] = _fed(name, sizes)
    return feeds, {name.replace(PAST, PRESENT): feeds[name] for name in feeds if name.startswith(PAST)}


def _fed(name: str, sizes: Mapping[str, int]) -> int:
    """What an input is filled with: the ready form's lengths are those of a run that ends where the cache does."""
    return {SEQLENS_K: sizes.get("capacity", 1) - 1, TOTAL_LENGTH: sizes.get("capacity", 1)}.get(name, 0)


def _shape(shape: Sequence[int | str], sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(sizes[side] if isinstance(side, str) else side for side in shape)


def fitted(
    runs: Sequence[Mapping[str, int]], products: Sequence[tuple[str, ...]], peaks: Sequence[int]
) -> tuple[Term, ...]:
    """Non-negative terms that cover every measured peak: least squares, then raised until none is above them."""
    columns = np.array([[float(np.prod([sizes[name] for name in product])) for product in products] for sizes in runs])
    wanted = np.array(peaks, np.float64)
    used = list(range(len(products)))
    while used:
        found = np.linalg.lstsq(columns[:, used], wanted, rcond=None)[0]
        if found.min() >= 0:
            break
        used.pop(int(found.argmin()))
    found = found if used else np.zeros(0)
    short = max(0.0, float((wanted - columns[:, used] @ found).max()))
    sums = {products[index]: float(value) for index, value in zip(used, found, strict=True)}
    sums[()] = sums.get((), 0.0) + short
    return tuple(Term(bytes=round(value, 1), dims=product) for product, value in sums.items() if value > 0)


def main(argv: Sequence[str]) -> None:
    """Measure the block that the arguments name, and print its footprint as JSON."""
    root, block = argv
    sys.stdout.buffer.write(msgspec.json.encode(measure(Path(root), block)))


if __name__ == "__main__":
    main(sys.argv[1:])
