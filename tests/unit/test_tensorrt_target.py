"""For which GPU plans are built, for which sizes, and which form of the language model a TensorRT takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from geopixel_edge.build import tensorrt_builder, tensorrt_target
from geopixel_edge.build.composed import ComposedGraph
from geopixel_edge.build.decoder import DecoderSizes
from geopixel_edge.build.plan_cache import PlanCache, key_of
from geopixel_edge.build.tensorrt_block import Outcome
from geopixel_edge.build.tensorrt_builder import PlanBuilder, Wanted
from geopixel_edge.build.tensorrt_profiles import checked_capacity, profiles_of, shapes
from geopixel_edge.build.tensorrt_target import Library, choose
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.engine.manifest import TensorSpec
from geopixel_edge.engine.precision import PRECISIONS
from geopixel_edge.errors import OptionError, RuntimeUnavailableError
from geopixel_edge.memory.plan import Dims

from ..support.random_decoder import RandomWeights

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


def facts_of(block: str = "vision_encoder", **changed: Any) -> dict[str, Any]:
    """What the name of a block's plan is made of, with some of a build's circumstances changed."""
    manifest = read_manifest(BUNDLED)
    spec = msgspec.structs.replace(manifest.blocks[block], **changed.pop("spec", {}))
    manifest = msgspec.structs.replace(manifest, blocks={**manifest.blocks, block: spec})
    wanted = replace(Wanted("tensorrt"), **changed.pop("wanted", {}))
    library = replace(Library("tensorrt", "10.16.0", 87, True), **changed.pop("library", {}))
    dims = replace(Dims(capacity=1024), **changed.pop("dims", {}))
    assert not changed
    engine: Any = SimpleNamespace(manifest=manifest)
    return PlanBuilder(engine, wanted, library, dims, PlanCache(Path()), Path(), lambda *told: None)._facts(block)


SPEC = read_manifest(BUNDLED).blocks["vision_encoder"]
LANGUAGE = "language_model"
# What of a build is changed, and the facts that differ then.
FACTS: list[tuple[str, dict[str, Any], set[str]]] = [
    ("vision_encoder", {"spec": {"files": SPEC.files[:1]}}, {"files"}),
    ("vision_encoder", {"spec": {"precision": PRECISIONS["fp16"]}}, {"halves"}),
    ("vision_encoder", {"wanted": {"runtime": "tensorrt-rtx"}}, {"runtime"}),
    ("vision_encoder", {"wanted": {"memory_bytes": 8_000_000_000}}, {"memory"}),
    ("vision_encoder", {"library": {"version": "10.17.0"}}, {"library"}),
    ("vision_encoder", {"library": {"sm": 86}}, {"sm"}),
    ("vision_encoder", {"dims": {"views_per_run": 1}}, {"profiles"}),
    (LANGUAGE, {"library": {"version": "10.3.0"}}, {"library", "form"}),
    (LANGUAGE, {"dims": {"capacity": 2048}}, {"fixed"}),
    (LANGUAGE, {"dims": {"prompt_chunk": 256}}, {"profiles"}),
]


@pytest.mark.parametrize(("block", "changed", "told"), FACTS)
def test_a_plans_name_depends_on_every_fact(block: str, changed: dict[str, Any], told: set[str]) -> None:
    facts, others = facts_of(block), facts_of(block, **changed)
    assert {name for name in facts if facts[name] != others[name]} == told
    for name in told:
        assert key_of({**facts, name: others[name]}) != key_of(facts)
    assert key_of(dict(reversed(facts.items()))) == key_of(facts)


def test_no_fact_of_a_plans_name_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = facts_of()
    monkeypatch.setattr(tensorrt_builder, "__version__", "another")
    told = {name for name in facts if facts[name] != facts_of()[name]}
    assert told == {"package"}
    assert told.union(*(names for *_, names in FACTS)) == facts.keys()


@pytest.mark.parametrize(("precision", "opset"), [("fp16", 20), ("int8", 20), ("int4-fp16", 21)])
def test_older_parsers_are_given_the_oldest_operators_that_do(precision: str, opset: int, tmp_path: Path) -> None:
    sizes = DecoderSizes(1, 64, 2, 1, 32, 100, 1e-5)
    record = PRECISIONS[precision]
    decoder = ComposedGraph(tmp_path / "language_model.onnx", sizes, record, RandomWeights(record))
    assert decoder.graph.opset == opset
