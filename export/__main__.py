"""`python -m export`: a GeoPixel checkpoint becomes an engine directory."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from geopixel_edge.errors import GeoPixelError

_EXAMPLES = """\
examples:
  python -m export GeoPixel-7B engine --precision fp16
  python -m export tests/data/tiny-geopixel/checkpoint build/engine --json

exit codes: 0 published, 2 usage, 4 the checkpoint cannot be used, 6 nothing was published, 130 interrupted
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export", description=__doc__, epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("checkpoint", type=Path, help="Hugging Face directory: config.json, weights, tokenizer.model")
    parser.add_argument("engine_dir", type=Path, help="directory to create")
    parser.add_argument("--runtime", choices=["onnx"], default="onnx", help="what will run the blocks (default: onnx)")
    parser.add_argument("--precision", choices=["fp32", "fp16", "int8"], default="fp32",
                        help="of weights and arithmetic; int8: of weights alone, arithmetic is float32")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace an engine directory that exists")
    parser.add_argument("--json", action="store_true", help="print the measured distances as JSON")
    parser.add_argument("--verbose", action="store_true", help="log each step")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO if args.verbose else logging.WARNING, format="%(levelname)s %(message)s")
    try:
        from .publish import export_engine  # torch loads only when there is work to do

        checks = export_engine(args.checkpoint, args.engine_dir, args.precision, args.overwrite)
    except GeoPixelError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: nothing was published", file=sys.stderr)
        return 130
    if args.json:
        rows = [asdict(check) for check in checks]
        print(json.dumps({"engine_dir": str(args.engine_dir), "checks": rows}, indent=1))
        return 0
    print(f"{'block':<20}{'quantity':<16}{'distance to torch':>18}{'allowed':>10}")
    for check in checks:
        print(f"{check.block:<20}{check.quantity:<16}{check.distance:>18.1e}{check.tolerance:>10.0e}")
    print(f"published {args.engine_dir}")
    return 0


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)  # so that what was written aside is removed
    sys.exit(main())
