"""The exporter's command: `geopixel-edge export` finds it by its entry point, `python -m export` in a clone calls it.

Importing this module loads neither torch nor NumPy nor onnx; they load when there is work to do.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from geopixel_edge.cli.streams import write_json
from geopixel_edge.errors import ExportError, GeoPixelError, RuntimeUnavailableError
from geopixel_edge.kernels.native import load

from .usage import Usage

if TYPE_CHECKING:
    from geopixel_edge.engine.golden import Check

SUMMARY = "turn a GeoPixel checkpoint into an engine directory"
EPILOG = """\
examples:
  geopixel-edge export GeoPixel-7B engine --precision fp16
  geopixel-edge export GeoPixel-7B engine --precision int8 --overwrite --json
  geopixel-edge export GeoPixel-7B engine --precision language_model=int8,*=fp16
  geopixel-edge export GeoPixel-7B engine --adapter finetuned
  geopixel-edge export GeoPixel-7B engine --precision int4 --calibrate pictures

precisions:
  fp32, fp16    of weights and arithmetic
  int8          of weights; those of products stay so in memory, and activations are rounded before each product
  int8-exact    of weights; those of products stay so in memory, arithmetic is float32: small and slow
  int8-widened  of weights on disk; they become float32 when loaded, and arithmetic is float32
  int4          the recommended mix: the language model int4 with its head and partial LoRA int8, encoders int8
  int4:32, :64, :128  of the language model's weights, by how many inputs share a scale (128 where none is named)
  int4-exact, -fp16   the same with float32 or float16 arithmetic, as int4:64-fp16
  language_model.head, .lora at int8 or int4, .embeddings at int8, fp16 or fp32, .kv (the cache) at fp32 or fp16

exit codes:
  0  published                                 5  a package that the export needs is missing, or the C++ kernels are
  2  usage                                     6  nothing was published
  4  checkpoint or adapter cannot be used    130  interrupted
"""
_INTERRUPTED = 130
# The top-level modules of the extra `export`, onnxscript included, which torch loads in the middle of an export.
_NEEDED = ("torch", "transformers", "onnx", "onnx_ir", "onnxscript", "google", "safetensors", "tqdm")
_DISTRIBUTIONS = {"google": "protobuf", "onnx_ir": "onnx-ir"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments to a parser."""
    parser.add_argument(
        "checkpoint",
        type=Path,
        metavar="CHECKPOINT",
        help="Hugging Face directory: config.json, weights, tokenizer.model",
    )
    parser.add_argument("engine_dir", type=Path, metavar="ENGINE", help="directory to create")
    parser.add_argument(
        "--precision",
        type=_precision,
        default="fp32",
        metavar="P",
        help="fp32 (default), fp16, int8, int8-widened or int4, or one for each block: language_model=int4:64,*=fp16",
    )
    parser.add_argument(
        "--form",
        choices=("ready", "portable"),
        default="ready",
        help="the language model's: for ONNX Runtime (default), or in standard operators, as TensorRT takes it",
    )
    parser.add_argument(
        "--adapter",
        type=Path,
        metavar="PATH",
        help="merge what fine-tuning left: a PEFT LoRA directory, or the pytorch_model.bin of the wrapped model",
    )
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="DIR",
        help="choose int4's scales by how loud each input is on the pictures in DIR, at most 16 of them",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an engine directory that exists")
    parser.add_argument("--json", action="store_true", help="print the measured distances, time and memory as JSON")
    parser.add_argument("--verbose", action="store_true", help="log each step")


def _precision(text: str) -> str:
    """`text` when it can be read; argparse makes a usage error of the message otherwise."""
    from .precision import parse_precision

    try:
        parse_precision(text)
    except ExportError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def run(args: argparse.Namespace) -> int:
    """Export, print what was measured and return the exit code.

    RuntimeUnavailableError when a package of the extra `export` or the C++ kernels are missing; CheckpointError and
    ExportError as `export_engine` raises them. SIGINT and SIGTERM leave nothing behind.
    """
    logging.basicConfig(level=logging.INFO if args.verbose else logging.WARNING, format="%(levelname)s %(message)s")
    signals: list[int] = []
    try:
        with _interrupted_by(signals):
            checks, usage = run_export(args, signals)
    except (KeyboardInterrupt, GeoPixelError) as error:
        # A library below may make an error of its own out of an interruption.
        if isinstance(error, GeoPixelError) and not signals:
            raise
        print("interrupted: nothing was published", file=sys.stderr)
        return _INTERRUPTED
    if args.json:
        told = {"engine_dir": str(args.engine_dir), "seconds": round(usage.seconds, 1), "peak_bytes": usage.peak_bytes}
        write_json({**told, "checks": [asdict(check) for check in checks]}, indent=1)
        return 0
    print(f"{'block':<20}{'quantity':<16}{'distance to torch':>18}{'allowed':>10}")
    for check in checks:
        print(f"{check.block:<20}{check.quantity:<16}{check.distance:>18.1e}{check.tolerance:>10.0e}")
    peak = f", at most {usage.peak_bytes / 1e9:.2f} GB of memory" if usage.peak_bytes else ""
    print(f"published {args.engine_dir} in {usage.seconds:.0f} s{peak}")
    return 0


def run_export(args: argparse.Namespace, signals: list[int]) -> tuple[list[Check], Usage]:
    """Export as asked for; one of the `signals` that came meanwhile ends it between two steps."""
    load()  # the last check of an export runs the engine; whether it can is known now, not hours later
    for name in _NEEDED:
        if importlib.util.find_spec(name) is None:
            _unavailable(_DISTRIBUTIONS.get(name, name), "is not installed")
    try:
        from .publish import export_engine
    except ImportError as error:  # found, yet a part of it or something it stands on is missing
        _unavailable(error.name or str(error), f"cannot be loaded ({error})")
    usage = Usage()
    checks = export_engine(
        args.checkpoint,
        args.engine_dir,
        args.precision,
        args.overwrite,
        args.adapter,
        args.form,
        usage,
        args.calibrate,
        lambda: bool(signals),
    )
    return checks, usage


def _unavailable(name: str, state: str) -> NoReturn:
    raise RuntimeUnavailableError(f"{name} {state}, which the export needs; pip install 'geopixel-edge[export]'")


@contextlib.contextmanager
def _interrupted_by(signals: list[int]) -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that what was written aside is removed; `signals` lists what came."""

    def interrupt(number: int, frame: object) -> None:
        signals.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only there can a handler be set
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
