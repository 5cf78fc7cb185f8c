"""For which GPU plans are built, for which sizes, and which form of the language model a TensorRT takes."""

from __future__ import annotations

import pytest

from geopixel_edge.build import tensorrt_target
from geopixel_edge.build.plan_cache import key_of
from geopixel_edge.build.tensorrt_block import Outcome
from geopixel_edge.build.tensorrt_profiles import checked_capacity, profiles_of, shapes
from geopixel_edge.build.tensorrt_target import choose
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.engine.manifest import TensorSpec
from geopixel_edge.errors import OptionError, RuntimeUnavailableError
from geopixel_edge.memory.plan import Dims

RTX = Outcome(version="1.7.1.116", targets=(86, 89))


def with_gpu(monkeypatch: pytest.MonkeyPatch, sm: int | None) -> None:
    monkeypatch.setattr(tensorrt_target, "compute_capability", lambda: sm)


@pytest.mark.parametrize(
    ("version", "attention"), [("10.3.0", False), ("10.14.1", False), ("10.16.0", True), ("11.4.0", True)]
)
def test_a_board_builds_for_itself(version: str, attention: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpu(monkeypatch, 87)
    for sm in (None, 87):
        library = choose("tensorrt", sm, Outcome(version=version))
        assert (library.sm, library.is_here, library.has_attention) == (87, True, attention)
    with pytest.raises(OptionError, match="sm=90: this machine's GPU is 87"):
        choose("tensorrt", 90, Outcome(version=version))


def test_what_no_board_is_built_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpu(monkeypatch, None)
    with pytest.raises(RuntimeUnavailableError, match="none is found here"):
        choose("tensorrt", 87, Outcome(version="10.3.0"))
    with pytest.raises(RuntimeUnavailableError, match=r"TensorRT 8\.6\.1 is too old; install 10\.3"):
        choose("tensorrt", None, Outcome(version="8.6.1"))


def test_plans_ahead_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpu(monkeypatch, 89)
    here, other = choose("tensorrt-rtx", None, RTX), choose("tensorrt-rtx", 86, RTX)
    assert (here.sm, here.is_here, here.has_attention) == (89, True, True)
    assert (other.sm, other.is_here) == (86, False)
    with pytest.raises(OptionError, match=r"sm=87: TensorRT-RTX 1\.7\.1\.116 builds for 86, 89 alone"):
        choose("tensorrt-rtx", 87, RTX)


def test_profiles_hold_what_a_plan_runs() -> None:
    prompt, token = profiles_of("language_model", Dims(prompt_chunk=256, batch=4))
    mask = TensorSpec(name="attention_mask", dtype="bool", shape=("B", 1, "S", "capacity"))
    assert shapes(mask, prompt, {"capacity": 512}) == ((1, 1, 1, 512), (1, 1, 256, 512), (1, 1, 256, 512))
    assert shapes(mask, token, {"capacity": 512}) == ((1, 1, 1, 512), (1, 1, 1, 512), (4, 1, 1, 512))
    assert token["image_rows"] == (0, 0, 0)
    assert profiles_of("vision_encoder", Dims(views_per_run=3)) == ({"n": (1, 3, 3)},)
    assert profiles_of("pixel_decoder", Dims(masks_per_run=5)) == ({"n": (1, 1, 5)},)
    assert profiles_of("grounding_encoder", Dims()) == ()


def test_capacities() -> None:
    sizes = read_manifest(BUNDLED).sizes
    assert checked_capacity(None, sizes) == 2176  # 10 views of 7 x 8 rows, a separator, 512 and 1,024
    assert checked_capacity(300, sizes) == 384
    for wrong in (127, 32769):
        with pytest.raises(OptionError, match=rf"capacity={wrong} is outside 128\.\.32768"):
            checked_capacity(wrong, sizes)


def test_a_plans_name_depends_on_every_fact() -> None:
    facts = {"sm": 86, "library": "1.7", "profiles": profiles_of("vision_encoder", Dims())}
    names = {key_of(facts), *(key_of({**facts, name: 0}) for name in facts)}
    assert len(names) == 4
    assert key_of(dict(reversed(facts.items()))) == key_of(facts)
