"""`python -m benchmarks.tokenization`: the checkpoint's own tokenizer.model beside the same vocabulary in tokenizers.

Both read the reference checkpoint's vocabulary through `geopixel_edge.text`, by turns; every id and text of one has to
be the other's. Needs the extras `export` and `bench`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from geopixel_edge.checks import check_integer
from geopixel_edge.cli.command import run_command
from geopixel_edge.cli.streams import write_json
from geopixel_edge.cli.terminal import table
from geopixel_edge.text.tokenizer import StreamDecoder, Tokenizer
from synthetic.questions import conversation, referring
from synthetic.scenes import EVALUATION_SEED, make_scene

DATA = Path(__file__).parent.parent / "tests" / "data"
CHECKPOINT = DATA / "tiny-geopixel" / "checkpoint"
CONVERTED = DATA / "schema-1" / "tokenizer.json"  # the same vocabulary, as early versions wrote it
MAX_SCENES, MAX_TURNS = 10_000, 1000


def texts_of(scenes: int) -> list[str]:
    """Questions and grounded answers about generated scenes."""
    made = (make_scene(EVALUATION_SEED + number, 512) for number in range(scenes))
    examples = [example for scene in made for example in (*referring(scene), conversation(scene))]
    return [text for example in examples for text in (example.question, example.answer)]


def seconds_of(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Every text's ids."""
    return [tokenizer.encode(text, bos=False) for text in texts]


def decoded(tokenizer: Tokenizer, answers: Sequence[Sequence[int]]) -> list[str]:
    """Every answer's text, a token at a time, as it is streamed."""
    found = []
    for ids in answers:
        stream = StreamDecoder(tokenizer)
        found.append("".join([stream.push(token_id) for token_id in ids]) + stream.finish())
    return found


def run(scenes: int, turns: int) -> dict[str, Any]:
    """Seconds to load, of a text to encode and of a token to decode, medians of `turns`, and whether all is equal."""
    from export.tokenizer import MODEL_NAME, read_tokens

    tokens = read_tokens(CHECKPOINT)
    makers: dict[str, Callable[[], Tokenizer]] = {
        "sentencepiece": lambda: Tokenizer(CHECKPOINT / MODEL_NAME, tokens),
        "tokenizers": lambda: Tokenizer(CONVERTED, msgspec.structs.replace(tokens, added=())),
    }
    texts = texts_of(scenes)
    both = {name: make() for name, make in makers.items()}
    ids = {name: encoded(one, texts) for name, one in both.items()}
    words = {name: decoded(one, ids[name]) for name, one in both.items()}
    count = sum(map(len, ids["sentencepiece"]))
    found: dict[str, Any] = {
        "texts": len(texts),
        "tokens": count,
        "equal": ids["sentencepiece"] == ids["tokenizers"] and words["sentencepiece"] == words["tokenizers"],
    }
    times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in both}
    for _ in range(turns):
        for name, one in both.items():
            load_s = seconds_of(makers[name])
            encode_s = seconds_of(partial(encoded, one, texts))
            decode_s = seconds_of(partial(decoded, one, ids[name]))
            times[name].append((load_s, encode_s / len(texts), decode_s / count))
    for name, rows in times.items():
        load_s, encode_s, decode_s = (statistics.median(column) for column in zip(*rows, strict=True))
        facts = {"load_s": load_s, "encode_s_per_text": encode_s, "decode_s_per_token": decode_s}
        found[name] = {"version": version(name), **facts}
    return found


def report(found: dict[str, Any]) -> str:
    """A row a package."""
    rows = [
        (
            f"{name} {found[name]['version']}",
            f"{1e3 * found[name]['load_s']:.1f}",
            f"{1e6 * found[name]['encode_s_per_text']:.1f}",
            f"{1e6 * found[name]['decode_s_per_token']:.2f}",
        )
        for name in ("sentencepiece", "tokenizers")
    ]
    head = ("package", "load, ms", "encode, us a text", "decode, us a token")
    equal = "equal" if found["equal"] else "NOT equal"
    return f"{table(head, rows)}\n{found['texts']} texts, {found['tokens']} tokens: ids and texts {equal}"


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tokenization", description=__doc__)
    parser.add_argument("--scenes", type=int, default=100, help="scenes to have questions about (default: 100)")
    parser.add_argument("--turns", type=int, default=7, help="counted turns of each (default: 7)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    check_integer("scenes", args.scenes, 1, MAX_SCENES)
    check_integer("turns", args.turns, 1, MAX_TURNS)
    found = run(args.scenes, args.turns)
    if args.json:
        write_json(found, indent=1)
    else:
        print(report(found))
    return 0 if found["equal"] else 1


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
