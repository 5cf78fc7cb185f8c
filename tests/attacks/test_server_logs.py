"""The log under attack: every line is JSON, and none has a word of what was asked or sent."""

from __future__ import annotations

import json

from ..support.servers import Server, chat, data_url, png, tile

WORD = "Weißdornhecke"


def test_every_line_is_json_and_none_has_what_was_sent(server: Server) -> None:
    whole, cut = png(tile(0, 32)), png(tile(0, 32))[:200]
    for asked in (
        chat(None, WORD, max_tokens=1),
        chat(data_url(whole), f"{WORD} [UNUSED_TOKEN_146]"),
        chat(data_url(cut), WORD),
        chat(data_url(cut), WORD, stream=True),
        chat(f"file:///{WORD}", "a"),
        chat(None, "a", stop=WORD),
        chat(None, "a", **{WORD: 1}, max_tokens=1),
        {"model": WORD, "messages": []},
    ):
        server.post("/v1/chat/completions", asked)
    server.ask("POST", "/v1/segment", f'{{"images": "{WORD}'.encode(), {"Content-Type": "application/json"})
    server.form("/v1/segment", [("image", f"{WORD}.png", cut), ("phrase", None, WORD.encode())])
    server.form("/v1/segment", [("image", "a", whole), (WORD, None, b"a"), ("crs", None, WORD.encode())])
    kind = "multipart/form-data; boundary=a"
    server.ask("POST", "/v1/images", f"--{WORD}".encode(), {"Content-Type": kind})
    with server.connect() as connection:
        connection.sendall(f"NO {WORD}\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
    lines = server.log.read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["event"] for line in lines} >= {"listening", "worker_ready", "request", "library"}
    assert not [line for line in lines if WORD in line or "dornhecke" in line or "UNUSED" in line]
