"""`geopixel-edge build`: an engine directory with its language model in another form, in float8, or for TensorRT."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
from .arguments import add_json
from .streams import write_json
from .terminal import human_bytes, table

if TYPE_CHECKING:
    from ..engine.golden import Check
    from ..engine.manifest import Form

Progress = Callable[[str, int, int], object]

SUMMARY = "make an engine directory of another form, or for TensorRT, from one, without the checkpoint"
EPILOG = """\
examples:
  geopixel-edge build engine portable --form portable   # standard operators, opset 24
  geopixel-edge build portable ready                    # for ONNX Runtime, weights quantised in memory as on disk
  geopixel-edge build engine rtx --runtime tensorrt-rtx --sm 86   # plans for GPUs of compute capability 8.6
  geopixel-edge build engine orin --runtime tensorrt    # on the board itself
  geopixel-edge build portable ada --float8             # products in float8, for GPUs of 8.9 and newer

Weights keep their numbers. The new engine must give its golden values, or nothing is published; plans for another GPU
are published unverified. TensorRT's plans are kept in .geopixel-edge-plans beside OUT: a build that was killed goes on.

exit codes:
  0  published                                 5  runtime, memory or thread is missing
  2  usage                                     6  nothing was published
  4  the engine directory cannot be used     130  interrupted
"""
TENSORRT_ONLY = ("blocks", "sm", "capacity", "memory", "plans")
_RETURN = "\r\x1b[K"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("engine", type=Path, metavar="ENGINE", help="the engine directory to build from")
    parser.add_argument("target", type=Path, metavar="OUT", help="directory to create")
    runtimes = ("onnx", "tensorrt", "tensorrt-rtx")
    parser.add_argument("--runtime", choices=runtimes, default="onnx", help="what is to run it (default: onnx)")
    parser.add_argument(
        "--form", choices=("ready", "portable"), help="of the language model, for ONNX Runtime (default: ready)"
    )
    parser.add_argument(
        "--float8",
        nargs="?",
        const="",
        metavar="NAMES",
        help="products of these blocks in float8, with commas between (default: all but the pixel decoder); ENGINE is "
        "a portable one of fp16, and OUT what TensorRT builds from",
    )
    tensorrt = parser.add_argument_group("TensorRT")
    tensorrt.add_argument("--blocks", metavar="NAMES", help="blocks to build, with commas between (default: all)")
    tensorrt.add_argument("--sm", type=int, metavar="N", help="compute capability, 86 for 8.6 (default: this GPU's)")
    tensorrt.add_argument(
        "--capacity", type=int, metavar="N", help="positions of the KV cache (default: 10 views' worth)"
    )
    tensorrt.add_argument(
        "--memory", metavar="SIZE", help="bound of the builder and of a plan's workspace, such as 8GB"
    )
    tensorrt.add_argument("--plans", type=Path, metavar="DIR", help="where plans are kept (default: beside OUT)")
    parser.add_argument("--overwrite", action="store_true", help="replace an engine directory that exists")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Build, check, publish, and print what was built and checked; returns the exit code."""
    shown = sys.stderr.isatty()
    done = (_run_onnx if args.runtime == "onnx" else _run_tensorrt)(args, _tell if shown else _be_quiet)
    if shown:
        sys.stderr.write(_RETURN)
    if args.json:
        write_json({"engine_dir": str(args.target), "runtime": args.runtime, **done.facts})
    else:
        print(done.text)
        print(f"published {args.target}{done.remark}")
    return 0


@dataclass(frozen=True)
class _Done:
    """What is told: facts as JSON, or a text, and a remark on what was published."""

    facts: dict[str, Any]
    text: str
    remark: str = ""


def _run_onnx(args: argparse.Namespace, progress: Progress) -> _Done:
    from ..build.forms import build_form
    from .describe import describe_checks

    if args.float8 is not None:
        return _run_float8(args, progress)
    if strange := [name for name in TENSORRT_ONLY if getattr(args, name) is not None]:
        raise OptionError(f"--{strange[0]} is for TensorRT; give --runtime tensorrt or tensorrt-rtx, or leave it out")
    form: Form = args.form or "ready"
    checks = build_form(args.engine, args.target, form, args.overwrite, progress)
    return _Done({"form": form, "checks": _rows(checks)}, describe_checks(checks))


def _run_float8(args: argparse.Namespace, progress: Progress) -> _Done:
    from ..build.float8_engine import BLOCKS, build_float8
    from .describe import describe_checks

    if strange := [name for name in ("form", *TENSORRT_ONLY) if getattr(args, name) is not None]:
        raise OptionError(f"--{strange[0]} has no effect beside --float8; leave it out, and build from OUT afterwards")
    blocks = tuple(name.strip() for name in args.float8.split(",")) if args.float8 else BLOCKS
    checks = build_float8(args.engine, args.target, blocks, args.overwrite, progress)
    return _Done({"form": "portable", "float8": list(blocks), "checks": _rows(checks)}, describe_checks(checks))


def _run_tensorrt(args: argparse.Namespace, progress: Progress) -> _Done:
    from ..build.tensorrt import blocks_of, build_tensorrt
    from ..build.tensorrt_builder import Wanted
    from ..memory.amount import parse_memory
    from .describe import describe_checks

    if args.form is not None:
        raise OptionError("--form is for ONNX Runtime; TensorRT's is chosen by its parser: leave it out")
    if args.float8 is not None:
        raise OptionError("--float8 makes an ONNX engine: leave --runtime out, and build plans from what it writes")
    wanted = Wanted(
        runtime=args.runtime,
        blocks=blocks_of(args.blocks),
        sm=args.sm,
        capacity=args.capacity,
        memory_bytes=parse_memory(args.memory),
        plans=args.plans,
        overwrite=args.overwrite,
    )
    report = build_tensorrt(args.engine, args.target, wanted, progress)
    facts = {**asdict(report), "verified": report.verified, "checks": _rows(report.checks)}
    rows = [
        (
            one.block,
            human_bytes(one.plan_bytes),
            f"{one.seconds:.1f} s",
            human_bytes(one.peak_bytes),
            one.kept and "kept",
        )
        for one in report.blocks
    ]
    text = table(("block", "plan", "built in", "peak memory", ""), [tuple(cell or "" for cell in row) for row in rows])
    if report.checks:
        return _Done(facts, f"{text}\n\n{describe_checks(list(report.checks))}")
    return _Done(facts, text, f", not verified: it is for a GPU of compute capability {report.sm}, which is not here")


def _rows(checks: Iterable[Check]) -> list[dict[str, Any]]:
    return [{**asdict(check), "passed": check.passed} for check in checks]


def _be_quiet(step: str, done: int, total: int) -> None:
    pass


def _tell(step: str, done: int, total: int) -> None:
    sys.stderr.write(f"{_RETURN}{step}" + (f" {done}/{total}" if total > 1 else ""))
    sys.stderr.flush()
