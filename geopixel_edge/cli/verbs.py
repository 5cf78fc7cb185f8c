"""Commands that other packages add, as `geopixel-edge export`: found by entry points, never imported from here.

An entry point of the group `geopixel_edge.verbs` names a module with `SUMMARY` and `EPILOG` (text for --help),
`configure(parser)`, which adds the command's arguments, and `run(args)`, which returns the exit code. Its import must
be light: it happens whenever somebody asks for help.
"""

from __future__ import annotations

import argparse
import importlib.metadata
from types import ModuleType
from typing import Any

from ..errors import RuntimeUnavailableError

GROUP = "geopixel_edge.verbs"


def add_installed(commands: Any) -> None:
    """Add every installed command to argparse's `commands`; RuntimeUnavailableError when one cannot be loaded."""
    for entry in importlib.metadata.entry_points(group=GROUP):
        try:
            verb = entry.load()
        except ImportError as error:
            raise RuntimeUnavailableError(
                f"the command {entry.name!r} cannot be loaded ({error}); install its package again, or remove it"
            ) from None
        add_verb(commands, entry.name, verb, verb.EPILOG)


def add_verb(commands: Any, name: str, verb: ModuleType, epilog: str) -> None:
    """Add one command whose module has `SUMMARY`, `configure` and `run`."""
    made = commands.add_parser(
        name,
        help=verb.SUMMARY,
        description=verb.SUMMARY[0].upper() + verb.SUMMARY[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.configure(made)
    made.set_defaults(run=verb.run, parser=made)
