"""What is written of a whole data set: the index, the counts, the review pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from geopixel_edge.errors import OutputError
from geopixel_edge.json_text import encode_json

from .review import write_pages
from .write import Folder

RUN = "run.json"


def finish(folder: Folder, names: Iterable[str], known: dict[str, Any]) -> dict[str, Any]:
    """Write the index, run.json and the review pages; returns what run.json holds: the counts and what is `known`."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("pictures", "sentences", "findings", "left_out")}
    told, masks, ordered = [], 0, sorted(names)
    for name in ordered:
        record = folder.record(name)
        if record is None:
            raise OutputError(f"{folder.record_path(name)}: is missing; give the command that annotates again")
        counts["pictures"][record["state"]] += 1
        counts["left_out"].update(record["dropped"])
        told += [name] if record["state"] != "drop" else []
        for one in record["sentences"]:
            counts["sentences"][f"{one['level']} {one['state']}"] += 1
            counts["findings"].update(found["name"] for found in one["findings"])
            masks += len(one["masks"]) if one["state"] != "drop" else 0
    summary = {**known, **{name: dict(sorted(count.items())) for name, count in counts.items()}, "masks": masks}
    folder.write_index(told)
    write_pages(folder, ordered)
    folder.put(folder.root / RUN, encode_json(summary, indent=1))
    return summary
