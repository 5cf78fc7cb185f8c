"""`tokenizer.model` files that are cut, altered or made up: each is refused by a typed error or read, and never more.

SentencePiece is C++ and does what the file says, so every case has a process of its own, whose end and output count.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.tokenizer import read_tokens, sp_model
from geopixel_edge.engine.manifest import SpecialTokens
from geopixel_edge.errors import EngineCorruptError, EngineMismatchError
from geopixel_edge.text.tokenizer import Tokenizer
from tests.support.checkpoints import SOURCE

ROOT = Path(__file__).parents[2]
CASES = 150
MAX_CASE_S = 20
READ, REFUSED = 0, 1
TEXT = "the red car\n\t  [UNUSED_TOKEN_145] \u00e9 \u65e5 \U0001f697 \ufb01 <0x41>\0 <p> x " * 5
PIECES = ("", "\0", "a\0", "<0x41>", "<0x100>", "<s>", "\u2581", "\u2581\u2581", "x" * 100_000, "\U0010ffff", "the")
NUMBERS = (float("nan"), float("inf"), -float("inf"), 0.0, 1e38)


def cut(whole: bytes, rng: random.Random) -> bytes:
    """A beginning, or everything but some bytes in the middle."""
    start = rng.randrange(len(whole))
    return whole[:start] + (whole[start + rng.randrange(200) :] if rng.random() < 0.5 else b"")


def flip(whole: bytes, rng: random.Random) -> bytes:
    """One to three bits changed, half of the time in the trainer's and normaliser's settings at the end."""
    data = bytearray(whole)
    for _ in range(rng.randint(1, 3)):
        data[rng.randrange(len(data) - 400 if rng.random() < 0.5 else 0, len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def charsmap(rng: random.Random) -> bytes:
    """A normaliser's table of noise, behind the length its first four bytes state or another one."""
    stated = rng.choice((0, 4, 1024, 4096, 2**31 - 1, 2**32 - 1))
    return stated.to_bytes(4, "little") + rng.randbytes(rng.choice((0, 3, 1020, 5000)))


def rewrite(whole: bytes, rng: random.Random) -> bytes:
    """A well-formed message that says what no model does."""
    model = sp_model.ModelProto.FromString(whole)
    pieces, settings, normalizer = model.pieces, model.trainer_spec, model.normalizer_spec
    places = rng.sample(range(len(pieces)), 20)

    def each(change: Callable[[Any], object]) -> None:
        for place in places:
            change(pieces[place])

    changes: list[Callable[[], Any]] = [
        lambda: setattr(pieces[places[0]], "piece", rng.choice(PIECES)),
        lambda: each(lambda one: setattr(one, "type", rng.randint(1, 6))),
        lambda: each(lambda one: setattr(one, "score", rng.choice(NUMBERS))),
        lambda: each(lambda one: setattr(one, "piece", rng.choice(PIECES) + one.piece)),
        lambda: pieces.__delitem__(slice(places[0], None)),
        lambda: pieces.__delitem__(slice(places[0], places[0] + rng.randint(1, 300))),
        lambda: pieces.add(piece=rng.choice(PIECES), type=rng.randint(1, 6)),
        lambda: setattr(settings, "model_type", rng.randint(1, 4)),
        lambda: setattr(settings, "byte_fallback", not settings.byte_fallback),
        lambda: setattr(settings, "unk_surface", rng.choice(PIECES)),
        lambda: setattr(settings, "treat_whitespace_as_suffix", True),
        lambda: setattr(normalizer, "precompiled_charsmap", charsmap(rng)),
        lambda: setattr(model.denormalizer_spec, "precompiled_charsmap", charsmap(rng)),
        lambda: setattr(normalizer, "add_dummy_prefix", not normalizer.add_dummy_prefix),
        lambda: setattr(normalizer, "remove_extra_whitespaces", not normalizer.remove_extra_whitespaces),
        lambda: setattr(normalizer, "escape_whitespaces", not normalizer.escape_whitespaces),
    ]
    for change in rng.sample(changes, rng.randint(1, 2)):
        if len(pieces) == 1000:  # what removes pieces comes last
            change()
    return bytes(model.SerializeToString())


MUTATIONS = {"cut": cut, "flip": flip, "rewrite": rewrite}


def read_in_a_child(path: Path, tokens: SpecialTokens) -> int:
    """The exit status of a process that reads the model and uses it; negative for a signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    signal.alarm(MAX_CASE_S)
    try:
        tokenizer = Tokenizer(path, tokens)
        tokenizer.response(tokenizer.encode(TEXT, bos=True))
    except (EngineCorruptError, EngineMismatchError):
        os._exit(REFUSED)
    except BaseException as error:
        print(f"{path.name}: {error!r}", file=sys.stderr, flush=True)
        os._exit(2)
    os._exit(READ)


def read_all(kind: str, cases: int, seed: int, folder: Path) -> None:
    """Print how often each status came; the models that gave another than the two allowed stay in `folder`."""
    whole, tokens, rng = (SOURCE / "tokenizer.model").read_bytes(), read_tokens(SOURCE), random.Random(f"{kind} {seed}")
    found: Counter[int] = Counter()
    for case in range(cases):
        path = folder / f"{kind}-{case}.model"
        path.write_bytes(MUTATIONS[kind](whole, rng))
        status = read_in_a_child(path, tokens)
        found[status] += 1
        if status in (READ, REFUSED):
            path.unlink()
    print(json.dumps(found))


@pytest.mark.parametrize("kind", MUTATIONS)
def test_damaged_models_are_refused_or_read(tmp_path: Path, kind: str) -> None:
    call = f"read_all({kind!r}, {CASES}, 1, Path({str(tmp_path)!r}))"
    code = f"from pathlib import Path; from tests.attacks.test_tokenizer_models import read_all; {call}"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    found = {int(status): count for status, count in json.loads(done.stdout).items()}
    assert found.keys() <= {READ, REFUSED}, list(tmp_path.iterdir())
    assert sum(found.values()) == CASES
    assert found[REFUSED] >= CASES // 10


def test_what_is_wrong_with_a_model_is_told_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = sp_model.ModelProto.FromString((SOURCE / "tokenizer.model").read_bytes())
    model.pieces[500].piece = "\0"  # of this SentencePiece would warn
    (tmp_path / "tokenizer.model").write_bytes(model.SerializeToString())
    Tokenizer(tmp_path / "tokenizer.model", read_tokens(SOURCE))
    model.pieces[501].piece = model.pieces[502].piece
    (tmp_path / "tokenizer.model").write_bytes(model.SerializeToString())
    with pytest.raises(EngineCorruptError, match="already defined"):
        Tokenizer(tmp_path / "tokenizer.model", read_tokens(SOURCE))
    assert capfd.readouterr() == ("", "")
