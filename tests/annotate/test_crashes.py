"""Ended at any byte or moment, or shared out, a run gives the bytes of one undisturbed."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from annotate.describers.base import Reply
from annotate.describers.rules import Rules
from annotate.job import Job
from annotate.ledger import Ledger
from annotate.settings import Settings
from annotate.sources import open_source
from geopixel_edge.errors import OptionError, OutputError
from geopixel_edge.json_text import encode_json

from ..support.annotations import annotated, contents, records

ROOT = Path(__file__).parents[2]
SOURCE = "scenes:2000065-2000073,128"  # some for each of three shards


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set of an undisturbed run."""
    out = tmp_path_factory.mktemp("whole") / "out"
    annotated(SOURCE, out)
    return out


def ledger_of(out: Path) -> bytes:
    """The bytes of the only ledger."""
    (path,) = (out / "requests").glob("*.jsonl")
    return path.read_bytes()


def started(out: Path, *words: str) -> subprocess.Popen[bytes]:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "annotate", SOURCE, str(out), "--describer", "rules", *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def job_of(words: str) -> bytes:
    """What claims a folder for a source."""
    return encode_json({"source": open_source(words).fingerprint(), "split": "train"})


def killed(process: subprocess.Popen[bytes], out: Path, begun: str, pause_s: float) -> bool:
    """Killed so long after a file of this pattern is there; whether the run was then still to be finished."""
    deadline = time.monotonic() + 30
    while not any(out.glob(begun)) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(pause_s)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return any(out.glob(begun)) and not (out / "run.json").exists()


def killed_and_resumed(whole: Path, out: Path, kills: int, seed: int) -> None:
    """Killed once amid its pictures, then so many times at random moments, then run to its end."""
    rng = random.Random(seed)
    assert killed(started(out), out, "items/*.json", 0.0)
    for _ in range(kills):
        killed(started(out), out, "requests", rng.uniform(0, 0.4))
    annotated(SOURCE, out)
    assert contents(out) == contents(whole)
    assert ledger_of(out) == ledger_of(whole)


