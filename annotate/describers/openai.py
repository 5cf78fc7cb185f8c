"""Any endpoint that speaks OpenAI's protocol: `POST {base}/chat/completions` with the picture as a data URL.

Replies are bounded in bytes and time. A reply of the wrong form costs its sentence; an endpoint that goes on failing
ends the run.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import json
import os
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from geopixel_edge.errors import OptionError

from ..errors import DescriberError
from .base import Reply, Request

MAX_REPLY_BYTES = 1 << 20
_RETRIED = (408, 409, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Options:
    """How an endpoint is asked. `key_variable` names the environment variable that holds its key; `tries` are those of
    one question, with `pause_s` before the second and twice as much before each further one; `input_side_px` is the
    longer side that the model sees pictures at, where it makes them smaller."""

    allow_remote: bool = False
    key_variable: str = ""
    timeout_s: float = 120.0
    tries: int = 4
    pause_s: float = 1.0
    input_side_px: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s <= 3600:
            raise OptionError(f"timeout={self.timeout_s!r} is not in 0..3600; give seconds")
        if not 1 <= self.tries <= 20:
            raise OptionError(f"tries={self.tries!r} is not from 1 to 20; give how often a question is put")
        if self.input_side_px is not None and not 64 <= self.input_side_px <= 16_384:
            raise OptionError(f"input_side={self.input_side_px!r} is not from 64 to 16384; give pixels")


class OpenAI:
    """A model behind an endpoint; temperature 0 and a seed that follows from the question."""

    looks = True
    levels: tuple[str, ...] = ("scene", "instance", "group", "marks", "merge")

    def __init__(self, url: str, model: str, options: Options) -> None:
        """OptionError for another URL than http(s), a host that is not this machine's without `allow_remote`, or a key
        that is not there or cannot be sent; no message shows the key."""
        parts = _address(url)
        if not model.strip():
            raise OptionError("describer model='' names no model; give openai:URL,MODEL")
        self.remote = not _is_loopback(str(parts.hostname))
        if self.remote and not options.allow_remote:
            raise OptionError(
                f"describer url={url!r} is not on this machine, and pictures would be sent there; add --allow-remote "
                "if that is meant"
            )
        self._key = _key_of(options.key_variable) if options.key_variable else ""
        self._host, self._tls, self._path = str(parts.hostname), parts.scheme == "https", parts.path.rstrip("/")
        self._port = parts.port or (443 if self._tls else 80)
        self.url, self.model, self.options = url.rstrip("/"), model.strip(), options
        self.name = f"openai:{self.model}@{self.url}"
        self.input_side_px = options.input_side_px

    def fingerprint(self) -> str:
        """Endpoint, model and decoding, and whether pictures leave this machine."""
        where = "remote" if self.remote else "local"
        return f"{self.name} {where} temperature 0 side {self.input_side_px}"

    def describe(self, request: Request) -> Reply:
        """The reply, with a fault where it cannot be used; DescriberError where the endpoint refuses or is down."""
        body = json.dumps(_body(self.model, request)).encode()
        start, told = time.monotonic(), ""
        for turn in range(self.options.tries):
            if turn:
                time.sleep(self.options.pause_s * 2 ** (turn - 1))
            try:
                status, data = self._post(body)
            except (OSError, http.client.HTTPException) as error:
                told = f"{type(error).__name__}: {error}"
                continue
            if status in _RETRIED:
                told = f"HTTP {status}"
                continue
            if status != 200:
                raise DescriberError(
                    f"{self.name} answered HTTP {status} ({_excerpt(data)}); correct the address, the model or the key"
                )
            return _reply(data, time.monotonic() - start)
        raise DescriberError(
            f"{self.name} failed {self.options.tries} times ({told}); see to the endpoint, then give the same command: "
            "it goes on from here"
        )

    def _post(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of one try, at most MAX_REPLY_BYTES and one more; no proxy and no redirection.

        TimeoutError where the exchange takes longer than `timeout_s` in all; of a host with several addresses each may
        take so long to connect to.
        """
        end = time.monotonic() + self.options.timeout_s
        headers = {
            "Content-Type": "application/json",
            **({"Authorization": f"Bearer {self._key}"} if self._key else {}),
        }
        connection = http.client.HTTPConnection(self._host, self._port)
        sock = socket.create_connection((self._host, self._port), self.options.timeout_s)
        late = threading.Event()

        def cut() -> None:
            late.set()
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # wakes who waits in it; TLS is not asked

        timer = threading.Timer(max(0.0, end - time.monotonic()), cut)
        timer.daemon = True
        try:
            if self._tls:
                sock = ssl.create_default_context().wrap_socket(
                    sock, server_hostname=self._host, do_handshake_on_connect=False
                )
            timer.start()
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
            connection.sock = sock
            connection.request("POST", f"{self._path}/chat/completions", body, headers)
            answer = connection.getresponse()
            data = answer.read(MAX_REPLY_BYTES + 1)
        except TimeoutError:  # the socket's own, which may come first
            late.set()
        except (OSError, http.client.HTTPException):
            if not late.is_set():
                raise
        finally:
            timer.cancel()
            connection.close()
            sock.close()
        if late.is_set():
            raise TimeoutError(f"no whole reply in {self.options.timeout_s:g} s")
        return answer.status, data

    def close(self) -> None:
        """Nothing is held between questions."""


