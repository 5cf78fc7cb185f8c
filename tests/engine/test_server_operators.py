"""What operators ask of a server: its addresses, its metrics before and after a question, and turns between keys."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

from ..support.servers import BRIDGE, Server, chat, data_url, png, serving, tile

KEYS = ("0123456789abcdef", "fedcba9876543210")


def test_what_operators_ask(server: Server) -> None:
    counted = (
        'tokens_total{kind="read"}',
        'tokens_total{kind="written"}',
        'images_total{cache="miss"}',
        "batch_size_count",
        'block_seconds_total{block="vision_encoder"}',
    )
    assert server.post("/v1/chat/completions", chat(data_url(png(tile(8))), BRIDGE)).status == 200
    before = {name: server.metric(name) for name in counted}
    assert server.post("/v1/chat/completions", chat(data_url(png(tile(9))), BRIDGE)).status == 200
    assert all(server.metric(name) > was for name, was in before.items()), before
    assert server.metric("kept_bytes") > 0
    assert server.get("/v1/models", {"Origin": "https://evil.example"}).status == 403
    assert server.ask("DELETE", f"/v1/images/img_elsewhere.0_{'0' * 32}").status == 404
    assert server.get("/healthz").json["status"] == server.get("/readyz").json["status"] == "ok"
    assert server.get("/openapi.json").json["openapi"] == "3.1.0"
    metrics = server.get("/metrics").body.decode()
    for name in (
        "queue_length",
        "block_seconds_total",
        "tokens_total",
        "batch_size_count",
        "images_total",
        "kept_bytes",
        'refusals_total{code="image_not_found"}',
        'refusals_total{code="origin_refused"}',
    ):
        assert f"geopixel_edge_{name}" in metrics
    line = server.events("request")[-1]
    assert line.keys() == {"time", "event", "request", "method", "path", "status", "seconds", "client"}
    assert b"<title>GeoPixel Edge" in server.get("/").body


def test_clients_with_keys_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("\n".join(KEYS))
    with serving(tmp_path, "--api-key-file", str(path), keys=KEYS[0]) as running:
        worker = running.worker_pid()
        os.kill(worker, signal.SIGSTOP)  # until all of them wait
        threads = []
        for key, waiting in ((KEYS[0], 0), (KEYS[0], 1), (KEYS[0], 2), (KEYS[0], 3), (KEYS[1], 4)):
            head = {"Authorization": f"Bearer {key}"}
            asked = chat(None, "What is a pier?", max_tokens=4)
            threads.append(threading.Thread(target=running.post, args=("/v1/chat/completions", asked, head)))
            threads[-1].start()
            while running.metric("answering") != waiting + 1 or running.metric("queue_length") != waiting:
                time.sleep(0.01)
        os.kill(worker, signal.SIGCONT)
        for thread in threads:
            thread.join(60)
        lines = [line for line in running.events("request") if line["path"] == "/v1/chat/completions"]
        assert [line["status"] for line in lines] == [200] * 5
        assert [line["client"] for line in lines] == ["key1", "key1", "key2", "key1", "key1"]
