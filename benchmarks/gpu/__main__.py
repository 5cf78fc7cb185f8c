"""`python -m benchmarks.gpu ENGINE`: blocks and whole answers on an NVIDIA GPU, beside floors and torch."""

from __future__ import annotations

import argparse
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.scale.shapes import GEOPIXEL_7B, Shapes
from geopixel_edge import Pipeline, __version__
from geopixel_edge.cli.command import run_command
from geopixel_edge.cli.streams import write_json
from geopixel_edge.engine.directory import Engine
from geopixel_edge.engine.golden_files import read_golden

from ..machine import gpu_machine, runtimes
from ..power import find_reader
from . import blocks, fidelity, rates, report, whole

PEERS = ("torch", "torch-compiled", "ort")
EPILOG = """\
examples:
  python -m benchmarks.gpu engine
  python -m benchmarks.gpu engine --against torch,torch-compiled --json
  python -m benchmarks.gpu engine --float32 exact             # and how far each block is from the float32 engine's
  python -m benchmarks.gpu orin --against ort --onnx engine   # TensorRT's plans beside ONNX Runtime's CUDA provider
"""


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything asked for; plain values for JSON, seconds, bytes, watts and joules."""
    truth = None if args.float32 is None else _truth(args.float32)
    rate, reader = rates.measured(), find_reader(_index(args.device))
    with Pipeline(args.engine_dir, device=args.device) as pipe:
        model = pipe.model
        sizes, manifest = model.manifest.sizes, model.manifest
        shapes = Shapes(sizes.hidden, args.intermediate, sizes.layers, sizes.heads, sizes.kv_heads, sizes.vocabulary)
        matrix, memory = (None, None) if rate is None else (rate["matrix_flop_per_s"], rate["memory_bytes_per_s"])
        found: dict[str, Any] = {
            "environment": _environment(pipe),
            "precision": {name: block.precision.name for name, block in manifest.blocks.items()},
            "shapes": asdict(shapes),
            "rates": rate,
            "fidelity": None if truth is None else fidelity.compared(model, truth),
            "decode": blocks.decode(model, shapes, memory, args.repeat),
            "prefill": blocks.prefill(model, shapes, matrix, 3),
            "blocks": blocks.encoders(model, matrix, args.repeat),
            "whole_answer": {"ours": whole.ours(pipe, reader)},
        }
    answer = found["whole_answer"]["ours"]
    for peer in args.against:
        told = _peer(args, peer, shapes, answer)
        found["whole_answer"][peer] = told
        found["whole_answer"][f"ratio_{peer}"] = told["seconds"] / answer["seconds"]
    return found


def _truth(engine_dir: Path) -> fidelity.Answered:
    """What the float32 engine says of its golden picture."""
    _, _, picture = read_golden(Engine(engine_dir))
    return fidelity.answered(engine_dir, picture, whole.QUERY, hd_num=4, new_tokens=whole.NEW_TOKENS)


def _peer(args: argparse.Namespace, peer: str, shapes: Shapes, answer: dict[str, Any]) -> dict[str, Any]:
    """The same answer by torch on random weights of this size, or by ONNX Runtime on an engine of its own."""
    if peer == "ort":
        with Pipeline(args.onnx, device=args.device) as pipe:
            return {**runtimes(pipe.engine.manifest), **whole.ours(pipe, find_reader(_index(args.device)))}
    return whole.torchs(shapes, answer["prompt_tokens"], answer["new_tokens"], blocks.VIEWS, peer != "torch")


def _index(device: str) -> int:
    return int(device.partition(":")[2] or 0)


def _environment(pipe: Pipeline) -> dict[str, Any]:
    facts = {
        "geopixel_edge": __version__,
        **runtimes(pipe.engine.manifest),
        "python": platform.python_version(),
        "device": pipe.placement,
        **gpu_machine(),
    }
    try:
        import torch
    except ImportError:
        return facts
    if torch.cuda.is_available():
        facts |= {"torch": torch.__version__, "gpu": torch.cuda.get_device_name(0)}
    return facts


def _peers(words: str) -> list[str]:
    """Peers of one word of the command line, which commas may divide."""
    found = [word for word in words.split(",") if word]
    if strange := [word for word in found if word not in PEERS]:
        raise argparse.ArgumentTypeError(f"{strange[0]!r} is none of {', '.join(PEERS)}")
    return found


def main(argv: list[str] | None = None) -> int:
    """Measure, and print tables or JSON; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("engine_dir", type=Path, metavar="ENGINE")
    parser.add_argument("--device", default="cuda", help="cuda (default) or cuda:N")
    parser.add_argument(
        "--against",
        nargs="*",
        type=_peers,
        metavar="PEER",
        help=f"peers of the whole answer, of {', '.join(PEERS)} (default: torch)",
    )
    parser.add_argument("--repeat", type=int, default=20, help="counted runs of each block (default: 20)")
    parser.add_argument("--intermediate", type=int, default=GEOPIXEL_7B.intermediate, help="width of the feed-forward")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--onnx", type=Path, metavar="DIR", help="the ONNX engine that the peer `ort` runs")
    parser.add_argument(
        "--float32", type=Path, metavar="DIR", help="the same checkpoint at fp32, run on the CPU: blocks are held to it"
    )
    args = parser.parse_args(argv)
    args.against = ["torch"] if args.against is None else [peer for peers in args.against for peer in peers]
    if ("ort" in args.against) != (args.onnx is not None):
        parser.error("--against ort and --onnx go together: give both or neither")
    found = measure(args)
    if args.json:
        write_json(found)
    else:
        print(report.text(found))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
