"""A model may write anything: unpaired, nested and doubled tags, broken UTF-8, marks in pieces. Nothing may raise."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from geopixel_edge.answer import MaskFound, Phrase, Text
from geopixel_edge.text.assembler import AnswerAssembler
from tests.support.answers import answer, disc, picture, reference_tokenizer

MASK = disc(8, 8, 3, 3, 2)
SEG, OPEN, CLOSE, TURN = 1000, 1001, 1002, 998
SOUP = st.lists(
    st.one_of(
        st.sampled_from([SEG, OPEN, CLOSE]),
        st.sampled_from([TURN, 0, 1, 2, 951, 971, 973, 13]),
        st.integers(3, 258),
        st.integers(0, 1002),
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(ids=SOUP, masked=st.booleans())
def test_tag_soup(ids: list[int], masked: bool) -> None:
    assembler = AnswerAssembler(reference_tokenizer())
    events: list[Text | Phrase | MaskFound] = []
    for token_id in ids:
        events += assembler.push(token_id)
        if masked and token_id == SEG:
            events.append(assembler.attach(MASK, 0.5))
    events += assembler.finish()
    words = [event for event in events if not isinstance(event, MaskFound)]
    text = assembler.text
    assert "".join(event.text for event in words) == text == text.strip()
    assert all(event.text for event in words)
    assert assembler.response == reference_tokenizer().response(ids)
    assert len(assembler.regions) == (ids.count(SEG) if masked else 0)
    spans = [event.span for event in words if isinstance(event, Phrase)]
    assert all(
        text[start:end] == event.text for event in words if isinstance(event, Phrase) for start, end in [event.span]
    )
    assert spans == sorted(spans)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    for region in assembler.regions:
        start, end = region.span
        assert text[start:end] == region.phrase
        assert 0 <= start <= end <= len(text)


@settings(max_examples=200, deadline=None)
@given(ids=SOUP)
def test_masks_that_come_late_find_the_same_phrases(ids: list[int]) -> None:
    at_once, late = AnswerAssembler(reference_tokenizer()), AnswerAssembler(reference_tokenizer())
    for token_id in ids:
        at_once.push(token_id)
        late.push(token_id)
        if token_id == SEG:
            at_once.attach(MASK, 0.5)
    late.finish()
    for _ in range(ids.count(SEG)):
        late.attach(MASK, 0.5)
    assert late.regions == at_once.regions


def test_text_that_looks_like_markup_is_kept_as_text() -> None:
    words = "<script>alert(1)</script> & \"'"
    found = answer(words, [])
    assert found.text == words
    assert found.regions == ()


def test_hundreds_of_tags_without_text() -> None:
    found = answer("<p> </p> [SEG] " * 300, [MASK] * 300, picture(8, 8))
    assert found.text == ""
    assert {(region.phrase, region.span) for region in found.regions} == {("", (0, 0))}
    assert found.masks.shape == (300, 8, 8)
