"""Mixed requests from several clients for ten seconds: each answer is the direct one, and the front stays awake."""

from __future__ import annotations

from geopixel_edge import Pipeline

from ..support.server_load import Load
from ..support.servers import Server


def test_ten_seconds_of_mixed_requests(server: Server, direct: Pipeline) -> None:
    seen = Load(server, direct, clients=4).run(10)
    assert not seen.wrong, seen.wrong[:5]
    assert seen.requests >= 4, seen.counts  # some twenty where no other process has the cores
    assert seen.answered >= 2, seen.counts
    assert seen.health_p99_s < 0.5  # generous: other processes may have the cores; the nightly test asks for 50 ms
    server.wait_idle()
    assert server.metric("queue_length") == server.metric("held_body_bytes") == 0
    assert server.metric("worker_restarts") == 0
    assert not server.events("error")
