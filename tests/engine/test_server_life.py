"""A server's life: a worker that is killed, clients that go away, signals, and starts that cannot succeed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from geopixel_edge import Pipeline

from ..support.servers import DESCRIBE, ROOT, Reply, Server, begin, chat, data_url, png, read_until, serving, tile


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose worker the tests kill."""
    with serving(tmp_path_factory.mktemp("mortal"), "--queue", "4") as running:
        yield running


def asked(server: Server, number: int = 0, **more: Any) -> Reply:
    return server.post("/v1/chat/completions", chat(data_url(png(tile(number))), DESCRIBE, **more))


# --- A worker that dies ---------------------------------------------------------------------------------------------


def test_kill_9_in_the_middle_of_an_answer(mortal: Server, direct: Pipeline) -> None:
    before = mortal.worker_pid()
    connection = begin(mortal, stream=True)
    read_until(connection, b'"content":"This"')
    os.kill(before, signal.SIGKILL)
    killed_s = time.monotonic()
    rest = read_until(connection, b"worker_died")
    assert time.monotonic() - killed_s < 1.0
    error = json.loads(rest[rest.index(b'{"error"') :].splitlines()[0])["error"]
    assert error["type"] == "server_error"
    assert "ask again" in error["message"]
    connection.close()
    found = asked(mortal).json  # waits for the worker that was started anew
    assert found["choices"][0]["message"]["content"] == direct(tile(0), DESCRIBE).text
    assert mortal.worker_pid() != before
    assert mortal.get("/readyz").status == 200
    assert mortal.metric("worker_restarts") == 1


def test_a_whole_answer_is_an_error_object_and_what_waited_is_answered(mortal: Server) -> None:
    replies: list[Reply] = []
    threads = [threading.Thread(target=lambda: replies.append(asked(mortal, max_tokens=40))) for _ in range(2)]
    for thread in threads:
        thread.start()
        while mortal.metric("answering") < len(threads) and thread is threads[-1]:
            time.sleep(0.01)
    pid = mortal.worker_pid()
    os.kill(pid, signal.SIGKILL)
    for thread in threads:
        thread.join(90)
    assert sorted(reply.status for reply in replies) == [200, 503]
    (failed,) = [reply for reply in replies if reply.status == 503]
    assert failed.problem["code"] == "worker_died"
    assert int(failed.headers["retry-after"]) >= 1


# --- A worker that hangs --------------------------------------------------------------------------------------------


def test_a_worker_that_hangs_is_started_anew_and_the_client_is_told(tmp_path: Path, direct: Pipeline) -> None:
    with serving(tmp_path, "--hang-s", "1") as running:
        before = running.worker_pid()
        os.kill(before, signal.SIGSTOP)
        began = time.monotonic()
        connection = begin(running, stream=True, deadline_s=0.5)
        waiting: list[Reply] = []
        other = threading.Thread(target=lambda: waiting.append(asked(running)))
        other.start()
        rest = read_until(connection, b"worker_hung")
        assert 1.5 <= time.monotonic() - began < 10
        error = json.loads(rest[rest.index(b'{"error"') :].splitlines()[0])["error"]
        assert (error["type"], error["code"]) == ("server_error", "worker_hung")
        connection.close()
        other.join(90)
        assert waiting[0].json["choices"][0]["message"]["content"] == direct(tile(0), DESCRIBE).text
        assert running.worker_pid() != before
        assert [line["pid"] for line in running.events("worker_hung")] == [before]
        with pytest.raises(ProcessLookupError):
            os.kill(before, 0)
        assert running.stop() == 0


# --- Clients that go away -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "half"),
    [
        (True, False),
        (False, True),
        pytest.param(True, True, marks=pytest.mark.long),
        pytest.param(False, False, marks=pytest.mark.long),
    ],
)
def test_a_client_that_goes_away_frees_the_worker(mortal: Server, stream: bool, half: bool) -> None:
    mortal.wait_idle()
    written = mortal.metric('tokens_total{kind="written"}')
    connection = begin(mortal, stream, number=5)
    while not mortal.metric("answering"):
        time.sleep(0.01)
    if stream:
        read_until(connection, b'"content"')
    if half:
        connection.shutdown(socket.SHUT_WR)
    else:
        connection.close()
    mortal.wait_idle()
    assert asked(mortal, number=5, max_tokens=2).status == 200
    # A whole answer of this picture has 52 tokens, and the one behind it 2.
    assert mortal.metric('tokens_total{kind="written"}') - written < 15
    connection.close()


def test_a_full_queue_refuses_with_the_time_to_wait(mortal: Server) -> None:
    connections = [begin(mortal, stream=False, number=6) for _ in range(6)]
    while mortal.metric("queue_length") < 3:
        time.sleep(0.01)
    reply = asked(mortal)
    assert reply.status == 429
    assert int(reply.headers["retry-after"]) >= 1
    assert reply.problem["code"] == "rate_limit_exceeded"
    assert mortal.get("/healthz").status == 200
    for connection in connections:
        connection.close()
    mortal.wait_idle()


# --- Its end --------------------------------------------------------------------------------------------------------


def test_sigterm_drains_and_ends_with_0(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        connection = begin(running, stream=True)
        read_until(connection, b'"content"')
        running.process.send_signal(signal.SIGTERM)
        while not running.events("draining"):
            time.sleep(0.01)
        ready = running.get("/readyz")
        assert (ready.status, ready.json["status"]) == (503, "draining")
        refused = asked(running)
        assert (refused.status, refused.problem["code"]) == (503, "draining")
        assert b"[DONE]" in read_until(connection, b"[DONE]")
        assert running.process.wait(20) == 0
        assert "Traceback" not in running.log.read_text()


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        connection = begin(running, stream=True)
        read_until(connection, b'"content"')
        running.process.send_signal(signal.SIGINT)
        while not running.events("draining"):
            time.sleep(0.01)
        began = time.monotonic()
        assert running.stop(signal.SIGINT) == 0
        assert time.monotonic() - began < 10
        connection.close()


# --- Starts that cannot succeed -------------------------------------------------------------------------------------


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "geopixel_edge", "serve", "--port", "0", "--device", "cpu", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--engine", "docs"], 4, "docs"),
        (["--host", "0.0.0.0"], 3, "give --api-key-file, or type --no-auth"),
        (["--host", "203.0.113.1", "--no-auth"], 3, "give another --port or --host"),
        (["--memory", "20MB"], 5, "give at least"),
        (["--api-key-file", "none"], 3, "cannot be read"),
    ],
)
def test_one_line_says_what_is_wrong(arguments: list[str], code: int, said: str) -> None:
    done = start(*arguments)
    assert done.returncode == code, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert line.startswith("error: ")
    assert said in line


def test_a_port_that_is_taken_is_named(mortal: Server) -> None:
    done = start("--port", str(mortal.port))
    assert done.returncode == 3
    assert f"port={mortal.port}: Address already in use" in done.stderr
