"""Connections that smuggle, stall, break off or overflow: refused or closed, and others are answered meanwhile."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from geopixel_edge import limits
from geopixel_edge.serve.protocol import MAX_HEAD_BYTES

from ..support.servers import Server, chat, read_until, refused

HOST = b"Host: localhost\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\n" + HOST + b"\r\n"


def everything(connection: socket.socket, timeout_s: float = 10.0) -> bytes:
    """What comes until the server closes; fails where it does not."""
    connection.settimeout(timeout_s)
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionError:
        pass
    return found


# --- Smuggling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_bytes",
    [
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        POST + b"Content-Length: 5, 6\r\n\r\nabcdef",
        POST + b"Content-Length: +5\r\n\r\nabcde",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 0x5\r\n\r\nabcde",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + HIDDEN,
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nab\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
        b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
        b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"A: b\0c\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"A\xff: b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_another_server_might_read_otherwise(server: Server, request_bytes: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(request_bytes)
        found = everything(connection)
    assert found.startswith(b"HTTP/1.1 400 "), found[:200]
    assert found.count(b"HTTP/1.1 ") == 1, "what stood behind was taken as a request"
    assert b'{"error":{"message":' in found
    assert not [line for line in server.events("request") if line["path"] == "/hidden"]


# --- Too many, too slow, too short ----------------------------------------------------------------------------------


def test_ten_thousand_headers(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST)
        try:
            for number in range(10_000):
                connection.sendall(b"x-%d: %s\r\n" % (number, b"y" * 20))
            connection.sendall(b"\r\n")
        except OSError:
            pass  # refused before all were sent
        found = everything(connection)
    assert found == b"" or found.startswith(b"HTTP/1.1 431 ")  # it may be cut off before it has read this
    assert server.get("/healthz").status == 200


@pytest.mark.parametrize("more", [1, -4])
def test_a_head_that_is_too_long_is_told_so(server: Server, more: int) -> None:
    """By its bytes before it ends, or by its headers once it has; the last byte sent is the first too many."""
    head = b"GET /healthz HTTP/1.1\r\n" + HOST
    head += b"a:b\r\n" * ((MAX_HEAD_BYTES - len(head)) // 5)
    head = head.ljust(MAX_HEAD_BYTES + 1, b"a") if more > 0 else head + b"\r\n"
    with server.connect() as connection:
        connection.sendall(head)
        found = everything(connection)
    assert found.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b'{"error":{"message":' in found


def test_headers_are_counted(server: Server) -> None:
    kept = {f"x-{number}": "y" for number in range(90)}
    assert server.get("/healthz", kept).status == 200
    reply = server.get("/healthz", {**kept, **{f"z-{number}": "y" for number in range(20)}})
    assert (reply.status, reply.problem["code"], reply.headers["connection"]) == (431, "bad_request", "close")
    assert "send at most 100" in reply.problem["message"]


def test_a_slow_head_and_a_slow_body_are_ended_while_others_are_answered(server: Server) -> None:
    began = time.monotonic()
    slow = [POST[:-1], POST + b"Content-Length: 100\r\n\r\n{"]
    connections = [server.connect() for _ in slow]
    for connection, part in zip(connections, slow, strict=True):
        connection.sendall(part)
    while time.monotonic() - began < 1.0:
        assert server.get("/healthz").status == 200
        for connection in connections:
            connection.sendall(b" ")
        time.sleep(0.2)
    head, body = (everything(connection, 30) for connection in connections)
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"did not come within 3 s" in head
    assert body.startswith(b"HTTP/1.1 408 ")
    assert b"body_timeout" in body
    for connection in connections:
        connection.close()


def test_a_slow_head_on_a_connection_that_was_used_is_ended(server: Server) -> None:
    with server.connect() as connection, server.connect() as idle:
        for one in (connection, idle):
            one.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
            assert read_until(one, b"}").startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHo")
        assert everything(connection).startswith(b"HTTP/1.1 408 ")
        idle.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")  # one that says nothing keeps its place
        assert read_until(idle, b"}").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("part", [b"", b"P", POST, POST + b"Content-Length: 100\r\n\r\n{"])
@pytest.mark.parametrize("half", [True, False])
def test_connections_that_break_off(server: Server, part: bytes, half: bool) -> None:
    with server.connect() as connection:
        connection.sendall(part)
        if half:
            connection.shutdown(socket.SHUT_WR)
            assert everything(connection) == b"", "nobody waits for an answer to a part of a request"
    assert server.get("/healthz").status == 200
    assert server.metric("answering") == 0
    assert server.metric("held_body_bytes") == 0


def test_a_hundred_connections_that_say_nothing(server: Server) -> None:
    silent = [server.connect() for _ in range(100)]
    replies: list[int] = []
    asking = threading.Thread(
        target=lambda: replies.append(server.post("/v1/chat/completions", chat(None, "a", max_tokens=1)).status)
    )
    asking.start()
    asking.join(60)
    for connection in silent:
        connection.close()
    assert replies == [200]


def test_too_many_connections_are_told_and_the_front_still_says_that_it_lives(server: Server) -> None:
    silent = [server.connect() for _ in range(limits.MAX_CONNECTIONS)]
    try:
        assert server.get("/healthz").status == 200
        reply = server.get("/v1/models")
        refused(reply, 503, "over 512 connections are open")
        assert (reply.problem["code"], reply.headers["connection"]) == ("too_many_connections", "close")
        assert int(reply.headers["retry-after"]) >= 1
    finally:
        for connection in silent:
            connection.close()
    while server.get("/v1/models").status != 200:
        time.sleep(0.05)


def test_addresses_and_methods_that_are_none(server: Server) -> None:
    for method, path, status in (
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/v1/images/..%2f..%2fetc%2fpasswd/preview", 404),
        ("DELETE", "/v1/images/%00", 404),
        ("GET", "/" + "a" * 20_000, 404),
        ("PUT", "/v1/segment", 405),
        ("TRACE", "/", 405),
        ("GET", "/v1/segment", 405),
    ):
        reply = server.ask(method, path)
        assert reply.status == status, (method, path[:50])
        assert reply.problem["code"]
