"""Many clients that ask a server mixed questions, go away, and send nonsense, while somebody watches its health."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil

from geopixel_edge import Pipeline

from .servers import Reply, Server, chat, data_url, png, tile

DESCRIBE = "Describe this image with interleaved segmentation masks."
PHRASES = ("the buildings", "the bridge")
SIDES_PX = (256, 320, 224)
MAX_TOKENS = 24
# A body, and the status that it must get.
BAD: tuple[tuple[str, bytes, int], ...] = (
    ("application/json", b"{", 400),
    ("application/json", b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "a"}]}', 404),
    ("application/json", json.dumps(chat("http://example.org/a.png", "a")).encode(), 400),
    ("text/plain", b"{}", 415),
    ("application/json", b"\xff\xfe", 400),
)


@dataclass
class Seen:
    """What the clients met: requests by kind, what was wrong in words, and how long /healthz took.

    Of the requests `answered` were compared with the direct answer, and `refused` found a full queue.
    """

    answered: int = 0
    refused: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    health_s: list[float] = field(default_factory=list)

    def count(self, kind: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1

    @property
    def requests(self) -> int:
        return sum(self.counts.values())

    @property
    def health_p99_s(self) -> float:
        return float(np.percentile(self.health_s, 99))


class Load:
    """`clients` threads against a server; what is right comes from `direct`, asked beforehand."""

    def __init__(self, server: Server, direct: Pipeline, clients: int) -> None:
        self.server, self.clients, self.seen = server, clients, Seen()
        self.pictures = [tile(number + 1, side) for number, side in enumerate(SIDES_PX)]
        self.files = [png(picture) for picture in self.pictures]
        self.answers = [direct(picture, DESCRIBE, max_new_tokens=MAX_TOKENS) for picture in self.pictures]
        self.masks = [[_masks(direct.segment(picture, phrase)) for phrase in PHRASES] for picture in self.pictures]
        self._ends_s = 0.0

    def run(self, seconds: float) -> Seen:
        """Everything that was met within so long; what was begun by then is waited for."""
        self._ends_s = time.monotonic() + seconds
        threads = [threading.Thread(target=self._client, args=(number,)) for number in range(self.clients)]
        threads.append(threading.Thread(target=self._watch))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.seen

    def _client(self, number: int) -> None:
        choice = random.Random(number)
        kinds = (self._whole, self._streamed, self._tiles, self._kept, self._gone, self._bad)
        while time.monotonic() < self._ends_s:
            kind = choice.choice(kinds)
            try:
                kind(choice)
            except Exception as error:  # what a thread raises would be lost
                self.seen.wrong.append(f"{kind.__name__}: {error!r}")
            self.seen.count(kind.__name__.strip("_"))

    def _watch(self) -> None:
        while time.monotonic() < self._ends_s:
            began = time.monotonic()
            if self.server.get("/healthz").status != 200:
                self.seen.wrong.append("healthz")
            self.seen.health_s.append(time.monotonic() - began)
            time.sleep(0.05)

    # --- Kinds of requests ------------------------------------------------------------------------------------

    def _ask(self, image: str, which: int, **more: Any) -> Reply | None:
        reply = self.server.post("/v1/chat/completions", chat(image, DESCRIBE, max_tokens=MAX_TOKENS, **more))
        return self._taken(reply)

    def _taken(self, reply: Reply) -> Reply | None:
        """The reply; None where the queue was full, as it may be."""
        if reply.status == 429:
            assert int(reply.headers["retry-after"]) >= 1
            self.seen.refused += 1
            return None
        assert reply.status < 300, (reply.status, reply.body[:200])
        return reply

    def _check(self, which: int, text: str, grounding: Any) -> None:
        wanted = self.answers[which]
        assert text == wanted.text, (text, wanted.text)
        assert [one["segmentation"] for one in grounding["regions"]] == _masks(wanted.regions)
        self.seen.answered += 1

    def _whole(self, choice: random.Random) -> None:
        which = choice.randrange(len(self.files))
        if reply := self._ask(data_url(self.files[which]), which):
            message = reply.json["choices"][0]["message"]
            self._check(which, message["content"], message["grounding"])

    def _streamed(self, choice: random.Random) -> None:
        which = choice.randrange(len(self.files))
        if not (reply := self._ask(data_url(self.files[which]), which, stream=True)):
            return
        lines = [line[6:] for line in reply.body.decode().splitlines() if line.startswith("data: ")]
        assert lines[-1] == "[DONE]", lines[-1]
        deltas = [json.loads(line)["choices"][0]["delta"] for line in lines[:-1]]
        self._check(which, "".join(one.get("content") or "" for one in deltas), deltas[-1]["grounding"])

    def _tiles(self, choice: random.Random) -> None:
        which = choice.randrange(len(self.files))
        asked = {"images": [data_url(self.files[which])] * choice.choice((1, 2)), "phrases": PHRASES}
        if reply := self._taken(self.server.post("/v1/segment", asked)):
            for one in reply.json["results"]:
                assert [region["segmentation"] for region in one["regions"]] == self.masks[which][one["phrase"]]
            self.seen.answered += 1

    def _kept(self, choice: random.Random) -> None:
        which = choice.randrange(len(self.files))
        kept = self._taken(self.server.form("/v1/images", [("image", "a", self.files[which])]))
        if kept and (reply := self._ask(kept.json["id"], which)):
            message = reply.json["choices"][0]["message"]
            self._check(which, message["content"], message["grounding"])

    def _gone(self, choice: random.Random) -> None:
        body = json.dumps(chat(data_url(choice.choice(self.files)), DESCRIBE, stream=choice.random() < 0.5)).encode()
        head = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with self.server.connect() as connection:
            connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\n" + head.encode() + body)
            time.sleep(choice.random())

    def _bad(self, choice: random.Random) -> None:
        kind, body, status = choice.choice(BAD)
        reply = self.server.ask("POST", "/v1/chat/completions", body, {"Content-Type": kind})
        assert reply.status == status, (reply.status, reply.body[:200])
        assert reply.problem


def _masks(regions: Any) -> list[Any]:
    return [region.mask.to_coco() for region in regions]


@contextmanager
def grown_bytes(pid: int) -> Iterator[Callable[[], int]]:
    """By how much a process has grown at most since the block began, told at any time in or after it."""
    process, going, peak = psutil.Process(pid), True, 0

    def watch() -> None:
        nonlocal peak
        while going:
            peak = max(peak, process.memory_info().rss)
            time.sleep(0.002)

    before, watching = process.memory_info().rss, threading.Thread(target=watch)
    watching.start()
    try:
        yield lambda: peak - before
    finally:
        going = False
        watching.join()


def resident_bytes(server: Server) -> list[int]:
    """Of the front, and of its worker."""
    one = psutil.Process(server.process.pid)
    return [int(process.memory_info().rss) for process in (one, *one.children(recursive=True))]
