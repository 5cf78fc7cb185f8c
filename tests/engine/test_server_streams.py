"""Streams that cannot be have the status of their error, not an event behind a 200; one that is cut off is told."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ..support.servers import DESCRIBE, Reply, Server, begin, chat, data_url, png, read_until, refused, serving, tile

GONE = f"img_elsewhere.0_{'0' * 32}"


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        (chat(data_url(png(tile(0, 64))[:200]), DESCRIBE), 400, "image_error"),
        (chat(data_url(png(tile(0, 64))), "[UNUSED_TOKEN_146]"), 400, "query_error"),
        (chat(GONE, DESCRIBE), 404, "image_not_found"),
        (chat(GONE.replace("elsewhere", "HERE"), DESCRIBE), 404, "image_not_found"),
        (chat(data_url(png(tile(0, 64))), DESCRIBE, n=2), 400, "unsupported_value"),
    ],
)
def test_a_stream_that_cannot_be_has_the_status_of_its_error(
    server: Server, asked: dict[str, Any], status: int, code: str
) -> None:
    here: str = server.form("/v1/images", [("image", "a", png(tile(3, 64)))]).json["id"]
    text = json.dumps({**asked, "stream": True}).replace("img_HERE.0", here.rpartition("_")[0])
    reply = server.ask("POST", "/v1/chat/completions", text.encode(), {"Content-Type": "application/json"})
    refused(reply, status)
    assert reply.problem["code"] == code
    assert reply.headers["content-type"] == "application/json"
    assert server.metric("answering") == 0


def test_when_the_time_to_drain_is_over_streams_and_what_waits_are_told(tmp_path: Path) -> None:
    with serving(tmp_path, "--drain-s", "1") as running:
        connection = begin(running, stream=True)
        read_until(connection, b'"content":"T')
        os.kill(running.worker_pid(), signal.SIGSTOP)
        waiting: list[Reply] = []
        other = threading.Thread(
            target=lambda: waiting.append(running.post("/v1/chat/completions", chat(None, "What is a pier?")))
        )
        other.start()
        while not running.metric("queue_length"):
            time.sleep(0.01)
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        rest = read_until(connection, b'"ending"')
        assert 0.9 < time.monotonic() - began < 3
        error = json.loads(rest[rest.index(b'{"error"') :].splitlines()[0])["error"]
        assert (error["type"], error["code"]) == ("server_error", "ending")
        other.join(10)
        refused(waiting[0], 503, "the server ends")
        assert int(waiting[0].headers["retry-after"]) >= 1
        assert running.process.wait(20) == 0
        assert time.monotonic() - began < 5
        assert "Traceback" not in running.log.read_text()
        connection.close()
