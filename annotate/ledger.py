"""The ledger: every reply by the digest of its question, one line each, so that no question is asked twice."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from geopixel_edge.errors import OptionError, OutputError
from geopixel_edge.json_text import encode_json

from .describers.base import Reply

try:
    import fcntl
except ImportError:  # Windows: two processes on one shard are not told apart there
    fcntl = None  # type: ignore[assignment]

# What a line holds, and its kinds; after the key in the order in which `Reply` takes them.
_KINDS: dict[str, tuple[type, ...]] = {
    "key": (str,),
    "text": (str,),
    "tokens_in": (int,),
    "tokens_out": (int,),
    "seconds": (int, float),
    "fault": (str,),
}


def key_of(**parts: Any) -> str:
    """The digest of a question: of all it follows from."""
    return hashlib.sha256(encode_json(parts)).hexdigest()


def _line(found: Any) -> tuple[str, Reply]:
    """A line's key and reply; TypeError or KeyError where a value is missing or of another kind."""
    for name, kind in _KINDS.items():
        if not isinstance(found[name], kind) or isinstance(found[name], bool):
            raise TypeError(name)
    return found["key"], Reply(*(found[name] for name in list(_KINDS)[1:]))


class Ledger:
    """`folder`/SHARD.jsonl, this process's alone, and what the other shards' files hold; a context manager.

    A line is written whole and synced before its reply is used. What a crash left of a last line is cut off.
    """

    def __init__(self, folder: Path, shard: str) -> None:
        """OptionError where another process writes this shard or a line is damaged, OutputError where it cannot be
        written."""
        self.path = folder / f"{shard}.jsonl"
        self._replies: dict[str, Reply] = {}
        self.file: BinaryIO | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.file = self.path.open("a+b")
            if fcntl is not None:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._cut()
            self.refresh()
        except BlockingIOError:
            self.close()
            raise OptionError(
                f"ledger={str(self.path)!r} is in use by another process; wait for it, or end it"
            ) from None
        except OSError as error:
            self.close()
            raise self._cannot(error) from None
        except BaseException:
            self.close()
            raise

    def _cut(self) -> None:
        """Remove a last line that has no end."""
        assert self.file is not None
        self.file.seek(0)
        data = self.file.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            self.file.truncate(whole)
            os.fsync(self.file.fileno())

    def refresh(self) -> None:
        """Read what every shard has written by now."""
        for path in sorted(self.path.parent.glob("*.jsonl")):
            self._read(path)

    def _read(self, path: Path) -> None:
        data = path.read_bytes()
        for number, line in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), 1):
            try:
                found = json.loads(line)
                key, reply = _line(found)
            except (ValueError, KeyError, TypeError, RecursionError):
                raise OptionError(
                    f"ledger={str(path)!r}: line {number} is damaged; remove that line, and what it held is asked again"
                ) from None
            self._replies[key] = reply

    def get(self, key: str) -> Reply | None:
        """The reply to a question that was asked before."""
        return self._replies.get(key)

    def add(self, key: str, item: str, level: str, reply: Reply) -> None:
        """Keep a reply; OutputError where it cannot be written, and then the line's start is cut off next time."""
        assert self.file is not None
        line = encode_json(
            {
                "key": key,
                "item": item,
                "level": level,
                "text": reply.text,
                "tokens_in": reply.tokens_in,
                "tokens_out": reply.tokens_out,
                "seconds": reply.seconds,
                "fault": reply.fault,
                **({"raw": reply.raw} if reply.raw else {}),
            }
        )
        try:
            self.file.write(line)
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            raise self._cannot(error) from None
        self._replies[key] = reply

    def cost(self, keys: set[str]) -> dict[str, float]:
        """Tokens and seconds of these questions."""
        found = [self._replies[key] for key in sorted(keys & self._replies.keys())]
        return {
            "requests": len(found),
            "tokens_in": sum(one.tokens_in for one in found),
            "tokens_out": sum(one.tokens_out for one in found),
            "hours": round(sum(one.seconds for one in found) / 3600, 4),
        }

    def _cannot(self, error: OSError) -> OutputError:
        return OutputError(
            f"ledger={str(self.path)!r} cannot be written ({error.strerror}); make room or correct the place, then "
            "give the same command: what is recorded is kept"
        )

    def close(self) -> None:
        """Let the file go; another process may take it."""
        if self.file is not None:
            with contextlib.suppress(OSError):  # a full disk: told when the line was written
                self.file.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
