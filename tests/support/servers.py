"""A server as a user starts it, in a process of its own, and plain ways to ask it."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
SCENE = ROOT / "examples" / "scene.png"
START_S = 120.0
DESCRIBE = "Describe this image with interleaved segmentation masks."
BRIDGE = "Could you provide a segmentation mask for the bridge in this image?"
Head = Mapping[str, str]


@dataclass
class Reply:
    """A response, its body whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> Any:
        """The error object; fails where the body is none, or where the message could not help."""
        error = self.json["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert len(error["message"]) > 10
        assert "Traceback" not in error["message"]
        assert "/tmp" not in error["message"]
        return error


@dataclass
class Server:
    """A running server: where it listens, its process, and its log."""

    port: int
    process: subprocess.Popen[str]
    log: Path
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Head | None = None) -> Reply:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, {**self.headers, **(headers or {})})
            found = connection.getresponse()
            return Reply(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read())
        finally:
            connection.close()

    def get(self, path: str, headers: Head | None = None) -> Reply:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, value: Any, headers: Head | None = None) -> Reply:
        """A JSON body."""
        return self.ask(
            "POST", path, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})}
        )

    def form(self, path: str, parts: Sequence[tuple[str, str | None, bytes]], headers: Head | None = None) -> Reply:
        """A multipart body of (field, file name, bytes)."""
        body, kind = multipart(parts)
        return self.ask("POST", path, body, {"Content-Type": kind, **(headers or {})})

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def events(self, event: str) -> list[dict[str, Any]]:
        """Lines of the log."""
        lines = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def worker_pid(self) -> int:
        """The process that holds the engine."""
        return int(self.events("worker_ready")[-1]["pid"])

    def metric(self, name: str) -> float:
        """A sample of /metrics."""
        for line in self.get("/metrics").body.decode().splitlines():
            if line.startswith(f"geopixel_edge_{name} "):
                return float(line.split()[-1])
        raise AssertionError(name)

    def wait_idle(self, timeout_s: float = 20.0) -> float:
        """Seconds until nothing is answered any more."""
        began = time.monotonic()
        while self.metric("answering"):
            assert time.monotonic() - began < timeout_s
            time.sleep(0.02)
        return time.monotonic() - began

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 40.0) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)


@contextmanager
def serving(folder: Path, *arguments: str, keys: str = "") -> Iterator[Server]:
    """`geopixel-edge serve` on a free port, ready; killed at the end if it still runs."""
    log = folder / "server.log"
    command = [sys.executable, "-m", "geopixel_edge", "serve", "--port", "0", "--device", "cpu", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert process.stdout is not None
    try:
        ready = process.stdout.readline()
        assert ready.startswith("ready: "), log.read_text()
        port = int(ready.split("/")[2].rpartition(":")[2])
        yield Server(port, process, log, {"Authorization": f"Bearer {keys}"} if keys else {})
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def multipart(parts: Sequence[tuple[str, str | None, bytes]]) -> tuple[bytes, str]:
    """A multipart body and its content type."""
    lines = []
    for name, file, data in parts:
        shown = f'; filename="{file}"' if file is not None else ""
        lines.append(
            f'--mark\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n\r\n'.encode() + data + b"\r\n"
        )
    return b"".join(lines) + b"--mark--\r\n", "multipart/form-data; boundary=mark"


def refused(reply: Reply, status: int, *words: str) -> None:
    """Fails unless the reply is an error object with this status, whose message has the words."""
    assert reply.status == status, reply.body[:300]
    for word in ("", *words):
        assert word in reply.problem["message"]


# --- Pictures and questions -----------------------------------------------------------------------------------------


def tile(number: int, side_px: int = 256) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A part of the example scene."""
    scene = np.asarray(Image.open(SCENE).convert("RGB"))
    x_px, y_px = (number * 97) % (scene.shape[1] - side_px), (number * 61) % (scene.shape[0] - side_px)
    return np.ascontiguousarray(scene[y_px : y_px + side_px, x_px : x_px + side_px])


def png(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """The pixels as a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def data_url(data: bytes) -> str:
    """An image file as OpenAI's clients send it."""
    return "data:image/png;base64," + base64.b64encode(data).decode()


def chat(image: str | None, question: str, **more: Any) -> dict[str, Any]:
    """A chat request about one image, given by data URL or id."""
    parts = [{"type": "image_url", "image_url": {"url": image}}] if image else []
    return {
        "model": "geopixel",
        "messages": [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}],
        **more,
    }


# --- Answers in part ------------------------------------------------------------------------------------------------


def begin(server: Server, stream: bool, number: int = 0, **more: Any) -> socket.socket:
    """Send a question about a tile; the connection it is answered on."""
    body = json.dumps(chat(data_url(png(tile(number))), DESCRIBE, stream=stream, **more)).encode()
    connection = server.connect()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def read_until(connection: socket.socket, mark: bytes) -> bytes:
    """What comes up to the mark; fails where the connection ends before."""
    found = b""
    while mark not in found:
        part = connection.recv(65536)
        assert part, found[-500:]
        found += part
    return found
