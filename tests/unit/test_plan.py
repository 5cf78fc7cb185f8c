"""The memory plan: pure arithmetic over a manifest, from the fastest order that fits to a refusal with a number."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from geopixel_edge.cli import main
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.engine.manifest import Footprint, Manifest, Term
from geopixel_edge.errors import MemoryBudgetError, OptionError
from geopixel_edge.memory.amount import parse_memory
from geopixel_edge.memory.capacity import cache_capacity
from geopixel_edge.memory.plan import Layout, Plan, Request, make_plan

MB = 1_000_000
LAYOUTS = (Layout(9, 10, 900), Layout(4, 5, 500), Layout(1, 2, 200))


def with_footprints(manifest: Manifest) -> Manifest:
    """Blocks of 100 to 400 MB, each with a workspace that its own sizes drive."""
    figures = {
        "vision_encoder": (100, Term(bytes=40e6, dims=("n",))),
        "language_model": (400, Term(bytes=500.0, dims=("S", "capacity"))),
        "grounding_encoder": (200, Term(bytes=150e6, dims=())),
        "pixel_decoder": (10, Term(bytes=5e6, dims=("n",))),
    }
    blocks = {
        name: msgspec.structs.replace(
            block, footprint=Footprint(weights_bytes=figures[name][0] * MB, workspace=(figures[name][1],))
        )
        for name, block in manifest.blocks.items()
    }
    return msgspec.structs.replace(manifest, blocks=blocks)


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return with_footprints(read_manifest(BUNDLED))


def planned(manifest: Manifest, budget_mb: float | None, **more: object) -> Plan:
    request = replace(Request(LAYOUTS), **more)  # type: ignore[arg-type]
    return make_plan(manifest, request, None if budget_mb is None else int(budget_mb * MB))


def test_without_a_budget_everything_stays_loaded_at_full_size(manifest: Manifest) -> None:
    plan = planned(manifest, None)
    assert plan.all_resident
    assert not plan.ground_first
    assert plan.kv_dtype == "float32"
    assert [stage.name for stage in plan.stages] == ["see", "read", "step", "ground", "point"]
    assert all(stage.resident == frozenset(manifest.blocks) for stage in plan.stages)
    assert (plan.dims.views_per_run, plan.dims.prompt_chunk, plan.dims.masks_per_run) == (2, 512, 8)
    assert plan.dims.capacity == 2048  # 900 + 1024, rounded up to 128
    # Weights, the largest run, and what is kept: 512 x 2048 x 500 bytes is the largest.
    largest = next(stage for stage in plan.stages if stage.name == "read")
    assert plan.peak_bytes == largest.bytes > 710 * MB + 512 * 2048 * 500


def test_less_memory_goes_down_the_ladder(manifest: Manifest) -> None:
    peaks = [planned(manifest, None).peak_bytes / MB]
    seen: list[tuple[bool, int, int]] = []
    budget = peaks[0]
    while True:
        budget -= 5
        try:
            plan = planned(manifest, budget)
        except MemoryBudgetError:
            break
        assert plan.peak_bytes <= budget * MB
        step = (plan.all_resident, plan.dims.prompt_chunk, plan.layout.hd_num)
        if not seen or seen[-1] != step:
            seen.append(step)
    assert seen[0] == (False, 512, 9)
    assert [step[1] for step in seen if step[2] == 9] == [512, 256, 128, 64]
    assert [step[2] for step in seen] == sorted((step[2] for step in seen), reverse=True)
    # The language model's own weights end it: dividing less finely does not make them smaller.
    assert budget > 400


def test_blocks_are_loaded_one_after_the_other_and_features_first(manifest: Manifest) -> None:
    plan = planned(manifest, planned(manifest, None).peak_bytes / MB - 1)
    assert plan.ground_first
    order = [(stage.name, sorted(stage.resident)) for stage in plan.stages]
    writing = ["language_model", "pixel_decoder"]
    assert order == [
        ("ground", ["grounding_encoder"]),
        ("see", ["vision_encoder"]),
        ("read", writing),
        ("step", writing),
        ("point", writing),
    ]
    assert plan.resident("see") == {"vision_encoder"}
    assert plan.holding("pixel_decoder") == {"pixel_decoder"}


def large(manifest: Manifest, bytes_a_run: float) -> Manifest:
    """The same with a grounding encoder whose run takes so much."""
    block = manifest.blocks["grounding_encoder"]
    footprint = Footprint(weights_bytes=200 * MB, workspace=(Term(bytes=bytes_a_run, dims=()),))
    blocks = {**manifest.blocks, "grounding_encoder": msgspec.structs.replace(block, footprint=footprint)}
    return msgspec.structs.replace(manifest, blocks=blocks)


def test_a_large_run_gives_back_most_of_what_it_took(manifest: Manifest) -> None:
    small, big = (
        {stage.name: stage.bytes for stage in planned(large(manifest, taken * MB), None).stages}
        for taken in (150, 1000)
    )
    assert big["ground"] - small["ground"] > 600 * MB
    for other in ("see", "read", "step", "point"):
        assert big[other] - small[other] == (0.17 * 1000 - 150) * MB


def test_features_come_first_where_that_saves_a_lot(manifest: Manifest) -> None:
    """Beside a long cache a large grounding run would be the peak; before the prompt is read it is not."""
    request = {"layouts": (Layout(9, 10, 4000),), "max_new_tokens": 60_000}
    assert not planned(manifest, None, **request).ground_first
    plan = planned(large(manifest, 20_000 * MB), None, **request)
    assert (plan.all_resident, plan.ground_first) == (True, True)
    assert [stage.name for stage in plan.stages] == ["ground", "see", "read", "step", "point"]
    cache = 2 * manifest.sizes.layers * manifest.sizes.kv_heads * manifest.sizes.head_dim * plan.dims.capacity * 4
    assert cache > 256 * MB


@pytest.mark.parametrize(("positions", "capacity"), [(1, 128), (128, 128), (129, 256), (4130, 4224)])
def test_the_cache_is_as_long_as_the_question_needs(manifest: Manifest, positions: int, capacity: int) -> None:
    assert cache_capacity(manifest, positions) == capacity


def test_a_refusal_says_what_would_do_and_that_does(manifest: Manifest) -> None:
    with pytest.raises(MemoryBudgetError, match=r"memory=100\.0 MB .* 'read' .* give at least [0-9]+MB") as caught:
        planned(manifest, 100)
    least = int(str(caught.value).rpartition("at least ")[2].partition("MB")[0])
    assert planned(manifest, least).peak_bytes <= least * MB
    with pytest.raises(MemoryBudgetError):
        planned(manifest, least - 2)


def test_questions_without_masks_or_images_need_less(manifest: Manifest) -> None:
    text = planned(manifest, None, layouts=(Layout(9, 0, 50),), grounded=False)
    assert [stage.name for stage in text.stages] == ["read", "step"]
    assert planned(manifest, None).peak_bytes > text.peak_bytes


def test_a_batch_takes_a_cache_for_each(manifest: Manifest) -> None:
    one, eight = (planned(manifest, None, batch=batch).stages[2].bytes for batch in (1, 8))
    sizes = manifest.sizes
    cache = 2 * sizes.layers * sizes.kv_heads * sizes.head_dim * 2048 * 4
    assert eight - one >= 7 * cache


def test_what_the_files_fix_is_kept_to(manifest: Manifest) -> None:
    language = msgspec.structs.replace(manifest.blocks["language_model"], dims={"capacity": 4096, "S": 128})
    fixed = msgspec.structs.replace(manifest, blocks={**manifest.blocks, "language_model": language})
    assert (planned(fixed, None).dims.capacity, planned(fixed, None).dims.prompt_chunk) == (4096, 128)


def test_an_engine_without_footprints_is_planned_by_its_files(manifest: Manifest) -> None:
    blocks = {name: msgspec.structs.replace(one, footprint=None) for name, one in manifest.blocks.items()}
    plan = make_plan(msgspec.structs.replace(manifest, blocks=blocks), Request(LAYOUTS))
    assert plan.peak_bytes > sum(block.bytes for block in blocks.values())


@pytest.mark.parametrize(
    ("text", "found"),
    [("6GB", 6 * 10**9), ("6 gb", 6 * 10**9), ("1.5GiB", 3 * 2**29), ("512MiB", 2**29), ("800", 800), (5000, 5000)],
)
def test_amounts_of_memory(text: str | int, found: int) -> None:
    assert parse_memory(text) == found


@pytest.mark.parametrize("text", [0, "0", "6 apples", "", "-1GB", "GB", 1.5, True, "1e9", float("nan"), "9" * 30, []])
def test_what_is_no_amount_of_memory(text: object) -> None:
    with pytest.raises(OptionError, match="memory="):
        parse_memory(text)


@pytest.mark.parametrize(
    ("words", "code", "fragment"),
    [
        (["--size", "1x1"], 0, "image     10 views"),
        (["--size", "65535x20", "--memory", "2GB"], 0, "image     61 views"),
        (["--memory", "6 apples"], 3, "memory='6 apples'"),
        (["--memory", "0"], 3, "memory='0'"),
        (["--memory", "20MB"], 5, "give at least"),
        (["--size", "0x5"], 3, "empty"),
        (["--size", "wide"], 3, "size='wide'"),
        (["--size", "999999x999999"], 3, "too large"),
        (["--batch", "9"], 3, "batch=9"),
        (["examples/scene.png", "--size", "5x5"], 3, "beside an image"),
    ],
)
def test_the_command(words: list[str], code: int, fragment: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *words]) == code
    out, err = capsys.readouterr()
    assert fragment in (out if code == 0 else err)
    assert ("peak" in out) == (code == 0)
    assert "Traceback" not in err


def test_the_command_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--json", "--size", "4000x3000", "--batch", "4"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["peak_bytes"] == max(stage["bytes"] for stage in found["stages"])
    assert found["dims"]["batch"] == 4
    assert found["layout"]["views"] > 1


def test_nothing_is_loaded_for_a_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("manifest.json", "manifest.sha256"):
        (tmp_path / name).write_bytes((BUNDLED / name).read_bytes())
    assert main(["plan", "--engine", str(tmp_path)]) == 0  # no block's file is there
    assert "peak" in capsys.readouterr().out
