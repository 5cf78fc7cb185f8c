"""Many engines on Ray: a worker that dies loses nothing, and what is recorded is not asked again."""

from __future__ import annotations

import io
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from evaluate.data.geopixeld import GeoPixelD
from evaluate.data.miniature import write_miniature
from evaluate.runs import on_ray
from evaluate.runs.ask import Settings, answers_here, keep, waiting
from evaluate.runs.ledger import Run
from geopixel_edge import Pipeline
from geopixel_edge.batch.ray import Asker, ask_rows
from geopixel_edge.errors import RuntimeUnavailableError

ROOT = Path(__file__).parents[2]
SETTINGS = Settings(threads=1, max_new_tokens=40)


def table_of(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    import pyarrow as pa

    found = Asker(threads=1, options={"max_new_tokens": 8})(pa.Table.from_pylist(rows))
    assert set(found.column_names) >= {"id", "response", "masks", "error", "worker"}
    rows_out: list[dict[str, object]] = found.to_pylist()
    return rows_out


def test_rows_of_paths_and_of_bytes_give_the_same_answers(geopixeld: Path) -> None:
    path = GeoPixelD(geopixeld).items[0].path
    question = "Describe this image with interleaved segmentation masks."
    one, other, bad, missing = table_of(
        [
            {"id": "a", "image": str(path), "bytes": None, "query": question},
            {"id": "b", "image": None, "bytes": path.read_bytes(), "query": question},
            {"id": "c", "image": None, "bytes": b"no picture", "query": question},
            {"id": "d", "image": str(path.with_name("none.png")), "bytes": None, "query": question},
        ]
    )
    assert one["response"] == other["response"] != ""
    assert one["masks"] == other["masks"]
    assert "no picture" in str(bad["error"])
    assert "none.png" in str(missing["error"])
    assert Image.open(io.BytesIO(path.read_bytes())).size == (128, 128)


def test_a_cluster_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def refuse(**options: object) -> None:
        raise ConnectionError(f"no cluster at {options['address']}")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(RuntimeUnavailableError, match=r"ray='127.0.0.1:1' cannot be reached"):
        list(ask_rows([{"image": "a.png", "query": "What?"}], address="127.0.0.1:1"))


@pytest.mark.long
def test_a_killed_worker_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray.data  # noqa: F401

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    write_miniature(tmp_path / "data", "geopixeld", 10, side_px=128)
    items = GeoPixelD(tmp_path / "data").items
    key = {"task": "rsgcg"}
    here = Run.begin(tmp_path / "here", key)
    with Pipeline(threads=1) as pipe:
        keep(here, answers_here(pipe, items, SETTINGS), len(items))

    killed: list[str] = []
    seen: Counter[str] = Counter()
    answers = ask_rows

    def killing(*args: object, **more: object) -> Iterator[dict[str, object]]:
        for row in answers(*args, **more):  # type: ignore[arg-type]
            seen[str(row["id"])] += 1
            yield row
            if len(seen) == 2:
                killed.append(str(row["worker"]))
                os.kill(int(killed[-1].rpartition(":")[2]), signal.SIGKILL)

    monkeypatch.setattr(on_ray, "ask_rows", killing)
    there = Run.begin(tmp_path / "there", key)
    first = items[0]
    keep(there, [(first.image_id, here.answers(first.image_id), 0.0)], 1)
    left = waiting(there, items)
    assert len(left) == 9
    keep(there, on_ray.answers_on_ray(left, SETTINGS, None, 2), len(left))
    assert len(killed) == 1
    assert first.image_id not in seen
    assert set(seen.values()) == {1}
    assert there.ids() == here.ids()
    for image in here.ids():
        name = f"predictions/{image}.json"
        assert (there.root / name).read_bytes() == (here.root / name).read_bytes()
        assert there.answers(image) == here.answers(image)
