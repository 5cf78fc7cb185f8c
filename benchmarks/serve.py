"""`python -m benchmarks.serve [ENGINE_DIR]`: `geopixel-edge serve` beside a plain wrapper, on loopback, in one run.

Each round has a picture that neither has seen. Both are asked the same question, then a second one about the same
picture; and eight tiles of equal size, in one request and one by one, as files of the same pixels but other bytes, so
that neither finds what the other had kept. Which is asked first alternates, and so do the files.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from geopixel_edge.checks import check_integer
from geopixel_edge.cli.command import run_command
from geopixel_edge.cli.streams import write_json
from geopixel_edge.cli.terminal import table
from geopixel_edge.errors import EngineError
from synthetic.scenes import EVALUATION_SEED, make_scene

from .machine import host_machine

DESCRIBE = "Describe this image with interleaved segmentation masks."
FOLLOW_UP = "Could you provide a segmentation mask for the bridge in this image?"
PHRASE, TILES = "the buildings", 8
TOGETHER, ALONE = "in one request", "one by one"
JSON = {"Content-Type": "application/json"}


@dataclass
class Times:
    """Seconds by what they were of, one entry a round; `equal` counts answers that both servers gave alike."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    equal: int = 0
    compared: int = 0

    def add(self, name: str, seconds: float) -> None:
        """One round's."""
        self.seconds.setdefault(name, []).append(seconds)

    def medians(self) -> dict[str, float]:
        """The median of each over the rounds."""
        return {name: statistics.median(values) for name, values in self.seconds.items()}

    def ratio(self, name: str, other: str) -> float:
        """The median over the rounds of one by the other: a round has both one right after the other."""
        return statistics.median(one / two for one, two in zip(self.seconds[name], self.seconds[other], strict=True))


