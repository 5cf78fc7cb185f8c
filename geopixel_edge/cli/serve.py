"""`geopixel-edge serve`: an HTTP server that OpenAI's clients know, and a page to look and ask."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RuntimeUnavailableError
from .arguments import add_machine

if TYPE_CHECKING:
    from ..serve.front import Front

SUMMARY = "answer over HTTP: OpenAI's form, map tiles, and a page to look and ask"
EPILOG = """\
examples:
  geopixel-edge serve
  geopixel-edge serve --engine engine --memory 8GB --port 8080
  geopixel-edge serve --host 0.0.0.0 --api-key-file keys.txt
  geopixel-edge serve --device cuda:0,cuda:1

SIGTERM: what was asked is answered, nothing new is taken, and the command ends with 0; a second one ends at once.

exit codes:
  0  ended by SIGTERM or Ctrl-C                4  the engine directory cannot be used
  2  usage                                     5  runtime, memory or thread is missing
  3  an option cannot be used
"""
NEEDED = ("starlette", "uvicorn", "prometheus_client", "python_multipart")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--engine", type=Path, metavar="DIR", help="default: the bundled engine")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: 8000)")
    add_machine(parser)
    _add_admissions(parser)
    parser.add_argument("--queue", type=int, default=64, metavar="N", help="requests that wait at most (default: 64)")
    parser.add_argument("--deadline-s", type=float, default=300.0, metavar="S", help="of a request (default: 300)")
    parser.add_argument("--drain-s", type=float, default=30.0, metavar="S", help="after SIGTERM (default: 30)")
    parser.add_argument(
        "--receive-timeout-s", type=float, default=30.0, metavar="S", help="of a head, and of a body (default: 30)"
    )
    parser.add_argument(
        "--hang-s",
        type=float,
        default=120.0,
        metavar="S",
        help="a worker whose answer has not ended so long after its deadline is started anew (default: 120)",
    )
    parser.add_argument("--keep", metavar="SIZE", help="of opened images, as 2GB (default: what the plan leaves)")
    parser.add_argument("--max-body", metavar="SIZE", help="of a request (default: 64MiB)")
    parser.add_argument("--name", metavar="NAME", help="of this server among several (default: the machine's)")


def _add_admissions(parser: argparse.ArgumentParser) -> None:
    """Who may ask, and what may be read beside what they send."""
    parser.add_argument(
        "--api-key-file", type=Path, metavar="F", help="one key a line; asked for where others can reach"
    )
    parser.add_argument("--no-auth", action="store_true", help="let anybody who reaches --host ask")
    parser.add_argument(
        "--cors-origin",
        action="append",
        default=[],
        metavar="URL",
        help="whose pages may ask, as https://map.example; may repeat",
    )
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a further name it is called by"
    )
    parser.add_argument(
        "--allow-remote-images",
        action="extend",
        nargs="+",
        default=[],
        metavar="HOST",
        help="fetch images that are named by https:// addresses from these, exact names (default: from none)",
    )
    parser.add_argument(
        "--allow-local-images",
        type=Path,
        metavar="DIR",
        help="open images below it that are named as file:///... (default: none)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; returns the exit code."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise RuntimeUnavailableError(
            f"serving needs {', '.join(missing)}, which is not installed; run pip install 'geopixel-edge[server]'"
        )
    from ..engine.directory import manifest_digest
    from ..serve.running import serve

    settings = _settings(args)
    if args.engine is not None:
        manifest_digest(args.engine)  # a wrong path is told before anything listens
    serve(settings, _tell)
    return 0


def _settings(args: argparse.Namespace) -> Any:
    from .. import limits
    from ..memory.amount import parse_memory
    from ..serve.keys import Keys
    from ..serve.settings import Settings, default_name

    return Settings(
        engine=None if args.engine is None else str(args.engine.absolute()),
        devices=tuple(args.device.split(",")),
        threads=args.threads,
        memory=args.memory,
        host=args.host,
        port=args.port,
        name=default_name() if args.name is None else args.name,
        queue=args.queue,
        deadline_s=args.deadline_s,
        drain_s=args.drain_s,
        receive_timeout_s=args.receive_timeout_s,
        keep_bytes=parse_memory(args.keep),
        keys=None if args.api_key_file is None else Keys.read(args.api_key_file),
        no_auth=args.no_auth,
        origins=tuple(args.cors_origin),
        hosts=tuple(args.allow_host),
        max_body_bytes=parse_memory(args.max_body) or limits.MAX_BODY_BYTES,
        remote_images=tuple(args.allow_remote_images),
        local_images=args.allow_local_images,
        hang_s=args.hang_s,
    )


def _tell(url: str, front: Front) -> None:
    """One line on standard output once questions are answered."""
    hello = front.hello
    kind = f"{hello.family} {hello.precision}, {hello.device}" if hello else ""
    print(f"ready: {url} ({kind})", flush=True)
