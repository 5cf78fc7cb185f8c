"""One deadline for a whole exchange with an endpoint, and keys and addresses that cannot be sent."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from annotate.cli import main
from annotate.describers.base import Request
from annotate.describers.openai import OpenAI, Options
from annotate.errors import DescriberError
from annotate.facts import Facts
from geopixel_edge.errors import OptionError

FAST = Options(timeout_s=0.25, tries=1)
QUESTION = Request("instance", "What?", Facts("instance", "ship", 1, "one"))


@contextlib.contextmanager
def dripping(start: bytes, again: bytes) -> Iterator[str]:
    """The address of a server that sends `start`, then `again` every 50 ms for 3 s."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(start)
                    end = time.monotonic() + 3
                    while time.monotonic() < end:
                        connection.sendall(again)
                        time.sleep(0.05)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}/v1"
    thread.join(5)


@pytest.mark.parametrize(
    ("scheme", "start", "again"),
    [
        ("http", b"", b"H"),
        ("http", b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        ("http", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        ("http", b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ("http", b"HTTP/1.1 200 OK\r\n\r\n", b" "),
        ("https", b"\x16\x03\x03\x40\x00", b"\x00"),
    ],
    ids=["status", "header", "chunk", "continue", "body", "handshake"],
)
def test_what_drips_ends_at_the_deadline(scheme: str, start: bytes, again: bytes) -> None:
    began = time.monotonic()
    with dripping(start, again) as address, pytest.raises(DescriberError, match=r"no whole reply in 0\.25 s"):
        OpenAI(f"{scheme}://{address}", "model", FAST).describe(QUESTION)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "key", ["sk-hidden\r", "sk-hidden\n", "sk hidden", "sk-hidden\u20ac", "sk-hidden\xe9", "\x00sk"]
)
def test_a_key_that_no_header_holds_is_not_shown(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.environ", {"SECRET": key})
    with pytest.raises(OptionError, match="key_variable='SECRET' holds") as found:
        OpenAI("http://127.0.0.1/v1", "model", Options(key_variable="SECRET"))
    assert "sk" not in str(found.value)
    words = ["scenes:1-1,128", str(tmp_path / "out"), "--describer", "openai:http://127.0.0.1:9/v1,m"]
    assert main([*words, "--key-variable", "SECRET"]) == 3
    told = capsys.readouterr()
    assert told.err.startswith("error: key_variable=")
    assert "hidden" not in told.err + told.out


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "http://127.0.0.1/\u00e9",
        "http://127.0.0.1/v1 x",
        "http://127.0.0.1/v1\r\nX: y",
        "http://a..b/v1",
        "http://127.0.0.1:-1/v1",
    ],
)
def test_addresses_that_cannot_be_asked(url: str) -> None:
    with pytest.raises(OptionError, match="describer url="):
        OpenAI(url, "model", Options(allow_remote=True))


def test_a_password_in_an_address_is_not_shown() -> None:
    with pytest.raises(OptionError, match="no plain http") as found:
        OpenAI("http://user:word@127.0.0.1/v1", "model", FAST)
    assert "word@" not in str(found.value)
