"""`geopixel-edge verify`: hashes, and every block against its golden values."""

from __future__ import annotations

import argparse

from .arguments import add_engine, add_json, add_machine
from .streams import write_json

SUMMARY = "check an engine's hashes and compare every block with its golden values"
EXIT_MISMATCH = 4


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_json(parser)
    add_engine(parser)
    add_machine(parser)


def run(args: argparse.Namespace) -> int:
    """Verify and print every check; returns the exit code."""
    from dataclasses import asdict

    from ..engine.golden import NO_RECORD, verify
    from ..pipeline import Pipeline
    from .describe import describe_checks

    pipeline = Pipeline(args.engine, device=args.device, threads=args.threads, memory=args.memory)
    checks = verify(pipeline.model)
    passed = all(check.passed for check in checks)
    lacks = all(check.drift is None for check in checks)  # TensorRT's plans are held to torch alone
    notes = [NO_RECORD] if lacks and all(one.plan is None for one in pipeline.model.manifest.blocks.values()) else []
    if args.json:
        rows = [{**asdict(check), "passed": check.passed} for check in checks]
        write_json({"engine_dir": str(pipeline.engine.root), "passed": passed, "checks": rows, "notes": notes})
    else:
        print(describe_checks(checks))
        for note in notes:
            print(f"note: {note}")
        print("every file and every block is as exported" if passed else "this engine does not give its golden values")
    return 0 if passed else EXIT_MISMATCH
