"""Sixteen clients for two minutes: no wrong answer, no growing memory, and a front that answers within 50 ms."""

from __future__ import annotations

from pathlib import Path

import pytest

from geopixel_edge import Pipeline

from ..support.server_load import Load, resident_bytes
from ..support.servers import serving

pytestmark = pytest.mark.long
MB = 1e6


def test_two_minutes_of_sixteen_clients(tmp_path: Path, direct: Pipeline) -> None:
    with serving(tmp_path, "--queue", "32") as server:
        load = Load(server, direct, clients=16)
        load.run(20)  # what is kept open is in its place by then
        server.wait_idle(120)
        before, begun = resident_bytes(server), load.seen.requests
        seen = load.run(120)
        server.wait_idle(120)
        grown = resident_bytes(server) - before
        asked = seen.requests - begun
        print(f"{seen.counts}, /healthz p99 {1000 * seen.health_p99_s:.1f} ms, grown {grown / MB:.1f} MB")
        assert not seen.wrong, seen.wrong[:5]
        assert asked > 200, seen.counts
        assert grown / asked < MB / 100
        assert seen.health_p99_s < 0.050
        assert server.metric("worker_restarts") == 0
        assert not server.events("error")
        assert server.stop() == 0
