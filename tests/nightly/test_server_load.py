"""Sixteen clients for two minutes: no wrong answer, no growing memory, and a front that answers within 50 ms.

What was measured goes to build/server-load.json.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from benchmarks.machine import host_machine
from geopixel_edge import Pipeline
from geopixel_edge.serve.front import REST_S

from ..support.server_load import Load, resident_bytes
from ..support.servers import ROOT, serving

pytestmark = pytest.mark.long
MB, SECONDS = 1e6, 120
RESULT = ROOT / "build" / "server-load.json"
WARM = 200  # requests, by which what is kept open is in its place and both heaps are as large as they become


def test_two_minutes_of_sixteen_clients(tmp_path: Path, direct: Pipeline) -> None:
    with serving(tmp_path, "--queue", "32") as server:
        load = Load(server, direct, clients=16)
        while load.seen.requests < WARM:
            load.run(20)
        server.wait_idle(120)
        time.sleep(2 * REST_S)
        before, begun = resident_bytes(server), load.seen.requests
        seen = load.run(SECONDS)
        server.wait_idle(120)
        time.sleep(2 * REST_S)
        each = [after - one for after, one in zip(resident_bytes(server), before, strict=True)]
        grown, asked = sum(each), seen.requests - begun
        found = {
            "environment": host_machine(),
            "settings": {"clients": load.clients, "seconds": SECONDS},
            "requests": asked,
            "answered": seen.answered,
            "refused": seen.refused,
            "counts": seen.counts,
            "wrong": len(seen.wrong),
            "health_p99_s": seen.health_p99_s,
            "grown_bytes": {"front": each[0], "worker": each[1]},
        }
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(found))
        assert not seen.wrong, seen.wrong[:5]
        assert asked > 200, seen.counts
        assert grown / asked < MB / 100
        assert seen.health_p99_s < 0.050
        assert server.metric("worker_restarts") == 0
        assert not server.events("error")
        assert server.stop() == 0
