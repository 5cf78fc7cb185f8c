"""`geopixel-edge info`: what an engine directory holds, without loading it."""

from __future__ import annotations

import argparse

from .arguments import add_engine, add_json
from .streams import write_json

SUMMARY = "show what an engine directory holds, without loading it"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_json(parser)
    add_engine(parser)


def run(args: argparse.Namespace) -> int:
    """Print the manifest; returns the exit code."""
    import msgspec

    from ..engine import BUNDLED
    from ..engine.directory import read_manifest
    from .describe import describe

    root = args.engine or BUNDLED
    manifest = read_manifest(root)
    if args.json:
        write_json({**msgspec.to_builtins(manifest), "precision": manifest.precision})
    else:
        print(describe(root, manifest))
    return 0
