"""A worker for each device: both answer, an image's id finds the worker that holds it, and one may die alone."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from geopixel_edge import Pipeline

from ..support.servers import Reply, chat, data_url, png, serving, tile

pytestmark = pytest.mark.long
DESCRIBE = "Describe this image with interleaved segmentation masks."


def test_two_workers_share_the_work_and_ids_find_theirs(tmp_path: Path, direct: Pipeline) -> None:
    wanted = {number: direct(tile(number), DESCRIBE, max_new_tokens=24).text for number in range(6)}
    with serving(tmp_path, "--device", "cpu,cpu", "--threads", "1", "--name", "two") as server:
        kept = {number: server.form("/v1/images", [("image", "a", png(tile(number)))]).json for number in wanted}
        assert {one["worker"] for one in kept.values()} == {"two.0", "two.1"}
        replies: dict[tuple[int, str], Reply] = {}

        def ask(number: int, image: str) -> None:
            replies[number, image] = server.post("/v1/chat/completions", chat(image, DESCRIBE, max_tokens=24))

        threads = [
            threading.Thread(target=ask, args=(number, image))
            for number in wanted
            for image in (kept[number]["id"], data_url(png(tile(number))))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        for (number, _), reply in replies.items():
            message = reply.json["choices"][0]["message"]
            assert message["content"] == wanted[number]
            assert message["grounding"]["images"] == [kept[number]["id"]]
        gone = {line["worker"]: line["pid"] for line in server.events("worker_ready")}["two.1"]
        os.kill(gone, signal.SIGKILL)
        while server.metric("worker_restarts") < 1:
            time.sleep(0.05)
        lives = next(one["id"] for one in kept.values() if one["worker"] == "two.0")
        assert server.post("/v1/chat/completions", chat(lives, DESCRIBE, max_tokens=2)).status == 200
        lost = next(one["id"] for one in kept.values() if one["worker"] == "two.1")
        refused = server.post("/v1/chat/completions", chat(lost, DESCRIBE, max_tokens=2))
        assert (refused.status, refused.problem["code"]) == (404, "image_not_found")
        assert server.get("/readyz").status == 200
        assert server.stop() == 0