@contextlib.contextmanager
def started(module: str, *arguments: str) -> Iterator[int]:
    """The port of a server in a process of its own, once it is ready."""
    command = [sys.executable, "-m", *module.split(), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        ready = process.stdout.readline()
        if not ready.startswith("ready: "):
            raise EngineError(f"`python -m {module}` did not start; run it alone to see why")
        yield int(ready.split("/")[2].rpartition(":")[2])
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def asked(port: int, path: str, body: dict[str, Any]) -> Iterator[tuple[float, bytes]]:
    """The lines of a response, each with the seconds since the request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    began = time.perf_counter()
    try:
        connection.request("POST", path, json.dumps(body), JSON)
        response = connection.getresponse()
        while line := response.readline():
            yield time.perf_counter() - began, line
        if response.status != 200:
            raise EngineError(f"{path} answered {response.status}; run the server alone to see why")
    finally:
        connection.close()


def whole(port: int, path: str, body: dict[str, Any]) -> tuple[float, Any]:
    """A response and the seconds until its end."""
    *_, (seconds, line) = asked(port, path, body)
    return seconds, json.loads(line)


def chat(image: str, question: str, stream: bool) -> dict[str, Any]:
    """A chat request about one image in base64."""
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}}
    content = [url, {"type": "text", "text": question}]
    return {"model": "geopixel", "stream": stream, "messages": [{"role": "user", "content": content}]}


def png(seed: int, side_px: int, level: int = 6) -> str:
    """A generated scene as PNG in base64; `level` of compression."""
    stream = io.BytesIO()
    Image.fromarray(make_scene(seed, side_px).image).save(stream, "PNG", compress_level=level)
    return base64.b64encode(stream.getvalue()).decode()


# --- What is measured -----------------------------------------------------------------------------------------


def ask_ours(port: int, image: str, times: Times) -> str:
    """Stream an answer and ask once more; the first answer's text."""
    text, first = "", {"text": 0.0, "mask": 0.0}
    for seconds, line in asked(port, "/v1/chat/completions", chat(image, DESCRIBE, stream=True)):
        if not line.startswith(b"data: {"):
            continue
        delta = json.loads(line[6:])["choices"][0]["delta"]
        text += delta.get("content") or ""
        if delta.get("content"):
            first["text"] = first["text"] or seconds
        if (delta.get("grounding") or {}).get("regions"):
            first["mask"] = first["mask"] or seconds
    times.add("serve: first text", first["text"])
    if first["mask"]:
        times.add("serve: first mask", first["mask"])
    times.add("serve: whole answer", seconds)
    times.add("serve: follow-up", whole(port, "/v1/chat/completions", chat(image, FOLLOW_UP, stream=False))[0])
    return text


def ask_plain(port: int, image: str, times: Times) -> str:
    """Ask twice; the first answer's text. Its first byte comes with its last."""
    seconds, found = whole(port, "/", {"image": image, "question": DESCRIBE})
    for name in ("first text", "whole answer", *(["first mask"] if found["masks"] else [])):
        times.add(f"plain: {name}", seconds)
    times.add("plain: follow-up", whole(port, "/", {"image": image, "question": FOLLOW_UP})[0])
    return str(found["text"])


def ask_tiles(port: int, requests: dict[str, list[list[str]]], times: Times) -> None:
    """The same phrase of every tile, in requests of all and of one each, in the order given."""
    found = []
    for name, several in requests.items():
        began, answers = time.perf_counter(), []
        for images in several:
            answers += whole(port, "/v1/segment", {"images": images, "phrases": [PHRASE]})[1]["results"]
        times.add(f"serve: {TILES} tiles {name}", time.perf_counter() - began)
        found.append(answers)
    times.compared += TILES
    times.equal += sum(_drawn(one) == _drawn(other) for one, other in zip(*found, strict=True))


def tiles(seed: int, side_px: int, levels: tuple[int, int]) -> dict[str, list[list[str]]]:
    """The images of each request, by what they are measured as, compressed at these levels."""
    together, alone = ([png(seed + one, side_px, level) for one in range(TILES)] for level in levels)
    return {TOGETHER: [together], ALONE: [[image] for image in alone]}


def _drawn(result: dict[str, Any]) -> list[Any]:
    """Phrases and masks: scores of tiles that are written together may differ in a float32's last digit."""
    return [(region["phrase"], region["segmentation"]) for region in result["regions"]]


def run(args: argparse.Namespace) -> Times:
    """All rounds."""
    machine = ["--device", args.device, *(["--threads", str(args.threads)] if args.threads else [])]
    machine += ["--engine", str(args.engine_dir)] if args.engine_dir else []
    times = Times()
    with (
        started("geopixel_edge serve", "--port", "0", *machine) as ours,
        started("benchmarks.plain_wrapper", *machine) as plain,
    ):
        for number in range(args.repeat + 1):
            into = times if number else Times()  # the first round warms both up
            image = png(args.seed + number, args.size)
            both = [(ask_ours, ours), (ask_plain, plain)]
            texts = [ask(port, image, into) for ask, port in (both if number % 2 else both[::-1])]
            into.compared += 1
            into.equal += texts[0] == texts[1]
            levels = (6, 1) if number % 4 < 2 else (1, 6)  # of which the one is read faster
            asked_for = list(tiles(args.seed + 10_000 + TILES * number, args.tile, levels).items())
            ask_tiles(ours, dict(asked_for if number % 2 else asked_for[::-1]), into)
    return times


def report(times: Times) -> str:
    """The medians as a table, and how many answers were compared."""
    rows = [(name, f"{value:.3f}") for name, value in sorted(times.medians().items())]
    return f"{table(('seconds, median', ''), rows)}\n{times.equal} of {times.compared} answers equal"


def record(args: argparse.Namespace, times: Times) -> dict[str, Any]:
    """All that a figure needs to be compared with another: where, with what, and every round."""
    engine = str(args.engine_dir.name) if args.engine_dir else "bundled"
    return {
        "environment": host_machine(),
        "settings": {
            "engine": engine,
            **{name: getattr(args, name) for name in ("device", "threads", "repeat", "size", "tile", "seed")},
        },
        "seconds": times.seconds,
        "medians": times.medians(),
        "equal": [times.equal, times.compared],
        "together_over_alone": times.ratio(f"serve: {TILES} tiles {TOGETHER}", f"serve: {TILES} tiles {ALONE}"),
    }


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve", description=__doc__)
    parser.add_argument("engine_dir", nargs="?", type=Path, help="default: the engine in the package")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, help="CPU threads per block (default: every core)")
    parser.add_argument("--repeat", type=int, default=5, help="rounds after one that is not counted (default: 5)")
    parser.add_argument("--size", type=int, default=800, help="side of the picture in pixels (default: 800)")
    parser.add_argument("--tile", type=int, default=336, help="side of a tile in pixels (default: 336)")
    parser.add_argument("--seed", type=int, default=EVALUATION_SEED, help="first scene, as of benchmarks.accuracy")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    check_integer("repeat", args.repeat, 1, 1000)
    check_integer("size", args.size, 128, 4096)
    check_integer("tile", args.tile, 64, 2048)
    times = run(args)
    if args.json:
        write_json(record(args, times))
    else:
        print(report(times))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
