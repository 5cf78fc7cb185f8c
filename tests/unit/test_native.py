"""The C++ kernels against their NumPy twins bit for bit, their stub, and their switch."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import geopixel_edge
from geopixel_edge import _native, limits
from geopixel_edge.errors import NativeMissingError
from geopixel_edge.kernels import twins
from geopixel_edge.kernels.native import SWITCH, load, native

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SIDE, SEED, THREADS = st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(0, 4)


def assert_same(ours: Any, twin: Any) -> None:
    if isinstance(twin, list | tuple):
        assert type(ours) is type(twin)
        assert len(ours) == len(twin)
        for one, other in zip(ours, twin, strict=True):
            assert_same(one, other)
    elif isinstance(twin, np.ndarray):
        assert (ours.dtype, ours.shape) == (twin.dtype, twin.shape)
        assert ours.tobytes() == twin.tobytes()
    else:
        assert type(ours) is type(twin)
        assert ours == twin


def both(name: str, *arguments: Any) -> Any:
    ours, twin = getattr(_native, name)(*arguments), getattr(twins, name)(*arguments)
    assert_same(ours, twin)
    return ours


CHECKS: dict[str, tuple[Callable[..., None], tuple[Any, ...]]] = {}


def checked(*strategies: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def keep(check: Callable[..., None]) -> Callable[..., None]:
        CHECKS[check.__name__] = check, strategies
        return check

    return keep


@checked(SIDE, SIDE, SIDE, SIDE, st.booleans(), THREADS, SEED)
def check_resize(h: int, w: int, out_h: int, out_w: int, vertical_first: bool, threads: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (h, w + 2, 3), dtype=np.uint8)[:, 1:-1]
    both("resize", image, out_w, out_h, vertical_first, threads)


@checked(SIDE, SIDE, st.integers(1, 7), st.integers(1, 7), st.integers(1, 9), st.booleans(), THREADS, SEED)
def check_divide(h: int, w: int, rows: int, cols: int, tile: int, turned: bool, threads: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
    width, height = int(rng.integers(1, cols * tile + 1)), int(rng.integers(1, rows * tile + 1))
    long_px, short_px = (height, width) if turned else (width, height)
    pad = int(rng.integers(256))
    half = bool(rng.integers(2))
    both("divide", image, rows, cols, long_px, short_px, turned, tile, MEAN, STD, pad, threads, None, half)


@checked(SIDE, SIDE, SIDE, THREADS, SEED)
def check_grounding_input(h: int, w: int, side: int, threads: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)
    both("grounding_input", image, side, MEAN, STD, threads)


@checked(SIDE, SIDE, SIDE, SIDE, st.floats(-2, 2), st.booleans(), THREADS, SEED)
def check_logits(h: int, w: int, height: int, width: int, shift: float, coarse: bool, threads: int, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(size=(2, h, w)) + shift
    logits = np.round(logits) if coarse else logits
    tiny = np.random.default_rng(seed + 1).choice([1.0, 1e-38, 1e-45, 1e37], size=logits.shape)
    both("masks_from_logits", (logits * tiny).astype(np.float32), height, width, threads)


@checked(SIDE, SIDE, st.sampled_from([0, 0.02, 0.3, 0.5, 0.7, 0.98, 1]), SEED)
def check_rle(h: int, w: int, density: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (both("mask_from_array", rng.random((h, w)) < density) for _ in range(2))
    pair = (a[:4], a[4], b[:4], b[4])
    both("rle_overlap", *pair)
    for kind in ("union", "intersection", "difference"):
        both("rle_combine", *pair, kind)
    full = both("rle_full", h, w, a[:4], a[4])
    assert_same(both("rle_crop", h, w, full), a)
    assert_same(both("rle_parse", both("rle_string", full)), full)
    both("rle_clean", h, w, a[:4], a[4], int(rng.integers(9)), int(rng.integers(9)))
    both("rle_window", a[:4], a[4], (int(rng.integers(w)), int(rng.integers(h)), 5, 7))
    both("rle_polygons", a[:4], a[4])
    both("rle_polygons", a[:4], a[4], float(rng.choice([0.3, 0.75, 1.0, 2.5, 9.0, 256.0])))


@checked(st.lists(st.integers(0, 2**32 - 1)), st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12))
def check_strings(counts: list[int], text: str) -> None:
    runs = np.array(counts, np.uint32)
    assert_same(both("rle_parse", both("rle_string", runs)), runs)
    try:
        parsed = twins.rle_parse(text)
    except ValueError:
        with pytest.raises(ValueError, match="RLE string"):
            _native.rle_parse(text)
    else:
        assert_same(_native.rle_parse(text), parsed)


def run(name: str, examples: int) -> None:
    check, strategies = CHECKS[name]
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]
    settings(max_examples=examples, deadline=None, suppress_health_check=quiet)(given(*strategies)(check))()


@pytest.mark.parametrize("name", CHECKS)
def test_equal_to_the_twin_bit_for_bit(name: str) -> None:
    run(name, 60)


@pytest.mark.long
@pytest.mark.parametrize("name", CHECKS)
def test_equal_to_the_twin_bit_for_bit_at_length(name: str) -> None:
    run(name, 2000)


def test_stub_extension_and_twins_have_the_same_signatures() -> None:
    stub = ast.parse((Path(geopixel_edge.__file__).parent / "_native.pyi").read_text())
    declared = {
        node.name: [arg.arg for arg in node.args.args] for node in stub.body if isinstance(node, ast.FunctionDef)
    }
    built = {name for name, value in vars(_native).items() if callable(value)}
    assert built == set(declared) == set(twins.__all__)
    for name, arguments in declared.items():
        signature = re.match(rf"{name}\((.*)\) -> ", getattr(_native, name).__doc__)
        assert signature is not None
        assert re.findall(r"(\w+): ", signature[1]) == arguments
        assert list(inspect.signature(getattr(twins, name)).parameters) == arguments
    values = {ast.unparse(node.target) for node in stub.body if isinstance(node, ast.AnnAssign)}
    assert values == {name for name in vars(_native) if name.isupper()}
    assert limits.MAX_IMAGE_SIDE_PX == _native.MAX_SIDE_PX


DIGEST = """
import hashlib, numpy as np
from geopixel_edge import _native
rng = np.random.default_rng(0)
image = rng.integers(0, 256, (211, 307, 3), dtype=np.uint8)
unit = ((0.48, 0.45, 0.40), (0.26, 0.26, 0.27))
made = [_native.resize(image, 190, 130, False), _native.resize(image, 500, 97, True)]
made += [_native.divide(image, 2, 3, 168, 100, False, 56, *unit, 255), _native.grounding_input(image, 61, *unit)]
wide = ((0.5, 0.5, 0.5), (3e-6, 2000.0, 9e7))
made += [_native.divide(image, 2, 3, 168, 100, False, 56, *scale, 255, 0, None, True) for scale in (unit, wide)]
print(_native.INSTRUCTION_SET, hashlib.sha256(b"".join(array.tobytes() for array in made)).hexdigest())
"""


def test_every_instruction_set_gives_the_same_bits() -> None:
    found = {}
    for asked in ("baseline", "avx2", "avx512"):
        environment = {**os.environ, "GEOPIXEL_EDGE_ISA": asked}
        command = [sys.executable, "-c", DIGEST]
        reply = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        name, digest = reply.stdout.split()
        found[name] = digest
    assert set(found) <= {"baseline", "avx2", "avx512", "neon"}
    assert len(set(found.values())) == 1


def test_calls_from_several_threads_at_once_agree() -> None:
    rng = np.random.default_rng(1)
    image, logits = rng.integers(0, 256, (97, 131, 3), dtype=np.uint8), rng.normal(size=(6, 32, 32)).astype(np.float32)

    def work(threads: int) -> Any:
        views = _native.divide(image, 3, 3, 168, 150, False, 56, MEAN, STD, 255, threads)
        return views, _native.masks_from_logits(logits, 90, 140, threads)

    expected = work(1)
    with ThreadPoolExecutor(4) as pool:
        for reply in pool.map(work, [1, 2, 3, 4] * 4):
            assert_same(reply, expected)


def test_the_switch_takes_the_twins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "0")
    assert load() is twins
    monkeypatch.setenv(SWITCH, "1")
    assert load() is _native
    assert native.MAX_SIDE_PX == _native.MAX_SIDE_PX


def test_a_missing_extension_is_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SWITCH, raising=False)
    monkeypatch.setitem(sys.modules, "geopixel_edge._native", None)
    with pytest.raises(NativeMissingError, match="pip install"):
        load()
