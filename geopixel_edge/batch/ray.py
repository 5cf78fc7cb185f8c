"""Asking on Ray Data: one engine per actor, rows of images in, Arrow rows with COCO run lengths out.

A row in has `image`, a path that every machine reads, or `bytes`, an encoded picture; and `query`, or `queries` for
several questions about one image. `id` is carried through. A row out is one answer, its fields those of `SCHEMA`.
"""

from __future__ import annotations

import io
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GeoPixelError, OptionError, reason
from ..options import AskOptions
from ..pipeline import Pipeline
from ..session import OpenedImage
from .cluster import joined, share_of

if TYPE_CHECKING:
    import pyarrow as pa

# How often a row is asked again whose worker died over it.
_TRIES = 3


def schema() -> pa.Schema:
    """The fields of an answer: `masks` is COCO RLE, `error` why there is none, `worker` the machine and process."""
    import pyarrow as pa

    rle = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
    texts = ("id", "query", "response", "text", "finish_reason")
    lists = {"phrases": pa.string(), "masks": rle, "scores": pa.float64()}
    return pa.schema(
        [
            *((name, pa.string()) for name in texts),
            *((name, pa.list_(kind)) for name, kind in lists.items()),
            ("seconds", pa.float64()),
            ("error", pa.string()),
            ("worker", pa.string()),
        ]
    )


class Asker:
    """A class for `Dataset.map_batches(..., batch_format="pyarrow")`; it loads its engine once.

    Arguments as of `Pipeline`, `Pipeline.open` and AskOptions. An image or question that cannot be used gives rows with
    `error`, and the others go on; an engine that cannot be used ends the job.
    """

    def __init__(
        self,
        engine_dir: str | os.PathLike[str] | None = None,
        *,
        hd_num: int = 9,
        options: Mapping[str, Any] | None = None,
        device: str = "auto",
        threads: int | None = None,
        memory: int | str | None = None,
    ) -> None:
        self._options, self._hd_num = AskOptions(**dict(options or {})), hd_num
        self._pipe = Pipeline(engine_dir, device=device, threads=threads, memory=memory)
        self._worker = f"{socket.gethostname()}:{os.getpid()}"

    def __call__(self, batch: pa.Table) -> pa.Table:
        import pyarrow as pa

        rows = [answer for row in batch.to_pylist() for answer in self._answers(row)]
        return pa.Table.from_pylist(rows, schema=schema())

    def _answers(self, row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        queries = _queries(row)
        head = {"id": _id(row), "worker": self._worker}
        try:
            opened = self._pipe.open(_image(row), hd_num=self._hd_num)
        except GeoPixelError as error:
            yield from ({**head, "query": query, "error": reason(error)} for query in queries)
            return
        with opened as image:
            for query in queries:
                yield {**head, **self._answer(image, query)}

    def _answer(self, image: OpenedImage, query: str) -> dict[str, Any]:
        start = time.perf_counter()
        try:
            answer = image.ask(query, self._options)
        except GeoPixelError as error:
            return {"query": query, "error": reason(error)}
        return {
            "query": query,
            "response": answer.response,
            "text": answer.text,
            "finish_reason": answer.finish_reason,
            "phrases": [region.phrase for region in answer.regions],
            "masks": [region.mask.to_coco() for region in answer.regions],
            "scores": [float(region.score) for region in answer.regions],
            "seconds": time.perf_counter() - start,
        }


def _image(row: Mapping[str, Any]) -> Any:
    """A path, or the picture that the row's bytes encode."""
    if row.get("bytes") is None:
        return row.get("image")
    from PIL import Image

    try:
        return Image.open(io.BytesIO(row["bytes"]))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise OptionError(f"bytes of {row.get('id')!r} are no picture ({reason(error)}); give an encoded one") from None


def ask_rows(
    rows: Iterable[Mapping[str, Any]],
    engine_dir: str | Path | None = None,
    *,
    address: str | None = None,
    workers: int = 1,
    threads: int | None = None,
    gpus: float | None = None,
    device: str = "auto",
    **asking: Any,
) -> Iterator[dict[str, Any]]:
    """Answers to rows as soon as they are known, in no order: one task for each row, `workers` engines.

    `address` is a Ray cluster's, None starts one on this machine and ends it. An engine whose process dies is started
    again and asked what it had not answered; a row over which it dies again and again comes last, with `error`.
    `threads` per engine, by default its share of the cores; `gpus` per engine, by default one where `device` takes it
    and the cluster has one for each; `asking` as of `Asker`.
    RuntimeUnavailableError without Ray or where the cluster cannot be reached.
    """
    listed = [dict(row) for row in rows]
    if not listed:
        return
    with joined(address) as ray:
        share = share_of(ray, workers, threads, gpus, device)
        ray.data.DataContext.get_current().enable_progress_bars = False
        asked = ray.data.from_items(listed, override_num_blocks=len(listed)).map_batches(
            Asker,
            batch_size=None,
            batch_format="pyarrow",
            fn_constructor_args=(None if engine_dir is None else str(engine_dir),),
            fn_constructor_kwargs={"threads": share.threads, "device": device, **asking},
            # One row at a time: those that wait behind one that ends its worker would use up their own tries.
            compute=ray.data.ActorPoolStrategy(size=share.workers, max_tasks_in_flight_per_actor=1),
            num_cpus=share.cpus,
            num_gpus=share.gpus or None,
            max_task_retries=_TRIES,
        )
        asked.context.max_errored_blocks = -1
        seen = Counter[str]()
        for answer in asked.iter_rows():
            seen[answer["id"]] += 1
            yield answer
        yield from _unanswered(listed, seen)


def _unanswered(rows: Iterable[Mapping[str, Any]], seen: Counter[str]) -> Iterator[dict[str, Any]]:
    """Answers with `error` for the questions of `rows` of which none was seen."""
    for row in rows:
        queries = _queries(row)
        if seen[_id(row)] >= len(queries):
            seen[_id(row)] -= len(queries)
            continue
        told = f"its worker ended {_TRIES + 1} times over it, or failed as Ray's log says; look at the machine's memory"
        yield from ({**dict.fromkeys(schema().names), "id": _id(row), "query": one, "error": told} for one in queries)


def _id(row: Mapping[str, Any]) -> str:
    return str(row.get("id") or row.get("image") or "")


def _queries(row: Mapping[str, Any]) -> list[Any]:
    return row.get("queries") or [row.get("query")]
