"""A run: every picture of a shard once, what is done kept, and at its end what is said of all of them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geopixel_edge.errors import OptionError, OutputError
from geopixel_edge.json_text import encode_json
from geopixel_edge.version import __version__

from .annotating import annotate
from .asking import Asker
from .describers.base import Describer
from .finishing import finish
from .ledger import Ledger, key_of
from .round_trip import RoundTrip
from .settings import Settings
from .sources import Source
from .write import DATA, REQUESTS, Folder

JOB = "job.json"


@dataclass(frozen=True)
class Outcome:
    """How a run ended: pictures of this shard, those done in it anew, those of all shards that still miss, and the
    summary once none does."""

    pictures: int
    new: int
    missing: int
    summary: dict[str, Any] | None


class Job:
    """A source, a folder, a describer and settings. `run` may be called again after any end, and goes on."""

    def __init__(
        self,
        source: Source,
        root: Path,
        describer: Describer,
        settings: Settings,
        round_trip: RoundTrip | None = None,
    ) -> None:
        self.source, self.describer, self.settings, self.round_trip = source, describer, settings, round_trip
        self.writer = "{}-of-{}".format(*settings.shard)
        self.folder = Folder(root, settings.split, self.writer)
        self.follows_from = {
            "describer": describer.fingerprint(),
            "round_trip": round_trip.fingerprint if round_trip else "",
            **settings.as_dict(),
        }
        self.key = key_of(**self.follows_from)

    def shard(self) -> list[str]:
        """The pictures of this shard: by the checksum of their ids, so that others do not move where some are added."""
        number, count = self.settings.shard
        return [one for one in self.source.ids if zlib.crc32(one.encode()) % count == number - 1]

    def run(
        self,
        budget_tokens: int | None = None,
        budget_requests: int | None = None,
        progress: Callable[[list[str]], Iterator[str]] = iter,
    ) -> Outcome:
        """Annotate what is not done; `progress` wraps the ids.

        OptionError where the folder holds another source's data set, DescriberError once the describer fails for good,
        OutputError where nothing can be written: the same call goes on from there.
        """
        self._begin()
        names, new = self.shard(), 0
        with Ledger(self.folder.root / REQUESTS, self.writer) as ledger:
            self.folder.clear()  # the ledger is this shard's lock
            asker = Asker(self.describer, ledger, self.settings, budget_tokens, budget_requests)
            for name in progress(names):
                if not self._done(name):
                    done = annotate(self.source.item(name), asker, self.source.classes, self.round_trip)
                    if self.settings.show_marks:
                        self.folder.write_marks(done)
                    self.folder.write(done, self.key)
                    new += 1
            missing = sum(not self._done(name) for name in self.source.ids)
            summary = None if missing else self._finish(ledger)
        return Outcome(len(names), new, missing, summary)

    def _done(self, name: str) -> bool:
        found = self.folder.record(name) if self.folder.record_path(name).exists() else None
        return found is not None and found.get("settings") == self.key

    def _begin(self) -> None:
        """Claim the folder for this source, or see that it is its."""
        path, wanted = self.folder.root / JOB, {"source": self.source.fingerprint(), "split": self.settings.split}
        known = _read(path)
        if known is None:
            others = [one.name for one in _entries(self.folder.root) if not one.name.startswith(".")]
            if others and JOB not in others:  # another shard may have begun in between
                raise OptionError(f"out={str(self.folder.root)!r} holds other files; choose an empty or new folder")
            self.folder.put(path, encode_json(wanted))
        elif known != wanted:
            raise OptionError(
                f"out={str(self.folder.root)!r} holds a data set of {known}, not of {wanted}; choose another folder"
            )

    def _finish(self, ledger: Ledger) -> dict[str, Any]:
        """What is written once all pictures of all shards are done: the same bytes whoever comes last."""
        ledger.refresh()
        keys = {key for name in self.source.ids for key in (self.folder.record(name) or {})["keys"]}
        known = {
            "version": __version__,
            "source": self.source.fingerprint(),
            **self.follows_from,
            "describer": self.describer.name,
            "fingerprint": self.describer.fingerprint(),
            "cost": ledger.cost(keys),
        }
        self.folder.put(self.folder.root / DATA / "LICENCE.txt", f"{self.source.licence}\n".encode("utf-8", "replace"))
        return finish(self.folder, self.source.ids, known)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read ({error}); choose another folder") from None


def _entries(root: Path) -> list[Path]:
    try:
        return list(root.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(
            f"out={str(root)!r} is no folder that can be read ({error.strerror}); choose another"
        ) from None
