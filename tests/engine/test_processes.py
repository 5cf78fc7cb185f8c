"""One engine and several processes: forked, spawned, pickled. What cannot work says so; nothing hangs or dies."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from geopixel_edge import (
    EngineMismatchError,
    EngineNotFoundError,
    GeoPixelError,
    Pipeline,
    ProcessError,
    SessionClosedError,
)
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.golden import verify
from geopixel_edge.images import load_image

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
PIXELS = np.random.default_rng(8).integers(0, 255, (60, 80, 3), np.uint8)
QUESTION, TOKENS = "Where is the pier?", 4
LIMIT_S = 30.0


@pytest.fixture(scope="module")
def loaded() -> Pipeline:
    return Pipeline(device="cpu", threads=4)


def ask(pipeline: Pipeline) -> list[int]:
    return pipeline(PIXELS, QUESTION, hd_num=1, max_new_tokens=TOKENS).token_ids


def forked(body: Callable[[], int], limit_s: float = LIMIT_S) -> int:
    """Fork, run `body` and end in the ordinary way with its result; the wait status, in waitpid's form."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = body()
        finally:
            # What pytest left to do at its exit is the parent's.
            os._exit(code)
    return waited(child, limit_s)


def waited(child: int, limit_s: float = LIMIT_S) -> int:
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        time.sleep(0.02)
    os.kill(child, 9)
    os.waitpid(child, 0)
    pytest.fail(f"the child hangs after {limit_s} s")


def refused(use: Callable[[], object], *fragments: str) -> int:
    try:
        use()
    except ProcessError as error:
        return 0 if all(fragment in str(error) for fragment in ("Pipeline", "worker", *fragments)) else 2
    return 1


def test_a_forked_child_is_told_that_the_engine_is_not_its_own(loaded: Pipeline) -> None:
    opened = loaded.open(PIXELS, hd_num=1)
    opened.ask(QUESTION, max_new_tokens=1)
    stream = opened.stream(QUESTION, max_new_tokens=TOKENS)
    block = loaded.model.residency.load(frozenset({"pixel_decoder"}))["pixel_decoder"]
    uses: list[Callable[[], object]] = [
        lambda: ask(loaded),
        lambda: loaded.open("absent.png"),
        lambda: opened.ask(QUESTION),
        lambda: opened.segment("the pier"),
        lambda: list(stream),
        lambda: verify(loaded.model),
        lambda: block.run({}),
    ]
    assert [forked(lambda use=use: refused(use, str(os.getppid()))) for use in uses] == [0] * len(uses)  # type: ignore[misc]
    assert len(ask(loaded)) == TOKENS
    assert len(stream.answer.token_ids) == TOKENS


def test_a_forked_child_may_load_its_own(loaded: Pipeline) -> None:
    wanted = ask(loaded)
    assert forked(lambda: int(ask(Pipeline(device="cpu", threads=2)) != wanted)) == 0


# Children that end in the ordinary way: every exit handler of Python's and C's runs. In a process of its own, since
# pytest's handlers would run too.
ENDS = """
import gc, os, sys, threading
from geopixel_edge import Pipeline
pipeline = Pipeline(threads=4)
statuses = []
for body in (lambda: sys.exit(0), lambda: sys.exit(7), lambda: None, lambda: drop(), lambda: 1 / 0, lambda: again()):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        def drop():
            del globals()["pipeline"]
            gc.collect()
        def again():
            grandchild = os.fork()
            if grandchild == 0:
                sys.exit(5)
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) + 1)
        sys.stderr = open(os.devnull, "w")
        print("said", flush=False)
        body()
        sys.exit(0)
    statuses.append(os.waitpid(child, 0)[1])
print([os.waitstatus_to_exitcode(status) for status in statuses])
"""


