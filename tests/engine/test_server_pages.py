"""What docs/serve.md tells a reader to type, typed against a server: its `curl` lines and its snippet."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from geopixel_edge import Pipeline

from ..support.command_table import SERVED
from ..support.documented import shown
from ..support.servers import SCENE, Server, chat, data_url

DESCRIBE = "Describe this image with interleaved segmentation masks."
PAGES = shown()
CURLS = sorted(one for one, where in PAGES.commands.items() if SERVED in where and one.startswith("curl "))
# What a line asks for -> what comes back.
COMES = {
    "chat/completions": r'"grounding":\{"regions":\[\{"phrase"',
    "geo+json": r'"type":"FeatureCollection","features":\[\{.*Polygon"',
    "before.png": r'"image":1,"phrase":0',
    "/v1/segment": r'"image":0,"phrase":1',
    "/v1/images": r'"id":"img_',
    "/readyz": r'"status":"ok"',
    "/metrics": r"geopixel_edge_queue_length 0",
    "/openapi.json": r'"openapi":"3\.1\.0"',
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's files."""
    folder = tmp_path_factory.mktemp("user")
    for name in ("scene.png", "before.png", "after.png"):
        shutil.copyfile(SCENE, folder / name)
    (folder / "question.json").write_text(json.dumps(chat(data_url(SCENE.read_bytes()), DESCRIBE)))
    return folder


def here(text: str, server: Server) -> str:
    """The text with this server's port."""
    assert "127.0.0.1:8000" in text
    return text.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")


@pytest.mark.parametrize("command", CURLS)
def test_a_curl_line(command: str, server: Server, folder: Path) -> None:
    done = subprocess.run(here(command, server), shell=True, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    wanted = next(pattern for part, pattern in COMES.items() if part in command)
    assert re.search(wanted, done.stdout), done.stdout[:1000]


def test_every_kind_of_line_is_there() -> None:
    assert [part for part in COMES if not any(part in command for command in CURLS)] == []


def test_the_snippet_of_openais_client(server: Server, folder: Path, direct: Pipeline) -> None:
    (code,) = [code for code, where in PAGES.snippets.items() if SERVED in where]
    done = subprocess.run(
        [sys.executable, "-c", here(code, server)], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    answer = direct(SCENE, DESCRIBE)
    assert done.stdout.splitlines()[0] == answer.text
    assert len(done.stdout.splitlines()) == 1 + len(answer.regions)
