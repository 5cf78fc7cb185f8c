"""What annotating leaves on disk: GeoPixelD's files of a picture, its record, and the index of all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from geopixel_edge.errors import OutputError
from geopixel_edge.json_text import encode_json
from synthetic.wording import CONVERSATION_QUESTIONS

from .annotating import Annotated
from .asking import seed_of
from .ledger import key_of
from .marks import draw, png_of
from .polygons import polygons_of
from .records import Description

DATA, ITEMS, MARKS, REQUESTS, REVIEW = "GeoPixelD", "items", "marks", "requests", "review"
# Where the index's paths begin: the original opens them from its own folder, in which the data are data/GeoPixelD.
PREFIX = f"data/{DATA}"
RECORD_FORMAT = 1
# What a run reads of a record, and its kinds.
_PARTS = {"id": str, "settings": str, "state": str, "dropped": dict, "keys": list, "reviewers": list, "sentences": list}


class Folder:
    """The folder of a data set. Every file is written aside, synced and renamed, so that it is there whole or not.

    `writer` names who writes, of all processes on all machines that share the folder: a shard, or who applies reviews.
    """

    def __init__(self, root: Path, split: str, writer: str) -> None:
        self.root, self.split, self.writer = root, split, writer

    def record_path(self, item_id: str) -> Path:
        """Where a picture's record is: the last of its files, so its presence says that all are there."""
        return self.root / ITEMS / f"{item_id}.json"

    def record(self, item_id: str) -> dict[str, Any] | None:
        """A picture's record; None where there is none. OutputError where it is damaged."""
        path = self.record_path(item_id)
        try:
            found = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise OutputError(f"{path}: cannot be read ({error}); remove it, and it is made again") from None
        whole = isinstance(found, dict) and found.get("format") == RECORD_FORMAT
        if not whole or not all(isinstance(found.get(name), kind) for name, kind in _PARTS.items()):
            raise OutputError(f"{path}: is no whole record of format {RECORD_FORMAT}; remove it, and it is made again")
        return found

    def picture(self, item_id: str) -> Path:
        """Where a picture is."""
        return self.root / DATA / self.split / f"{item_id}.png"

    def write(self, done: Annotated, settings: str) -> None:
        """All files of a picture, the record last; one of which nothing is told has the record alone."""
        name = done.item.id
        if done.description.masks:
            self.put(self.picture(name), png_of(done.item.image))
        self.write_data(name, done.description)
        record = {
            "format": RECORD_FORMAT,
            "id": name,
            "settings": settings,
            "state": done.state,
            "width_px": done.item.width_px,
            "height_px": done.item.height_px,
            "description": done.description.text,
            "smooth": done.smooth,
            "dropped": dict(sorted(done.item.dropped.items())),
            "keys": list(done.keys),
            "reviewers": [],
            "sentences": [one.as_dict() for one in done.sentences],
        }
        self.put(self.record_path(name), encode_json(record, indent=1))

    def write_marks(self, done: Annotated) -> None:
        """The pictures with marks that a describer is shown, or would be: MARKS/ID_1.png and so on."""
        for number, board in enumerate(done.boards, 1):
            marked = draw(done.item.image, board)
            self.put(self.root / MARKS / f"{done.item.id}_{number}.png", png_of(marked))

    def write_data(self, item_id: str, description: Description) -> None:
        """GeoPixelD's file of a picture, or none where nothing is told."""
        path = self.picture(item_id).with_suffix(".json")
        if not description.masks:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            return
        found = {
            "id": item_id,
            "img": f"{item_id}.png",
            "gcg_description": description.text,
            "polygons": [polygons_of(mask) for mask in description.masks],
        }
        self.put(path, encode_json(found))

    def write_index(self, told: Iterable[str]) -> None:
        """GeoPixelD.json for training: a question, the description and the paths of each picture, as PREFIX says.
        The test split has none, as the original has none."""
        if self.split != "train":
            return
        entries = []
        for name in told:
            found = json.loads(self.picture(name).with_suffix(".json").read_bytes())
            question = CONVERSATION_QUESTIONS[seed_of(key_of(id=name)) % len(CONVERSATION_QUESTIONS)]
            entries.append(
                {
                    "id": name,
                    "image": f"{PREFIX}/{self.split}/{name}.png",
                    "conversations": [
                        {"from": "human", "value": question},
                        {"from": "gpt", "value": found["gcg_description"]},
                    ],
                    "polygons": f"{PREFIX}/{self.split}/{name}.json",
                }
            )
        self.put(self.root / DATA / "GeoPixelD.json", encode_json(entries, indent=1))

    def put(self, path: Path, data: bytes) -> None:
        """A file, whole; OutputError where it cannot be written, and then nothing of it is left."""
        aside = path.with_name(f".{path.name}.{self.writer}.{os.getpid()}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with aside.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(aside, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise OutputError(
                f"out={str(path)[:200]!r} cannot be written ({error.strerror}); make room or choose another place, "
                "then give the same command: what is recorded is kept"
            ) from None

    def clear(self) -> None:
        """Remove what this writer's processes that ended in the middle left aside; its caller is the only one of them.

        What another shard holds aside may be live on another machine, and is left.
        """
        for path in self.root.rglob(f".*.{self.writer}.*.partial"):
            with contextlib.suppress(OSError):
                path.unlink()
