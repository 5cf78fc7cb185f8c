"""Scores: judged by pycocotools, by brute force, and by cases small enough to work out by hand."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Sequence
from random import Random
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evaluate.metrics.matching import assign
from evaluate.scorers import (
    Conversation,
    Referring,
    Shown,
    average_precision,
    score_conversations,
    score_referring,
)
from geopixel_edge.masks import Mask

SIDE = 12
Item = TypeVar("Item")


def square(x: int, y: int, width: int = 4, height: int = 4) -> Mask:
    bits = np.zeros((SIDE, SIDE), bool)
    bits[y : y + height, x : x + width] = True
    return Mask.from_array(bits)


def shown(*masks: Mask, phrase: str = "a ship") -> tuple[Shown, ...]:
    return tuple(Shown(mask, phrase, 1 - at / 100) for at, mask in enumerate(masks))


boxes = st.builds(square, st.integers(0, 8), st.integers(0, 8), st.integers(1, 8), st.integers(1, 8))
marks = st.builds(Shown, boxes, st.just("a ship"), st.sampled_from([0.1, 0.5, 0.5, 0.9]))
scenes = st.builds(
    Conversation, st.lists(marks, max_size=5).map(tuple), st.lists(marks, max_size=5).map(tuple), st.just(True)
)


def test_referring_by_hand() -> None:
    results = [
        Referring((square(0, 0),), square(0, 0), False),  # 16 of 16
        Referring((square(0, 0, 4, 6),), square(0, 0), False),  # 16 of 24
        Referring((square(0, 0, 4, 8),), square(0, 0), False),  # 16 of 32: just 0.5
        Referring((), square(0, 0), True),  # 0 of 16
        Referring((square(0, 0, 2, 4), square(2, 0, 2, 4)), square(0, 0), False),  # both halves: 16 of 16
        Referring((), None, True),
        Referring((square(0, 0),), None, False),
    ]
    found = score_referring(results)
    assert found["p50"] == pytest.approx(4 / 5)
    assert found["p70"] == pytest.approx(2 / 5)
    assert found["miou"] == pytest.approx((1 + 2 / 3 + 1 / 2 + 0 + 1) / 5)
    assert found["oiou"] == pytest.approx(64 / (16 + 24 + 32 + 16 + 16))
    assert found["absent_refused"] == 0.5


def test_figures_over_nothing_are_none() -> None:
    assert set(score_referring([]).values()) == {None}
    assert set(score_conversations([]).values()) == {None}
    only_absent = score_referring([Referring((), None, True)])
    assert only_absent["absent_refused"] == 1
    assert only_absent["p50"] is None


def test_an_answer_with_a_seg_but_no_mask_is_no_refusal() -> None:
    assert score_referring([Referring((), None, False)])["absent_refused"] == 0


def test_conversation_by_hand() -> None:
    # First scene: 1.0 and 0.5 matched, one predicted mask too many. Second: nothing said of one thing.
    first = Conversation(
        shown(square(0, 0), square(6, 0, 4, 8), square(0, 8, 2, 2)), shown(square(6, 0), square(0, 0)), True
    )
    second = Conversation((), shown(square(3, 3)), False)
    found = score_conversations([first, second])
    assert found["miou"] == pytest.approx(((1.0 + 0.5 + 0.0) / 3 + 0.0) / 2)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["well_formed"] == 0.5
    # Ranked hits: 1, 1, 0; three expected: precision is 1 up to recall 2/3, then 0.
    assert found["ap50"] == pytest.approx(67 / 101)


def test_recall_needs_the_phrase_too() -> None:
    expected = (Shown(square(0, 0), "a red ship"),)

    def recall(phrase: str) -> float | None:
        return score_conversations([Conversation((Shown(square(0, 0), phrase),), expected, True)])["recall"]

    assert [recall(phrase) for phrase in ("one red ship", "a blue ship", "a tree group", "")] == [1, 1, 0, 0]


def test_the_best_assignment_is_not_the_greedy_one() -> None:
    assert assign(np.array([[0.9, 0.8], [0.8, 0.1]])) == [(0, 1), (1, 0)]
    assert assign(np.zeros((0, 3))) == assign(np.zeros((3, 0))) == []


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2**32 - 1), st.booleans())
def test_assignment_equals_brute_force(rows: int, columns: int, seed: int, coarse: bool) -> None:
    gains = np.random.default_rng(seed).random((rows, columns))
    gains = np.round(gains * 3) / 3 if coarse else gains
    pairs = assign(gains)
    assert len(pairs) == min(rows, columns) == len({row for row, _ in pairs}) == len({column for _, column in pairs})
    tall = gains if rows >= columns else gains.T
    best = max(
        sum(tall[row, at] for at, row in enumerate(chosen))
        for chosen in itertools.permutations(range(tall.shape[0]), tall.shape[1])
    )
    assert sum(gains[pair] for pair in pairs) == pytest.approx(best)


def coco_ap50(results: Sequence[Conversation]) -> float:
    """COCO's own evaluation of the same masks, as one class."""
    images = [{"id": at + 1, "width": SIDE, "height": SIDE} for at in range(len(results))]
    truth = [(at + 1, one) for at, result in enumerate(results) for one in result.expected]
    guesses = [(at + 1, one) for at, result in enumerate(results) for one in result.predicted]
    annotations = [
        {
            "id": number + 1,
            "image_id": image,
            "category_id": 1,
            "iscrowd": 0,
            "area": one.mask.area_px,
            "segmentation": one.mask.to_coco(),
            "bbox": list(one.mask.bbox),
        }
        for number, (image, one) in enumerate(truth)
    ]
    found = [
        {"image_id": image, "category_id": 1, "segmentation": one.mask.to_coco(), "score": one.score}
        for image, one in guesses
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = COCO()
        dataset.dataset = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
        dataset.createIndex()
        judge = COCOeval(dataset, dataset.loadRes(found), "segm")
        judge.params.iouThrs = np.array([0.5])
        judge.evaluate()
        judge.accumulate()
    return float(judge.eval["precision"][0, :, 0, 0, -1].mean())


@settings(deadline=None, max_examples=60)
@given(
    st.lists(scenes, min_size=1, max_size=4).filter(
        lambda all_of: any(one.expected for one in all_of) and any(one.predicted for one in all_of)
    )
)
def test_average_precision_equals_coco_s(results: list[Conversation]) -> None:
    assert average_precision(results) == pytest.approx(coco_ap50(results), abs=1e-9)


def test_of_equal_matches_the_last_is_taken_as_in_coco() -> None:
    first, last = shown(square(1, 0), square(3, 0))
    for expected, wanted in (((first, last), 1.0), ((last, first), 51 / 101)):
        result = [Conversation(shown(square(2, 0), square(0, 0)), expected, True)]
        assert average_precision(result) == pytest.approx(coco_ap50(result)) == pytest.approx(wanted)


@settings(deadline=None, max_examples=60)
@given(scenes)
def test_an_iou_equals_pycocotools(result: Conversation) -> None:
    from pycocotools import mask as coco

    from evaluate.scorers import overlaps

    if result.predicted and result.expected:
        sides = [[one.mask.to_coco() for one in side] for side in (result.predicted, result.expected)]
        assert np.allclose(overlaps(result), coco.iou(*sides, [0] * len(sides[1])))


@settings(deadline=None, max_examples=60)
@given(st.lists(boxes, min_size=1, max_size=5, unique_by=lambda mask: mask.bbox))
def test_a_perfect_prediction_scores_one_and_none_scores_zero(masks: list[Mask]) -> None:
    perfect = score_conversations([Conversation(shown(*masks), shown(*masks), True)])
    assert all(value == pytest.approx(1.0) for value in perfect.values())
    empty = score_conversations([Conversation((), shown(*masks), False)])
    assert all(value == 0 for value in empty.values())
    there = [Referring((mask,), mask, False) for mask in masks]
    assert all(score_referring(there)[key] == 1 for key in ("p50", "p70", "oiou", "miou"))
    nowhere = [Referring((), mask, True) for mask in masks]
    assert all(score_referring(nowhere)[key] == 0 for key in ("p50", "p70", "oiou", "miou"))


@settings(deadline=None, max_examples=60)
@given(st.lists(scenes, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_order_does_not_matter(results: list[Conversation], random: Random) -> None:
    def shuffled(items: Sequence[Item]) -> list[Item]:
        return random.sample(items, len(items))

    # Equal scores leave the ranking open, so each mask gets its own.
    distinct, number = [], 0
    for one in results:
        ranked = []
        for guess in one.predicted:
            number += 1
            ranked.append(Shown(guess.mask, guess.phrase, 1 / number))
        distinct.append(Conversation(tuple(ranked), one.expected, True))
    moved = [
        Conversation(tuple(shuffled(one.predicted)), tuple(shuffled(one.expected)), True) for one in shuffled(distinct)
    ]
    first, second = score_conversations(distinct), score_conversations(moved)
    assert first["miou"] == pytest.approx(second["miou"])
    assert all(0 <= value <= 1 for value in first.values() if value is not None)
    questions = [
        Referring((a.mask,), b.mask, False)
        for one in results
        for a, b in zip(one.predicted, one.expected, strict=False)
    ]
    assert score_referring(questions) == pytest.approx(score_referring(shuffled(questions)))
