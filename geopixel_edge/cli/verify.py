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

    from ..engine import BUNDLED
    from ..engine.first_load import verify_and_record
    from ..engine.golden import NO_RECORD
    from ..memory.amount import parse_memory
    from ..model import Model
    from .describe import describe_checks

    # Not a Pipeline: it would refuse an engine from another machine that fails, without saying all.
    model = Model.open(args.engine or BUNDLED, args.device, args.threads, parse_memory(args.memory))
    was_verified = model.manifest.verified
    checks = verify_and_record(model)
    passed = all(check.passed for check in checks)
    facts = {"engine_dir": str(model.engine.root), "passed": passed, "verified": model.manifest.verified}
    lacks = all(check.drift is None for check in checks)  # TensorRT's plans are held to torch alone
    notes = [NO_RECORD] if lacks and all(one.plan is None for one in model.manifest.blocks.values()) else []
    if args.json:
        rows = [{**asdict(check), "passed": check.passed} for check in checks]
        write_json({**facts, "checks": rows, "notes": notes})
    else:
        print(describe_checks(checks))
        for note in notes:
            print(f"note: {note}")
        print("every file and every block is as exported" if passed else "this engine does not give its golden values")
        if not was_verified:
            marked = model.manifest.verified
            print(
                "the manifest says so from now on" if marked else "the manifest goes on saying that it is not verified"
            )
    return 0 if passed else EXIT_MISMATCH
