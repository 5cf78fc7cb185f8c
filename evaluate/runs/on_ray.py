"""A run's images on a Ray cluster; the ledger stays with the driver, so that nothing recorded is asked again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from geopixel_edge.batch.ray import ask_rows

from ..data.dataset import Item
from ..errors import EvaluationError
from .ask import Answered, Settings

_TEXTS = ("query", "response", "finish_reason")


def answers_on_ray(items: Sequence[Item], settings: Settings, address: str | None, workers: int) -> Iterator[Answered]:
    """As `answers_here`, in the order they come. EvaluationError for an image that a worker could not answer.

    Paths must lead to the same files on every machine.
    """
    by_id = {item.image_id: item for item in items}
    rows = [
        {"id": item.image_id, "image": str(item.path.absolute()), "queries": [one.text for one in item.questions]}
        for item in items
    ]
    asking: dict[str, Any] = {
        "hd_num": settings.hd_num,
        "options": settings.options.to_dict(),
        "device": settings.device,
    }
    found: dict[str, list[Mapping[str, Any]]] = {}
    answers = ask_rows(rows, settings.engine, address=address, workers=workers, threads=settings.threads, **asking)
    for row in answers:
        if row["error"]:
            by = f" by {row['worker']}" if row["worker"] else ""
            raise EvaluationError(f"image {row['id']!r} was not answered{by} ({row['error']})")
        item = by_id[row["id"]]
        answered = found.setdefault(row["id"], [])
        answered.append(row)
        if len(answered) == len(item.questions):
            yield row["id"], _records(item, found.pop(row["id"])), sum(one["seconds"] for one in answered)


def _records(item: Item, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """In the order of the image's questions, which an actor keeps."""
    records: list[Mapping[str, Any]] = []
    for question, row in zip(item.questions, rows, strict=True):
        masks = [{"size": [int(side) for side in one["size"]], "counts": one["counts"]} for one in row["masks"]]
        lists = {"phrases": list(row["phrases"]), "masks": masks, "scores": [float(one) for one in row["scores"]]}
        records.append({"key": question.key, **{name: row[name] for name in _TEXTS}, **lists})
    return records