def _address(url: str) -> SplitResult:
    """The parts of an address; OptionError for one that cannot be asked."""
    shown = repr(url) if "@" not in url else "with a name or password"
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").encode("idna"), parts.port
    except ValueError as error:
        raise OptionError(f"describer url={shown} is no address ({error}); correct its host or port") from None
    plain = parts.scheme in ("http", "https") and host and parts.username is None and not parts.query
    if not plain or not re.fullmatch(r"[!-~]+", url):
        raise OptionError(
            f"describer url={shown} is no plain http or https address in ASCII; give it as http://HOST:PORT/v1"
        )
    return parts


def _key_of(variable: str) -> str:
    """The key in an environment variable; OptionError, which does not show it, where a header cannot hold it."""
    key = os.environ.get(variable, "")
    if not key:
        raise OptionError(f"key_variable={variable!r} is not set in the environment; set it to the key")
    if not re.fullmatch(r"[!-~]+", key):
        raise OptionError(
            f"key_variable={variable!r} holds a blank, a line's end or another character that no key has; set it to "
            "the key alone"
        )
    return key


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _body(model: str, request: Request) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    for png in (request.plain, request.png):
        if png is not None:
            url = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
            content.append({"type": "image_url", "image_url": {"url": url}})
    content.append({"type": "text", "text": request.prompt})
    return {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "temperature": 0,
        "seed": request.seed,
        "max_tokens": request.max_tokens,
    }


def _reply(data: bytes, seconds: float) -> Reply:
    """What a reply says; a fault for one that is too large, no UTF-8, no JSON, or of another form."""
    seconds = round(seconds, 3)
    if len(data) > MAX_REPLY_BYTES:
        return Reply("", seconds=seconds, fault=f"too-large: over {MAX_REPLY_BYTES} bytes")
    try:
        found = json.loads(data.decode("utf-8"))
        text = found["choices"][0]["message"]["content"]
        usage = found.get("usage") or {}
        tokens = [usage.get(name, 0) for name in ("prompt_tokens", "completion_tokens")]
    except UnicodeDecodeError:
        return Reply("", seconds=seconds, fault="wrong-form: not UTF-8")
    except (ValueError, RecursionError):
        return Reply("", seconds=seconds, fault="wrong-form: JSON that does not parse")
    except (KeyError, IndexError, TypeError, AttributeError):
        return Reply("", seconds=seconds, fault="wrong-form: no choices[0].message.content")
    if not isinstance(text, str):
        return Reply("", seconds=seconds, fault="wrong-form: the content is no text")
    counts = [one if isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 1 << 31 else 0 for one in tokens]
    return Reply(text, counts[0], counts[1], seconds)


def _excerpt(data: bytes) -> str:
    return " ".join(data[:200].decode("utf-8", "replace").split())
