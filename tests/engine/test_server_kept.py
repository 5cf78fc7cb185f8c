"""Images that a worker keeps: found by digest, bounded by bytes, let go in the order of use."""

from __future__ import annotations

import functools

import pytest

from geopixel_edge import Pipeline, StopToken, limits
from geopixel_edge.errors import ImageError, QueryError
from geopixel_edge.serve import jobs
from geopixel_edge.serve.answering import Answering, DeadlineToken
from geopixel_edge.serve.kept import KeptImages
from geopixel_edge.serve.problems import RequestError
from geopixel_edge.serve.uploads import check_pixels

from ..support.recording import recorded
from ..support.servers import png, tile

FILES = [jobs.Picture(data=png(tile(number, 64))) for number in range(3)]
ONE_BYTES = 64 * 64 * 3


def test_the_least_recently_used_goes_first_and_the_latest_stays(direct: Pipeline) -> None:
    kept = KeptImages(direct, "img_a.0_", 2 * ONE_BYTES)
    first, second = (kept.get([one], 9) for one in FILES[:2])
    assert (len(kept), kept.bytes, kept.hits, kept.misses) == (2, 2 * ONE_BYTES, 0, 2)
    assert kept.get([FILES[0]], 9) is first
    kept.get([FILES[2]], 9)
    assert kept.get([jobs.Picture(id=first.ids[0])], 9) is first
    with pytest.raises(RequestError, match="upload it again"):
        kept.get([jobs.Picture(id=second.ids[0])], 9)
    kept.shrink(0)
    assert len(kept) == 1
    assert kept.forget(first.ids[0])
    assert not kept.forget(first.ids[0])


def test_questions_make_an_image_grow_and_that_counts(direct: Pipeline) -> None:
    kept = KeptImages(direct, "img_a.0_")
    held = kept.get([FILES[0]], 9)
    before = kept.bytes
    held.opened.ask("What is here?", max_new_tokens=1)
    assert kept.bytes == held.bytes > before
    kept.clear()
    assert kept.bytes == 0


