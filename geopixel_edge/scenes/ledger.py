"""The ledger of a job: what every window answered, one transaction each, so that a job can be killed and go on."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from ..errors import OptionError, OutputError
from .ledger_file import FORMAT, Known, identity, open_ledger, problem, remove_ledger
from .runs import Runs


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
        self._file, known = open_ledger(path, key, restart)
        self._identity, self.started = identity(path), known.started
        try:
            self._check(known)
        except BaseException:
            self._file.close()
            raise

    def _check(self, known: Known) -> None:
        if known.format != FORMAT:
            raise OptionError(
                f"{self._what} has format {known.format}, this version {FORMAT}; begin anew with --restart"
            )
        was, now = known.key, json.loads(json.dumps(self.key))
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
            try:
                runs = Runs(x, y, w, h, np.frombuffer(counts, np.uint32))
                whole = min(x, y) >= 0 and min(w, h) > 0 and int(runs.counts.sum(dtype=np.int64)) == w * h
            except (TypeError, ValueError):
                whole = False
            if not whole:
                raise problem(self.path, sqlite3.DatabaseError("a view's runs do not fill its box"))
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
            if identity(self.path) != self._identity:
                raise OutputError(
                    f"{self._what} was removed or replaced, and what it held is lost; leave its folder as it is, and "
                    "give the same command: it begins anew"
                )
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
            raise problem(self.path, error) from None

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
        if isinstance(value, sqlite3.Error):
            raise problem(self.path, value) from None


def _number(score: float) -> float | None:
    return None if score != score else float(score)