@pytest.mark.parametrize("telemetry", ["0", "1"])
def test_a_forked_child_ends_with_its_own_status_and_what_it_printed(telemetry: str, tmp_path: Path) -> None:
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": telemetry, "HOME": str(tmp_path)}
    environment.pop("CI", None)
    done = subprocess.run(
        [sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path
    )
    assert done.stdout.splitlines() == ["said"] * 6 + ["[0, 7, 0, 0, 1, 6]"], done.stderr


def test_a_child_forked_while_another_thread_decodes_does_not_hang(loaded: Pipeline, tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "large.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 9, (1800, 2600, 3), np.uint8)).save(path)
    stop = threading.Event()

    def decode() -> None:
        while not stop.is_set():
            load_image(path)

    worker = threading.Thread(target=decode)
    worker.start()
    try:
        for turn in range(6):
            time.sleep(0.03 + 0.05 * turn)
            assert forked(lambda: load_image(path).height_px - 1800) == 0
    finally:
        stop.set()
        worker.join()


# --- Pools -------------------------------------------------------------------------------------------------

_own: Pipeline | None = None


def prepare() -> None:
    global _own
    _own = Pipeline(device="cpu", threads=1)


def ask_own(_: int) -> list[int]:
    assert _own is not None
    return ask(_own)


def test_a_forked_pool_with_an_engine_for_each_worker(loaded: Pipeline) -> None:
    with multiprocessing.get_context("fork").Pool(2, initializer=prepare) as pool:
        assert pool.map_async(ask_own, range(3)).get(timeout=60) == [ask(loaded)] * 3


def test_a_spawned_pool_takes_the_pipeline_itself(loaded: Pipeline) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply_async(ask, (loaded,)).get(timeout=60) == ask(loaded)


# --- Pickling ----------------------------------------------------------------------------------------------


def test_a_pickled_pipeline_opens_the_same_engine_with_the_same_options(loaded: Pipeline) -> None:
    data = pickle.dumps(loaded)
    assert len(data) < 1000
    for again in (pickle.loads(data), copy.deepcopy(loaded)):
        assert (again.threads, again.device, again.engine.root) == (4, "cpu", BUNDLED)
        assert ask(again) == ask(loaded)


def test_a_pickle_does_not_take_another_engine_for_its_own(tmp_path: Path, engine_fp32: Path) -> None:
    place = tmp_path / "engine"
    shutil.copytree(BUNDLED, place)
    data = pickle.dumps(Pipeline(place, device="cpu", threads=1))
    shutil.rmtree(place)
    with pytest.raises(EngineNotFoundError, match="engine"):
        pickle.loads(data)
    shutil.copytree(engine_fp32, place)
    with pytest.raises(EngineMismatchError, match="another one here than the Pipeline that was pickled had"):
        pickle.loads(data)


def test_an_opened_image_pickles_and_a_closed_one_says_what_to_do(loaded: Pipeline) -> None:
    opened = loaded.open(PIXELS, hd_num=1)
    wanted = opened.ask(QUESTION, max_new_tokens=TOKENS)
    again = pickle.loads(pickle.dumps(opened))
    assert again.ask(QUESTION, max_new_tokens=TOKENS).token_ids == wanted.token_ids
    assert pickle.loads(pickle.dumps(wanted)).to_dict() == wanted.to_dict()
    opened.close()
    with pytest.raises(SessionClosedError, match="open it again"):
        pickle.dumps(opened)


def test_what_holds_a_process_s_own_says_what_to_pickle_instead(loaded: Pipeline) -> None:
    stream = loaded.open(PIXELS, hd_num=1).stream(QUESTION, max_new_tokens=1)
    for held, remedy in (
        (stream, "pickle its answer"),
        (loaded.model.residency.load(frozenset({"vision_encoder"}))["vision_encoder"], "pickle the Pipeline"),
    ):
        with pytest.raises(GeoPixelError, match=remedy):
            pickle.dumps(held)


def test_nothing_is_reported_or_kept_by_the_runtime(tmp_path: Path) -> None:
    """ONNX Runtime's telemetry writes a device id and a database below the user's home when it is on."""
    code = "import geopixel_edge as g; g.Pipeline(device='cpu'); import os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**environment, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    assert (done.stdout.strip(), done.stderr) == ("1", "")
    assert list(tmp_path.iterdir()) == []
