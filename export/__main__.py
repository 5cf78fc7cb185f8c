"""`python -m export` in a clone: the verb `geopixel-edge export` without the rest of the command line."""

from __future__ import annotations

import argparse
import sys

from geopixel_edge.cli.command import run_command

from . import verb


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code. A GeoPixelError becomes one line on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description=f"{verb.SUMMARY[0].upper()}{verb.SUMMARY[1:]}.",
        epilog=verb.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.configure(parser)
    return run_command(lambda: verb.run(parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