def test_with_a_budget_what_is_kept_fits_beside_the_question(direct: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    model = direct.model
    monkeypatch.setattr(model, "budget_bytes", model.plan.peak_bytes + 3 * ONE_BYTES)
    kept = KeptImages(direct, "img_a.0_")
    assert kept.allowed_bytes == 3 * ONE_BYTES
    for one in FILES:
        kept.get([one], 9)
    kept.make_room(model.plan.peak_bytes + ONE_BYTES)
    assert len(kept) == 2


def test_a_job_says_what_it_cost_and_a_stop_ends_it(direct: Pipeline) -> None:
    answering = Answering(direct, KeptImages(direct, "img_a.0_"), "a.0")
    told: list[jobs.Delta | jobs.Found] = []
    job = jobs.Segment(
        number=3, images=FILES[:2], phrases=["the ships"], max_new_tokens=8, hd_num=9, polygons=False, geojson=False
    )
    result, cost = answering.answer(job, StopToken(), told.append)
    assert isinstance(result, jobs.Segmented)
    assert (cost.together, len(result.results), told) == ([1, 1], 2, [])
    assert cost.new_tokens == result.usage.completion_tokens
    assert cost.blocks["vision_encoder"] > 0
    late, _ = answering.answer(job, DeadlineToken(0.0), told.append)
    assert isinstance(late, jobs.Segmented)
    assert {one.finish_reason for one in late.results} == {"deadline"}


# --- Several at once ------------------------------------------------------------------------------------------------


def segment(pictures: list[jobs.Picture], phrases: list[str]) -> jobs.Segment:
    return jobs.Segment(
        number=1, images=pictures, phrases=phrases, max_new_tokens=32, hd_num=1, polygons=False, geojson=False
    )


def test_eight_equal_tiles_are_computed_once_and_no_run_more_than_as_single_ones(direct: Pipeline) -> None:
    job = segment([FILES[0]] * 8, ["the buildings"])
    with recorded(direct) as batched:
        found, cost = Answering(direct, KeptImages(direct, "img_a.0_"), "a.0").answer(job, StopToken(), print)
    one_by_one = Answering(direct, KeptImages(direct, "img_a.0_"), "a.0")
    with recorded(direct) as single:
        alone = [one_by_one.answer(segment([FILES[0]], ["the buildings"]), StopToken(), print)[0] for _ in range(8)]
    assert isinstance(found, jobs.Segmented)
    assert [one.regions for one in found.results] == [one.results[0].regions for one in alone]  # type: ignore[union-attr]
    assert len(batched["vision_encoder"].feeds) == 1
    assert (cost.hits, cost.misses, cost.together) == (7, 1, [1] * 8)
    for block, recorder in single.items():
        assert len(batched[block].feeds) <= len(recorder.feeds), block


def test_tiles_that_are_not_drafted_are_written_in_step(direct: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    query = direct.model.family.segment_query("the buildings")
    alone = [direct(tile(number, 64), query, hd_num=1, max_new_tokens=32, draft=False) for number in range(3)]
    monkeypatch.setattr(direct, "batch", functools.partial(direct.batch, draft=False))
    job, answering = segment(FILES, ["the buildings"]), Answering(direct, KeptImages(direct, "img_a.0_"), "a.0")
    with recorded(direct) as recorders:
        found, cost = answering.answer(job, StopToken(), print)
    assert isinstance(found, jobs.Segmented)
    assert cost.together == [3]
    steps = [one["inputs_embeds"].shape[:2] for one in recorders["language_model"].feeds]
    longest = max(len(one.token_ids) for one in alone)
    assert longest - 1 <= steps.count((3, 1)) <= longest
    assert steps.count((1, 1)) == 0, "a token of one tile alone"
    for result, one in zip(found.results, alone, strict=True):
        assert [drawn.segmentation.counts for drawn in result.regions] == [
            region.mask.to_coco()["counts"] for region in one.regions
        ]


def test_with_a_budget_nothing_is_kept_of_several(direct: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    job = segment([FILES[0], FILES[0], FILES[1]], ["the buildings", "the bridge"])
    free, _ = Answering(direct, KeptImages(direct, "img_a.0_"), "a.0").answer(job, StopToken(), print)
    monkeypatch.setattr(direct.model, "budget_bytes", 2 * direct.model.plan.peak_bytes)
    answering = Answering(direct, KeptImages(direct, "img_a.0_"), "a.0")
    with recorded(direct) as recorders:
        found, cost = answering.answer(job, StopToken(), print)
    assert found == free
    assert (cost.kept_images, cost.together) == (0, [1] * 6)
    assert len(recorders["vision_encoder"].feeds) == 2


@pytest.mark.parametrize(
    ("pictures", "phrases", "error"),
    [
        ([*FILES[:2], jobs.Picture(data=png(tile(0, 64))[:200])], ["the ships"], ImageError),
        (FILES[:2], ["the ships", "[UNUSED_TOKEN_146]"], QueryError),
        ([FILES[0], jobs.Picture(id=f"img_a.0_{'0' * 32}")], ["the ships"], RequestError),
    ],
)
def test_what_is_wrong_with_the_last_is_told_before_the_first_is_answered(
    direct: Pipeline, pictures: list[jobs.Picture], phrases: list[str], error: type[Exception]
) -> None:
    with recorded(direct) as recorders, pytest.raises(error):
        Answering(direct, KeptImages(direct, "img_a.0_"), "a.0").answer(segment(pictures, phrases), StopToken(), print)
    assert not any(recorder.feeds for recorder in recorders.values())


def test_the_pixels_of_all_files_are_summed_before_any_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [png(tile(number, 64)) for number in range(3)]
    monkeypatch.setattr(limits, "MAX_IMAGE_PIXELS", 3 * 64 * 64)
    check_pixels([jobs.Picture(data=data) for data in files])
    with pytest.raises(ImageError, match="have over 12,288 pixels in all"):
        check_pixels([jobs.Picture(data=data[:60]) for data in (*files, files[0])])
