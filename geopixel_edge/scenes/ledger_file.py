"""Where a ledger's files are, and their end."""

from __future__ import annotations

from pathlib import Path

_ENDS = ("", "-wal", "-shm", "-journal")


def ledger_path(out: Path) -> Path:
    """The ledger of a job whose first output is `out`."""
    return out.with_name(out.name + ".job")


def remove_ledger(path: Path) -> None:
    """Delete a ledger's files; OSError where that is not allowed."""
    for end in _ENDS:
        path.with_name(path.name + end).unlink(missing_ok=True)
