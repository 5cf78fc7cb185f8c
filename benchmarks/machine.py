"""Which libraries an engine was run by, told without those it does not need; the machine's GPU, driver and board."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from geopixel_edge.cli.board import read_board
from geopixel_edge.engine.manifest import Manifest
from geopixel_edge.runtimes.cuda_facts import cuda_facts, driver_version


def runtimes(manifest: Manifest) -> dict[str, str]:
    """Versions of the runtimes that the blocks name."""
    found = {block.runtime: block.plan.version for block in manifest.blocks.values() if block.plan is not None}
    if any(block.plan is None for block in manifest.blocks.values()):
        import onnxruntime  # not above: the pipeline has loaded it, with its telemetry off

        found["onnxruntime"] = onnxruntime.__version__
    return found


def gpu_machine() -> dict[str, Any]:
    """Driver, newest CUDA it serves, GPUs; on a Jetson the board with its JetPack and power mode."""
    facts, board = cuda_facts(), read_board()
    return {
        "driver": driver_version() or None,
        "cuda": list(facts.served) if facts.served else None,
        "gpus": [asdict(gpu) for gpu in facts.gpus],
        "board": asdict(board) if board else None,
    }
