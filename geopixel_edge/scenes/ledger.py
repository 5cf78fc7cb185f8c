"""The ledger of a job: what every window answered, one transaction each, so that a job can be killed and go on."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from ..errors import OptionError, OutputError
from .ledger_file import remove_ledger
from .runs import Runs

FORMAT = 1
_APPLICATION_ID = 0x67706A31  # "gpj1": what a file must carry to be taken for a ledger
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


class WindowRow(NamedTuple):
    """A window that was looked at: `state` is "done", "empty" or "failed"."""

    number: int
    state: str
    seconds: float
    note: str = ""
    text: str = ""


class ViewRow(NamedTuple):
    """A part of a window's mask for a phrase, in pixels of the scene."""

    window: int
    phrase: str
    runs: Runs
    score: float


class Ledger:
    """An opened ledger, this process's alone; a context manager. Every call is one transaction, or nothing."""

    def __init__(self, path: Path, key: dict[str, Any], restart: bool = False) -> None:
        """Open the ledger of the job that `key` describes, plain values, or begin it.

        OptionError for a file that is no ledger, of another version or job, or in use; OutputError where it cannot be
        written.
        """
        self.path, self.key = path, key
        with self._writing():
            self._file = sqlite3.connect(path, timeout=0.2, isolation_level=None, check_same_thread=False)
        try:
            with self._writing():
                self._open(restart)
            self._check()
        except BaseException:
            self._file.close()
            raise

    def _open(self, restart: bool) -> None:
        try:
            # Held by the operating system until this process ends, however it ends.
            self._file.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = FULL")
            self._file.execute("BEGIN EXCLUSIVE")
            (marked,) = self._file.execute("PRAGMA application_id").fetchone()
            tables = [name for (name,) in self._file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            if restart and marked == _APPLICATION_ID:
                for name in tables:
                    self._file.execute(f"DROP TABLE {name}")
                tables = []
            if not tables and marked in (0, _APPLICATION_ID):
                self._begin()
            self._file.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                raise OptionError(f"{self._what} is in use by another process; wait for it, or end it") from None
            if "not a database" in str(error) or "malformed" in str(error):
                raise OptionError(f"{self._what} is no ledger, or damaged; remove it, or name another output") from None
            raise

    def _begin(self) -> None:
        for statement in _TABLES.split(";\n"):
            if statement.strip():
                self._file.execute(statement)
        # Seconds: every output of the job carries the time at which it began, so that two runs give the same bytes.
        values = {"format": FORMAT, "key": self.key, "started": int(time.time())}
        self._file.executemany("INSERT INTO job VALUES (?, ?)", [(name, json.dumps(v)) for name, v in values.items()])
        self._file.execute(f"PRAGMA application_id = {_APPLICATION_ID}")

    def _check(self) -> None:
        (marked,) = self._file.execute("PRAGMA application_id").fetchone()
        if marked != _APPLICATION_ID:
            raise OptionError(f"{self._what} is another program's database; choose another name for the output")
        known = {name: json.loads(value) for name, value in self._file.execute("SELECT name, value FROM job")}
        if known.get("format") != FORMAT:
            raise OptionError(
                f"{self._what} has format {known.get('format')}, this version {FORMAT}; begin anew with --restart"
            )
        self.started: int = known["started"]
        was, now = known["key"], json.loads(json.dumps(self.key))
        if differ := [name for name in sorted({*was, *now}) if was.get(name) != now.get(name)]:
            told = "; ".join(f"{name} was {was.get(name)!r}, is {now.get(name)!r}" for name in differ[:3])
            raise OptionError(
                f"{self._what} is of another job: {told}; begin anew with --restart, or name another output"
            )

    # --- Windows ----------------------------------------------------------------------------------------------

    def record(self, window: WindowRow, views: Iterable[ViewRow] = ()) -> None:
        """A window's state and all its views; what was recorded of it before is replaced."""
        rows = [(v.window, v.phrase, *v.runs.box, v.runs.counts.tobytes(), _number(v.score)) for v in views]
        with self._transaction():
            self._file.execute("DELETE FROM view WHERE window = ?", (window.number,))
            self._file.execute("INSERT OR REPLACE INTO window VALUES (?, ?, ?, ?, ?)", window)
            self._file.executemany("INSERT INTO view VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def record_empty(self, numbers: Iterable[int], note: str = "") -> None:
        """Windows that are not asked, for one reason, all at once."""
        with self._transaction():
            self._file.executemany(
                "INSERT OR IGNORE INTO window VALUES (?, 'empty', 0, ?, '')", [(n, note) for n in numbers]
            )

    def forget_failed(self) -> int:
        """Let failed windows be asked again; how many there were."""
        with self._transaction():
            return self._file.execute("DELETE FROM window WHERE state = 'failed'").rowcount

    def tell(self, name: str, value: str) -> None:
        """Record something of the whole scene."""
        with self._transaction():
            self._file.execute("INSERT OR REPLACE INTO job VALUES (?, ?)", (name, json.dumps(value)))

    def told(self, name: str) -> str | None:
        """What `tell` recorded; None where it was not asked yet."""
        found = self._file.execute("SELECT value FROM job WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(json.loads(found[0]))

    def known(self) -> Iterator[tuple[int, str]]:
        """Number and state of every window that was looked at."""
        yield from self._file.execute("SELECT number, state FROM window ORDER BY number")

    def windows(self) -> Iterator[WindowRow]:
        """Every window that was looked at, by number."""
        yield from map(WindowRow._make, self._file.execute("SELECT * FROM window ORDER BY number"))

    def states(self) -> dict[str, int]:
        """How many windows are done, empty and failed."""
        found = dict(self._file.execute("SELECT state, count(*) FROM window GROUP BY state"))
        return {state: found.get(state, 0) for state in ("done", "empty", "failed")}

    def phrases(self) -> list[str]:
        """Every phrase that has a view, sorted."""
        return [one for (one,) in self._file.execute("SELECT DISTINCT phrase FROM view ORDER BY phrase")]

    def views(self, phrase: str, first: int, last: int) -> Iterator[ViewRow]:
        """The views of a phrase in the windows first..last - 1."""
        found = self._file.execute(
            "SELECT window, x, y, w, h, counts, score FROM view WHERE window >= ? AND window < ? AND phrase = ? "
            "ORDER BY window, x, y, rowid",
            (first, last, phrase),
        )
        for window, x, y, w, h, counts, score in found:
            runs = Runs(x, y, w, h, np.frombuffer(counts, np.uint32))
            yield ViewRow(window, phrase, runs, float("nan") if score is None else score)

    def replace_objects(self, rows: Iterable[tuple[object, ...]]) -> int:
        """Objects of `object_table` in place of those there; how many."""
        with self._transaction():
            self._file.execute("DELETE FROM object")
            return self._file.executemany("INSERT INTO object VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows).rowcount

    def objects(self) -> Iterator[tuple[str, int, bytes, float | None, int, int]]:
        """Phrase, area, pieces, score, whole and views of every object, by y, x, area and phrase of their boxes."""
        yield from self._file.execute(
            "SELECT phrase, area, pieces, score, whole, views FROM object ORDER BY y, x, area, phrase, pieces"
        )

    def counts(self) -> list[tuple[str, int]]:
        """How many objects each phrase has."""
        return list(self._file.execute("SELECT phrase, count(*) FROM object GROUP BY phrase"))

    # --- The file ---------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._writing():
            self._file.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._file.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # a full disk may have ended it already
                    self._file.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise OutputError(
                f"{self._what} cannot be written ({error}); make room or correct the place, then give the same "
                "command: what is recorded is kept"
            ) from None

    @property
    def _what(self) -> str:
        return f"ledger={str(self.path)!r}"

    def remove(self) -> None:
        """Delete the ledger's files."""
        with self._writing():
            remove_ledger(self.path)

    def close(self) -> None:
        """Let the file go; another process may take it."""
        self._file.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _number(score: float) -> float | None:
    return None if score != score else float(score)
