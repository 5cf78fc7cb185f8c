"""What an engine directory needs of the machine, told from its manifest: its files are not opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..engine.directory import read_manifest
from ..engine.manifest import BlockSpec, EnginePlan, Manifest
from ..errors import GeoPixelError
from ..memory.preview import preview
from ..runtimes.cuda_facts import GpuFacts
from ..runtimes.tensorrt_import import MODULES, REMEDIES
from .finding import Finding
from .terminal import human_bytes

BUILD = "build it again on this machine: geopixel-edge build ENGINE OUT --runtime {}"
_USUAL = {"image": None, "size": None, "hd_num": 9, "max_new_tokens": 1024, "batch": 1, "memory": None}


@dataclass(frozen=True)
class Machine:
    """What there is: versions by runtime ("onnx" among them), GPUs, and bytes of memory."""

    versions: Mapping[str, str]
    gpus: tuple[GpuFacts, ...]
    memory_bytes: int


def runtimes_of(place: Path) -> set[str]:
    """The runtimes that an engine's blocks name; none where it cannot be read."""
    try:
        return {block.runtime for block in read_manifest(place).blocks.values()}
    except GeoPixelError:
        return set()


def examine_engine(place: Path, machine: Machine) -> Finding:
    """One line: its runtimes, sizes and the memory it is planned to take; not ok where it cannot run here, and why."""
    name = f"engine {place.name}"
    try:
        manifest = read_manifest(place)
        peak = preview(place, **_USUAL).peak_bytes  # type: ignore[arg-type]
    except GeoPixelError as error:
        return Finding(name, "cannot be used", False, str(error))
    wanted = ", ".join(sorted({_needs(block) for block in manifest.blocks.values()}))
    size = human_bytes(sum(spec.bytes for spec in manifest.files()))
    notes = "" if manifest.verified else ", to be verified at its first load"
    value = f"{wanted}; {size}, planned to take {human_bytes(peak)}{notes}"
    problem = _problem(manifest, machine) or _too_large(place, peak, machine, manifest)
    return Finding(name, value, not problem, problem)


def _needs(block: BlockSpec) -> str:
    if block.plan is None:
        return block.runtime
    return f"{block.runtime} {block.plan.version} on compute capability {block.plan.sm / 10:.1f}"


def _problem(manifest: Manifest, machine: Machine) -> str:
    """Why its blocks do not run here; "" where they do."""
    for block in manifest.blocks.values():
        here = machine.versions.get(block.runtime)
        if block.runtime not in {"onnx", *MODULES}:
            return f"runtime {block.runtime!r} is none of this version's: upgrade geopixel-edge"
        if here is None:
            return f"{block.runtime} is not here: {REMEDIES.get(block.runtime, 'pip install onnxruntime')}"
        if block.plan is not None and (told := _foreign(block.plan, here, machine.gpus)):
            return f"{told}: {BUILD.format(block.runtime)}"
    return ""


def _foreign(plan: EnginePlan, here: str, gpus: tuple[GpuFacts, ...]) -> str:
    if plan.version != here:
        return f"{here} is installed, and no other version loads its plans"
    if plan.sm not in {gpu.sm for gpu in gpus}:
        return "no GPU here has its compute capability"
    return ""


def _too_large(place: Path, peak_bytes: int, machine: Machine, manifest: Manifest) -> str:
    planned = any(block.plan is not None for block in manifest.blocks.values())
    memory = max((gpu.total_bytes for gpu in machine.gpus), default=0) if planned else machine.memory_bytes
    if peak_bytes <= memory:
        return ""
    return f"that is more than the {human_bytes(memory)} here: see what less would do, geopixel-edge plan {place}"
