"""A ledger's file: where it is, how it is opened for one process alone, what its failures mean, and its end."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import msgspec

from ..errors import GeoPixelError, OptionError, OutputError
from ..writers.room import room

FORMAT = 1
_APPLICATION_ID = 0x67706A31  # "gpj1": what a file must carry to be taken for a ledger
_AT = 68  # where a SQLite file carries it, big-endian
_TABLES = """
CREATE TABLE job (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE window (number INTEGER PRIMARY KEY, state TEXT NOT NULL CHECK (state IN ('done', 'empty', 'failed')),
                     seconds REAL NOT NULL, note TEXT NOT NULL, text TEXT NOT NULL);
CREATE TABLE view (window INTEGER NOT NULL, phrase TEXT NOT NULL, x INTEGER NOT NULL, y INTEGER NOT NULL,
                   w INTEGER NOT NULL, h INTEGER NOT NULL, counts BLOB NOT NULL, score REAL);
CREATE INDEX view_of_window ON view (window);
CREATE TABLE object (phrase TEXT NOT NULL, y INTEGER NOT NULL, x INTEGER NOT NULL, area INTEGER NOT NULL,
                     pieces BLOB NOT NULL, score REAL, whole INTEGER NOT NULL, views INTEGER NOT NULL);
"""
_ENDS = ("", "-wal", "-shm", "-journal")


class Known(msgspec.Struct):
    """What a ledger says of its job; `started` in seconds since 1970."""

    format: int
    key: dict[str, Any]
    started: int


def ledger_path(out: Path) -> Path:
    """The ledger of a job whose first output is `out`."""
    return out.with_name(out.name + ".job")


def remove_ledger(path: Path) -> None:
    """Delete a ledger's files; OSError where that is not allowed."""
    for end in _ENDS:
        path.with_name(path.name + end).unlink(missing_ok=True)


def open_ledger(path: Path, key: dict[str, Any], restart: bool) -> tuple[sqlite3.Connection, Known]:
    """Open the file of a ledger, this process's alone, and begin it for `key` where there is none.

    `restart` empties it first, and removes one that is damaged. OptionError for a file that is no whole ledger or is
    in use; OutputError where it cannot be written.
    """
    for again in (restart, False):
        try:
            return _opened(path, key, restart)
        except (sqlite3.Error, msgspec.ValidationError, ValueError, OSError) as error:
            told = problem(path, error)
            if not (again and _is_damage(error) and _is_marked(path)):
                raise told from None
            try:
                remove_ledger(path)
            except OSError as reason:
                raise problem(path, reason) from None
    raise AssertionError("a second attempt returns or raises")


def problem(path: Path, error: Exception) -> GeoPixelError:
    """The error that a failure of a ledger's file means."""
    what = f"ledger={str(path)!r}"
    if "locked" in str(error):
        return OptionError(f"{what} is in use by another process; wait for it, or end it")
    if _is_damage(error):
        return OptionError(
            f"{what} is no ledger, or damaged; begin anew with --restart, or remove it, or name another output"
        )
    full = any(word in str(error) for word in ("full", "I/O"))
    needed = room(*(path.with_name(path.name + end) for end in _ENDS)) if full else ""
    return OutputError(
        f"{what} cannot be written ({error}{needed}); make room or correct the place, then give the same "
        "command: what is recorded is kept"
    )


def _is_damage(error: Exception) -> bool:
    """Whether the file's bytes are wrong, not the disk or its permissions."""
    if isinstance(error, sqlite3.OperationalError):
        return any(word in str(error) for word in ("no such", "has no column", "decode", "malformed"))
    return not isinstance(error, OSError)


def _is_marked(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(_AT + 4)[_AT:] == _APPLICATION_ID.to_bytes(4, "big")
    except OSError:
        return False


def _opened(path: Path, key: dict[str, Any], restart: bool) -> tuple[sqlite3.Connection, Known]:
    file = sqlite3.connect(path, timeout=0.2, isolation_level=None, check_same_thread=False)
    try:
        # Held by the operating system until this process ends, however it ends.
        file.execute("PRAGMA locking_mode = EXCLUSIVE")
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = FULL")
        file.execute("BEGIN EXCLUSIVE")
        marked = _mark(file)
        tables = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        if tables and marked == _APPLICATION_ID and file.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("malformed")
        if restart and marked == _APPLICATION_ID:
            for name in tables:
                file.execute(f"DROP TABLE {name}")
            tables = []
        begun = not tables and marked in (0, _APPLICATION_ID)
        if begun:
            _begin(file, key)
        file.execute("COMMIT")
        if begun:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the mark is in the file itself from here on
        elif marked != _APPLICATION_ID:
            raise OptionError(f"ledger={str(path)!r} is another program's database; choose another name for the output")
        rows = file.execute("SELECT name, value FROM job").fetchall()  # a query that did not end would keep the lock
        return file, msgspec.convert({name: json.loads(value) for name, value in rows}, Known)
    except BaseException:
        file.close()
        raise


def _mark(file: sqlite3.Connection) -> int:
    return int(file.execute("PRAGMA application_id").fetchone()[0])


def _begin(file: sqlite3.Connection, key: dict[str, Any]) -> None:
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            file.execute(statement)
    # Seconds: every output of the job carries the time at which it began, so that two runs give the same bytes.
    values = {"format": FORMAT, "key": key, "started": int(time.time())}
    file.executemany("INSERT INTO job VALUES (?, ?)", [(name, json.dumps(value)) for name, value in values.items()])
    file.execute(f"PRAGMA application_id = {_APPLICATION_ID}")


def identity(path: Path) -> tuple[int, int] | None:
    """Which file a path names, None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
