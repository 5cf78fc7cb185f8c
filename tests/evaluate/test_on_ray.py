"""Many engines on Ray: a worker that dies loses nothing, and what is recorded is not asked again."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evaluate.cli import main
from evaluate.data.geopixeld import GeoPixelD
from evaluate.data.miniature import write_miniature
from evaluate.runs import on_ray
from evaluate.runs.ask import Settings, answers_here, keep, waiting
from evaluate.runs.ledger import Run
from geopixel_edge import Pipeline
from geopixel_edge.batch import ray as ray_batch
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


def test_the_command_asks_what_is_left_there(
    geopixeld: Path, asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the actor's class in this process: rows out of order, and nothing recorded is asked again."""
    given: list[str] = []

    def in_process(rows: Sequence[Mapping[str, Any]], engine: Path, **more: Any) -> Iterator[dict[str, Any]]:
        import pyarrow as pa

        assert (more.pop("address"), more.pop("workers")) == ("auto", 2)
        asker = Asker(engine, **more)
        for row in reversed(rows):
            given.append(row["id"])
            yield from asker(pa.Table.from_pylist([row])).to_pylist()

    monkeypatch.setattr(on_ray, "ask_rows", in_process)
    shutil.copytree(asked, tmp_path / "run")
    first, *left = Run.open(tmp_path / "run").ids()
    for image in left:
        (tmp_path / "run" / "predictions" / f"{image}.json").unlink()
    command = ["rsgcg", "bundled", "--data", str(geopixeld), "--out", str(tmp_path / "run"), "--max-new-tokens", "60"]
    assert main([*command, "--ray", "auto", "--workers", "2"]) == 0
    assert given == left[::-1]
    for path in (asked / "predictions").iterdir():
        assert (tmp_path / "run" / "predictions" / path.name).read_bytes() == path.read_bytes()
    assert first not in given


class Deadly(Asker):
    """Its process ends over one picture, whoever asks it."""

    def __call__(self, batch: Any) -> Any:
        if batch.to_pylist()[0]["id"] == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(batch)


@pytest.mark.long
def test_a_picture_that_ends_every_worker_is_named_and_the_others_are_answered(
    geopixeld: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(ray_batch, "Asker", Deadly)
    path = str(GeoPixelD(geopixeld).items[0].path)
    rows = [{"id": name, "image": path, "queries": ["What?", "Where?"]} for name in ("a", "b", "deadly", "c", "d")]
    found = list(ask_rows(rows, workers=2, threads=1, options={"max_new_tokens": 4}))
    assert Counter(one["id"] for one in found) == Counter([*"abcd", "deadly"] * 2)
    for one in found:
        assert (one["error"] is None) == (one["id"] != "deadly")
    assert [one["query"] for one in found[-2:]] == ["What?", "Where?"]
    assert "its worker ended 4 times over it" in found[-1]["error"]


@pytest.mark.long
def test_the_command_runs_on_a_cluster_of_its_own(geopixeld: Path, asked: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "evaluate", "rsgcg", "bundled", "--data", str(geopixeld), "--out", str(out)]
    done = subprocess.run([*command, "--max-new-tokens", "60", "--ray", "--workers", "2"], cwd=ROOT, timeout=600)
    assert done.returncode == 0
    assert main(["score", str(out), "--no-java"]) == 0
    for name in ("predictions", "answers"):
        assert len(list((out / name).iterdir())) == 3
    for path in (asked / "predictions").iterdir():
        assert (out / "predictions" / path.name).read_bytes() == path.read_bytes()
    assert (out / "report.json").read_bytes() == (asked / "report.json").read_bytes()


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
