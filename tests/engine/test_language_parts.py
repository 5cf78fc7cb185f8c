"""Answers of a language model that is loaded in two parts by turns, or keeps its cache in float16."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from geopixel_edge import Answer, Pipeline
from geopixel_edge.engine.manifest import Manifest
from geopixel_edge.memory import plan as plans
from geopixel_edge.memory import residency
from geopixel_edge.memory.parts import PARTS, Way
from geopixel_edge.runtimes import loading
from geopixel_edge.runtimes.cut import WHOLE, Cut

SCENE, QUERY, NEXT = (
    "examples/scene.png",
    "Describe this image with interleaved segmentation masks.",
    "Is there a road?",
)
NEW_TOKENS = 20
BOTH = [PARTS["reading"], PARTS["writing"]]


@pytest.fixture(scope="module")
def wanted() -> Answer:
    """Of the whole language model, every block loaded."""
    with Pipeline(device="cpu", threads=2) as pipeline:
        answer = pipeline(SCENE, QUERY, hd_num=1, max_new_tokens=NEW_TOKENS)
    assert answer.regions
    return answer


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Way], Pipeline]]:
    """Makes pipelines whose every plan loads the language model in one way."""
    made: list[Pipeline] = []

    def opened(way: Way) -> Pipeline:
        def only(manifest: Manifest) -> list[Way]:
            return [way]

        monkeypatch.setattr(plans, "ways", only)
        made.append(Pipeline(device="cpu", threads=2))
        return made[-1]

    yield opened
    for pipeline in made:
        pipeline.close()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Cut]]:
    """What is loaded, in order, and how it is cut."""
    found: list[tuple[str, Cut]] = []
    original = loading.load_block

    def load_block(engine: Any, block: str, device: Any, threads: Any, cut: Cut = WHOLE) -> Any:
        found.append((block, cut))
        return original(engine, block, device, threads, cut)

    monkeypatch.setattr(residency, "load_block", load_block)
    return found


def test_parts_by_turns_answer_alike(
    opened: Callable[[Way], Pipeline], loads: list[tuple[str, Cut]], wanted: Answer
) -> None:
    pipeline = opened(Way(split=True))
    loads.clear()
    with pipeline.open(SCENE, hd_num=1) as image:
        answer = image.ask(QUERY, max_new_tokens=NEW_TOKENS)
        assert [cut for block, cut in loads if block == "language_model"] == BOTH
        loads.clear()
        further = image.ask(NEXT, max_new_tokens=4)
        assert loads == []  # its words are read by what is loaded
        assert further.timings.reused_tokens > 50
    assert answer.token_ids == wanted.token_ids
    assert answer.regions == wanted.regions
    assert answer.notes == wanted.notes
    other = pipeline(SCENE, QUERY, hd_num=1, max_new_tokens=2)
    assert other.token_ids == wanted.token_ids[:2]  # a further image: both parts again
    assert [cut for block, cut in loads if block == "language_model"] == BOTH


def test_images_in_the_middle_are_read_by_the_part_that_can(opened: Callable[[Way], Pipeline]) -> None:
    one, other = (
        opened(way)([SCENE, SCENE], "In <ImageHere> and <ImageHere>, what is there?", hd_num=1, max_new_tokens=4)
        for way in (Way(), Way(split=True))
    )
    assert one.token_ids == other.token_ids
    text, same = (opened(way)(None, "What is a pier?", max_new_tokens=4) for way in (Way(), Way(split=True)))
    assert text.token_ids == same.token_ids


def test_a_cache_of_float16_is_told(opened: Callable[[Way], Pipeline], wanted: Answer) -> None:
    answer = opened(Way(split=True, half=True))(SCENE, QUERY, hd_num=1, max_new_tokens=NEW_TOKENS)
    assert answer.notes == (*wanted.notes, "memory: the KV cache is kept in float16, to fit")
    assert answer.token_ids == wanted.token_ids
    assert len(answer.regions) == len(wanted.regions)


def test_a_cache_of_other_numbers_is_read_anew(
    opened: Callable[[Way], Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(Way()).open(SCENE, hd_num=1) as image:
        first = image.ask(NEXT, max_new_tokens=4)
        monkeypatch.setattr(plans, "ways", lambda manifest: [Way(half=True)])
        again = image.ask(NEXT, max_new_tokens=4)
        once_more = image.ask(NEXT, max_new_tokens=4)
    assert (first.timings.reused_tokens, again.timings.reused_tokens) == (0, 0)
    assert once_more.timings.reused_tokens > 50
    assert first.token_ids == again.token_ids == once_more.token_ids
