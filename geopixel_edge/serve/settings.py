"""What a server is started with: one frozen record, checked before anything listens."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

from .. import limits
from ..checks import check_integer
from ..errors import OptionError
from ..memory.amount import parse_memory
from ..runtimes.devices import check_device
from .keys import Keys

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?")

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[1-9]\d{0,4})?")


@dataclass(frozen=True)
class Settings:
    """`devices`: one worker each. `name`: the server's own among several, the middle of its image ids.

    `queue`: requests that wait at most. `deadline_s`: of a request, waiting included; a client may ask for less.
    `receive_timeout_s`: of a request's head, and again of its body. `keep_bytes`: of opened images, None is a share of
    what is free. `keys` None asks for none. `origins`: whose pages may call the server. `hosts`: further names it is
    called by, where no key is asked for. `remote_images`: exact names, and ports, of hosts to fetch images from.
    `local_images`: a folder whose images may be named by path. `hang_s`: how long after its deadline a worker that
    does not end its answer is taken for hung. OptionError names the field.
    """

    engine: str | None = None
    devices: tuple[str, ...] = ("auto",)
    threads: int | None = None
    memory: int | str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    name: str = "a"
    queue: int = 64
    deadline_s: float = 300.0
    drain_s: float = 30.0
    keep_bytes: int | None = None
    max_body_bytes: int = limits.MAX_BODY_BYTES
    keys: Keys | None = None
    no_auth: bool = False
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    receive_timeout_s: float = 30.0
    remote_images: tuple[str, ...] = ()
    local_images: Path | None = None
    hang_s: float = 120.0

    def __post_init__(self) -> None:
        for device in self.devices:
            check_device(device)
        parse_memory(self.memory)
        if self.threads is not None:
            check_integer("threads", self.threads, 1, limits.MAX_THREADS)
        check_integer("port", self.port, 0, 65_535)
        check_integer("queue", self.queue, 1, limits.MAX_QUEUED)
        check_integer("max_body_bytes", self.max_body_bytes, 1024, limits.MAX_IMAGE_FILE_BYTES)
        if not re.fullmatch(r"[a-z0-9-]{1,32}", self.name):
            raise OptionError(f"name={self.name[:40]!r}: give 1 to 32 of a-z, 0-9 and -; it stands in image ids")
        for field in ("deadline_s", "drain_s", "receive_timeout_s", "hang_s"):
            value = getattr(self, field)
            if not math.isfinite(value) or value <= 0:
                raise OptionError(f"{field}={value!r} is not a time; give seconds above 0")
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise OptionError(
                    f"origin={origin[:80]!r} is none; give scheme, host and port, as https://map.example, without *"
                )
        self._check_named_images()
        if not is_loopback(self.host) and self.keys is None and not self.no_auth:
            raise OptionError(
                f"host={self.host!r} is reached by others: give --api-key-file, or type --no-auth to let anybody ask"
            )

    def _check_named_images(self) -> None:
        for host in self.remote_images:
            if not _HOST.fullmatch(host):
                raise OptionError(
                    f"allow-remote-images={host[:80]!r} is no host; give exact names in lower case, as images.example "
                    "or images.example:8443, without https:// and *"
                )
        folder = self.local_images
        if folder is not None and (not folder.is_dir() or folder.resolve() == Path(folder.resolve().anchor)):
            raise OptionError(
                f"allow-local-images={str(folder)!r} is no folder, or the whole file system; give the images' own"
            )

    @property
    def watches_hosts(self) -> bool:
        """Whether Host is checked: without keys a page elsewhere could reach this server by a name that it owns."""
        return self.keys is None and is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def default_name() -> str:
    """The first part of the machine's name, as far as an image id may hold it."""
    node = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    return re.sub(r"[^a-z0-9-]", "", node.lower().partition(".")[0])[:32] or "a"
