"""Which libraries an engine was run by, told without those it does not need; the machine, its GPU, driver and board."""

from __future__ import annotations

import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

from geopixel_edge.cli.board import read_board
from geopixel_edge.cli.machine import usable_cores
from geopixel_edge.engine.manifest import Manifest
from geopixel_edge.runtimes.cuda_facts import cuda_facts, driver_version
from geopixel_edge.version import __version__


def runtimes(manifest: Manifest) -> dict[str, str]:
    """Versions of the runtimes that the blocks name."""
    found = {block.runtime: block.plan.version for block in manifest.blocks.values() if block.plan is not None}
    if any(block.plan is None for block in manifest.blocks.values()):
        import onnxruntime  # not above: the pipeline has loaded it, with its telemetry off

        found["onnxruntime"] = onnxruntime.__version__
    return found


def cpu_name() -> str:
    """As the system names it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def host_machine() -> dict[str, Any]:
    """The package, Python and the cores that a figure is of."""
    return {
        "geopixel_edge": __version__,
        "python": platform.python_version(),
        "cpu": cpu_name(),
        "cores": usable_cores(),
    }


def gpu_machine() -> dict[str, Any]:
    """Driver, newest CUDA it serves, GPUs; on a Jetson the board with its JetPack and power mode."""
    facts, board = cuda_facts(), read_board()
    return {
        "driver": driver_version() or None,
        "cuda": list(facts.served) if facts.served else None,
        "gpus": [asdict(gpu) for gpu in facts.gpus],
        "board": asdict(board) if board else None,
    }
