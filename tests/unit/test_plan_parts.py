"""Plans that load the language model in two parts by turns, or keep its cache in float16: which, when, and how much."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.engine.manifest import BlockSpec, Footprint, Manifest, Term
from geopixel_edge.errors import MemoryBudgetError
from geopixel_edge.memory.parts import PARTS, Way, ways
from geopixel_edge.memory.plan import Layout, Plan, Request, make_plan
from geopixel_edge.memory.sizes import RELOAD_PART
from geopixel_edge.runtimes.cut import WHOLE, Cut

MB = 1_000_000
SPARED = {"reading": 300 * MB, "writing": 500 * MB}
# Of a question whose cache is large: 2 x 65,536 positions of the small model.
REQUEST = Request((Layout(9, 10, 60_000), Layout(1, 2, 30_000)), max_new_tokens=1024)


def changed(manifest: Manifest, **more: object) -> Manifest:
    """The manifest with other fields in the language model's entry."""
    block = msgspec.structs.replace(manifest.blocks["language_model"], **more)
    return msgspec.structs.replace(manifest, blocks={**manifest.blocks, "language_model": block})


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    """A language model of 4 GB beside small blocks."""
    footprint = Footprint(weights_bytes=4000 * MB, workspace=(Term(bytes=100_000.0, dims=("S",)),), spared=dict(SPARED))
    return changed(read_manifest(BUNDLED), footprint=footprint)


def language_model(manifest: Manifest) -> BlockSpec:
    return manifest.blocks["language_model"]


def ladder(manifest: Manifest, request: Request = REQUEST) -> list[Plan]:
    """Every plan that a falling budget gets, the fastest first."""
    found = [make_plan(manifest, request)]
    while True:
        try:
            found.append(make_plan(manifest, request, found[-1].peak_bytes - 1))
        except MemoryBudgetError:
            return found


@pytest.mark.parametrize(
    ("spared_mb", "wanted"),
    [
        ((300, 500), [(9, "float32", False), (9, "float32", True), (9, "float16", True), (1, "float32", True)]),
        ((5, 20), [(9, "float32", False), (9, "float32", True), (9, "float16", False), (9, "float16", True)]),
    ],
)
def test_answers_change_after_all_else_and_detail_is_lost_last(
    manifest: Manifest, spared_mb: tuple[int, int], wanted: list[tuple[int, str, bool]]
) -> None:
    footprint = language_model(manifest).footprint
    assert footprint is not None
    spared = {part: size * MB for part, size in zip(PARTS, spared_mb, strict=True)}
    plans = ladder(changed(manifest, footprint=msgspec.structs.replace(footprint, spared=spared)))
    seen = list(dict.fromkeys((plan.layout.hd_num, plan.kv_dtype, plan.split) for plan in plans))
    assert seen[:4] == wanted
    assert [plan.peak_bytes for plan in plans] == sorted((plan.peak_bytes for plan in plans), reverse=True)


def test_a_part_takes_what_the_other_does_without(manifest: Manifest) -> None:
    plans = ladder(manifest)
    whole, split = (
        next(plan for plan in reversed(plans) if (plan.layout.hd_num, plan.kv_dtype, plan.split) == (9, "float32", one))
        for one in (False, True)
    )
    decoder = split.stages[4].bytes - split.stages[3].bytes  # nothing but who runs differs between "step" and "point"
    assert whole.dims == split.dims
    assert [stage.name for stage in split.stages] == ["ground", "see", "read", "step", "point"]
    assert [stage.resident for stage in split.stages[2:4]] == [{"language_model"}, {"language_model", "pixel_decoder"}]
    assert [stage.cut for stage in split.stages] == [WHOLE, WHOLE, PARTS["reading"], PARTS["writing"], PARTS["writing"]]
    spared = SPARED["writing"]
    assert whole.stages[3].bytes - split.stages[3].bytes == pytest.approx(spared + RELOAD_PART * spared, abs=1)
    assert whole.stages[2].bytes - split.stages[2].bytes > SPARED["reading"]  # the pixel decoder is not loaded either
    assert whole.stages[4].bytes - whole.stages[3].bytes == decoder


def test_a_cache_of_float16_is_half_as_large_and_its_scores_are_counted(manifest: Manifest) -> None:
    sizes = manifest.sizes
    plans = {
        plan.kv_dtype: plan
        for plan in ladder(manifest)
        if plan.split and plan.layout.hd_num == 9 and plan.dims.prompt_chunk == 64
    }
    wide, half = plans["float32"], plans["float16"]
    cache = 2 * sizes.layers * sizes.kv_heads * sizes.head_dim * wide.dims.capacity * 4
    saved = wide.stages[2].bytes - half.stages[2].bytes
    scores = 64 * wide.dims.capacity * sizes.heads * 4
    assert cache / 2 - 1.1 * scores <= saved <= cache / 2 - scores
    assert half.stages[2].cut == replace(PARTS["reading"], half_cache=True)


def test_text_alone_needs_no_reader_of_images(manifest: Manifest) -> None:
    request = Request((Layout(9, 0, 40),), grounded=False)
    least = ladder(manifest, request)[-1]
    assert least.split
    assert [stage.name for stage in least.stages] == ["step"]


@pytest.mark.parametrize(
    ("what", "more", "wanted"),
    [
        ("an engine that was not measured", {"footprint": None}, [Way()]),
        ("another runtime", {"runtime": "tensorrt"}, [Way()]),
        (
            "one measured before parts were",
            {"footprint": Footprint(weights_bytes=1, workspace=())},
            [Way(), Way(half=True)],
        ),
    ],
)
def test_what_cannot_be_cut_is_not(manifest: Manifest, what: str, more: dict[str, object], wanted: list[Way]) -> None:
    assert ways(changed(manifest, **more)) == wanted, what


def test_the_portable_form_and_a_cache_that_is_half_already(manifest: Manifest) -> None:
    assert ways(msgspec.structs.replace(manifest, form="portable")) == [Way()]
    halved = Cut(half_cache=True).spec(language_model(manifest))
    assert ways(changed(manifest, inputs=halved.inputs)) == [Way(), Way(split=True)]
    assert {one.dtype for one in halved.inputs if one.name.startswith("past_")} == {"float16"}


def test_a_refusal_is_of_the_smallest_plan(manifest: Manifest) -> None:
    least = ladder(manifest)[-1]
    with pytest.raises(MemoryBudgetError) as caught:
        make_plan(manifest, REQUEST, 1000 * MB)
    named = int(str(caught.value).rpartition("at least ")[2].partition("MB")[0])
    assert named == -(-least.peak_bytes // MB)