def test_killed_at_random_moments(whole: Path, tmp_path: Path) -> None:
    killed_and_resumed(whole, tmp_path / "out", 1, 1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_many_random_moments(seed: int, whole: Path, tmp_path: Path) -> None:
    killed_and_resumed(whole, tmp_path / "out", 5, 100 + seed)


def test_a_ledger_cut_at_any_byte_goes_on(whole: Path, tmp_path: Path) -> None:
    data = ledger_of(whole)
    first_lines = data[: len(b"\n".join(data.split(b"\n")[:2]))]
    for cut in range(0, len(first_lines), 3):
        folder = tmp_path / "requests"
        folder.mkdir(exist_ok=True)
        (folder / "1-of-1.jsonl").write_bytes(data[:cut])
        with Ledger(folder, "1-of-1"):
            pass
        kept = (folder / "1-of-1.jsonl").read_bytes()
        assert kept == data[:cut][: data[:cut].rfind(b"\n") + 1]


@pytest.mark.parametrize("part", [0.13, 0.97])
def test_a_torn_ledger_gives_the_same_bytes(part: float, whole: Path, tmp_path: Path) -> None:
    data = ledger_of(whole)
    (tmp_path / "out" / "requests").mkdir(parents=True)
    (tmp_path / "out" / "job.json").write_bytes((whole / "job.json").read_bytes())
    (tmp_path / "out" / "requests" / "1-of-1.jsonl").write_bytes(data[: int(part * len(data))])
    annotated(SOURCE, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(whole)
    assert ledger_of(tmp_path / "out") == data


def test_three_shards_at_once_give_the_bytes_of_one_run(whole: Path, tmp_path: Path) -> None:
    source, numbers = open_source(SOURCE), (1, 2, 3)
    assert all(Job(source, tmp_path / "out", Rules(), Settings(shard=(number, 3))).shard() for number in numbers)
    processes = [started(tmp_path / "out", "--shard", f"{number}/3") for number in numbers]
    for process in processes:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
    assert contents(tmp_path / "out") == contents(whole)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_one_of_three_shards_killed_and_begun_again(seed: int, whole: Path, tmp_path: Path) -> None:
    out, rng = tmp_path / "out", random.Random(seed)
    processes = [started(out, "--shard", f"{number}/3") for number in (1, 2, 3)]
    victim = rng.randrange(3)
    killed(processes[victim], out, f"requests/{victim + 1}-of-3.jsonl", rng.uniform(0, 0.1))
    processes[victim] = started(out, "--shard", f"{victim + 1}/3")
    for process in processes:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
    assert contents(out) == contents(whole)


def test_a_shard_clears_its_own_leftovers_alone(tmp_path: Path) -> None:
    """Others may be another machine's, whose process numbers say nothing here."""
    (items := tmp_path / "out" / "items").mkdir(parents=True)
    (tmp_path / "out" / "requests").mkdir()
    (tmp_path / "out" / "job.json").write_bytes(job_of(SOURCE))
    own, other = items / ".a.json.1-of-2.3999999.partial", items / ".b.json.2-of-2.3999999.partial"
    own.touch()
    other.touch()
    with Ledger(tmp_path / "out" / "requests", "1-of-2"), pytest.raises(OptionError, match="in use"):
        Job(open_source(SOURCE), tmp_path / "out", Rules(), Settings(shard=(1, 2))).run()
    assert own.exists()
    Job(open_source(SOURCE), tmp_path / "out", Rules(), Settings(shard=(1, 2))).run()
    assert other.exists()
    assert not own.exists()


def test_a_shard_alone_leaves_the_rest_open(tmp_path: Path) -> None:
    source = open_source(SOURCE)
    counts = []
    for number in (1, 2):
        outcome = Job(source, tmp_path / "out", Rules(), Settings(shard=(number, 2))).run()
        counts.append((outcome.new, outcome.missing, outcome.summary is not None))
        assert (tmp_path / "out" / "run.json").exists() == (outcome.missing == 0)
    assert counts[0][0] + counts[1][0] == 9
    assert counts[0][1] == counts[1][0]
    assert [one[2] for one in counts] == [counts[0][1] == 0, True]


def test_interrupted_says_what_is_kept(tmp_path: Path) -> None:
    process = started(tmp_path / "out")
    while not (tmp_path / "out" / "requests").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    assert process.returncode == 0 or b"the same command goes on" in told


def test_two_processes_on_one_shard(tmp_path: Path) -> None:
    with Ledger(tmp_path, "1-of-1"), pytest.raises(OptionError, match="in use by another process"):
        Ledger(tmp_path, "1-of-1")


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    with Ledger(tmp_path, "1-of-1") as ledger:
        ledger.add("a", "x", "scene", Reply("words"))
    path = tmp_path / "1-of-1.jsonl"
    path.write_bytes(b"\x00\x00\n" + path.read_bytes())
    with pytest.raises(OptionError, match="line 1 is damaged"):
        Ledger(tmp_path, "1-of-1")


@pytest.mark.parametrize(
    "change",
    [{"key": ["a"]}, {"text": 5}, {"text": None}, {"tokens_in": "many"}, {"seconds": "long"}, {"fault": 1}, {"key": 1}],
)
def test_a_line_with_another_kind_of_value_is_named(change: dict[str, object], tmp_path: Path) -> None:
    with Ledger(tmp_path, "1-of-1") as ledger:
        ledger.add("a", "x", "scene", Reply("words"))
    path = tmp_path / "1-of-1.jsonl"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}) + "\n")
    with pytest.raises(OptionError, match="line 1 is damaged"):
        Ledger(tmp_path, "1-of-1")


@pytest.mark.parametrize("name", ["keys", "sentences", "dropped"])
def test_a_record_with_a_part_missing_is_named(name: str, whole: Path, tmp_path: Path) -> None:
    out = shutil.copytree(whole, tmp_path / "out")
    path = next((out / "items").glob("*.json"))
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != name}))
    with pytest.raises(OutputError, match="is no whole record of format 1; remove it"):
        annotated(SOURCE, out)
    path.unlink()
    annotated(SOURCE, out)
    assert contents(out) == contents(whole)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no device that is always full")
def test_a_full_disk_is_named_and_what_is_recorded_kept(tmp_path: Path) -> None:
    with Ledger(tmp_path, "1-of-1") as ledger:
        ledger.add("a", "x", "scene", Reply("words"))
    ledger = Ledger(tmp_path, "1-of-1")
    assert ledger.file is not None
    ledger.file.close()
    ledger.file = open("/dev/full", "wb")  # noqa: SIM115 - the ledger closes it
    with pytest.raises(OutputError, match="No space left"):
        ledger.add("b", "x", "scene", Reply("words"))
    assert ledger.get("b") is None
    ledger.close()
    with Ledger(tmp_path, "1-of-1") as ledger:
        assert ledger.get("a") == Reply("words")


def test_a_disk_that_fills_leaves_nothing_half_written(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, sync, left = tmp_path / "out", os.fsync, iter(range(12))  # the next is that of a picture's file

    def full(number: int) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(number)

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match=r"^out=.*No space left.*make room.*same command"):
        annotated(SOURCE, out)
    monkeypatch.setattr("os.fsync", sync)
    assert not list(out.rglob("*.partial"))
    assert not (out / "run.json").exists()
    for record in records(out):
        assert (out / "GeoPixelD" / "train" / f"{record['id']}.json").exists()
    annotated(SOURCE, out)
    assert contents(out) == contents(whole)
