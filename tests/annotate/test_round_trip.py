"""The check `round-trip` with the engine in the package: true phrases are found, those of other masks are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from annotate.annotating import annotate
from annotate.asking import Asker
from annotate.cli import main
from annotate.describers.rules import Rules
from annotate.items import Item
from annotate.ledger import Ledger
from annotate.records import Sentence
from annotate.round_trip import RoundTrip
from annotate.settings import Settings
from annotate.sources.scenes import ScenesSource

from ..support.annotations import records

SOURCE = ScenesSource(2_000_068, 2_000_068)


@pytest.fixture(scope="module")
def engine() -> Iterator[RoundTrip]:
    """The engine in the package."""
    held = RoundTrip("bundled")
    yield held
    held.close()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Item, list[Sentence]]:
    """A picture and its true sentences that have masks."""
    item = SOURCE.item(SOURCE.ids[0])
    with Ledger(tmp_path_factory.mktemp("ledger"), "1-of-1") as ledger:
        done = annotate(item, Asker(Rules(), ledger, Settings()), SOURCE.classes)
    return item, [one for one in done.sentences if one.masks and one.state != "drop"]


def found_in(sentences: list[Sentence]) -> list[Sentence]:
    """Those with a finding of this check."""
    return [one for one in sentences if any(finding.name == "round-trip" for finding in one.findings)]


def test_true_phrases_are_found_and_those_of_other_masks_are_not(
    engine: RoundTrip, told: tuple[Item, list[Sentence]]
) -> None:
    item, sentences = told
    assert len(sentences) > 4
    assert found_in(engine.check(item, sentences)) == []
    others = sentences[1:] + sentences[:1]
    swapped = [replace(one, masks=other.masks) for one, other in zip(sentences, others, strict=True)]
    found = found_in(engine.check(item, swapped))
    assert len(found) == len(swapped)
    assert {one.state for one in found} == {"review"}


@pytest.mark.long
def test_how_many_of_five_scenes_are_found(engine: RoundTrip, tmp_path: Path) -> None:
    """The figures of docs/annotate.md, to two phrases: processors round differently."""
    source, true, exchanged, total = ScenesSource(2_000_065, 2_000_069), 0, 0, 0
    with Ledger(tmp_path, "1-of-1") as ledger:
        asker = Asker(Rules(), ledger, Settings())
        for name in source.ids:
            item = source.item(name)
            told = [one for one in annotate(item, asker, source.classes).sentences if one.masks and one.state != "drop"]
            swapped = [replace(one, masks=other.masks) for one, other in zip(told, told[1:] + told[:1], strict=True)]
            true += len(found_in(engine.check(item, told)))
            exchanged += len(found_in(engine.check(item, swapped)))
            total += len(told)
    assert (true, exchanged, total) == (pytest.approx(14, abs=2), pytest.approx(52, abs=2), 55)


def test_what_is_dropped_or_has_no_mask_is_not_asked(engine: RoundTrip, told: tuple[Item, list[Sentence]]) -> None:
    item, sentences = told
    silent = [replace(sentences[0], decision="drop"), Sentence("scene", "It is a port.")]
    assert engine.check(item, silent) == silent


def test_a_phrase_that_the_engine_refuses_is_to_be_reviewed(
    engine: RoundTrip, told: tuple[Item, list[Sentence]]
) -> None:
    item, sentences = told
    (refused,) = engine.check(item, [replace(sentences[0], phrases=("ship " * 4_000,))])
    assert "the engine refuses" in refused.findings[0].reason


def test_the_command_records_which_engine_looked(tmp_path: Path) -> None:
    words = ["scenes:2000068-2000068,256", str(tmp_path / "out"), "--describer", "rules"]
    assert main(words) == 0
    before = records(tmp_path / "out")[0]["settings"]
    assert main([*words, "--round-trip", "bundled"]) == 0
    assert records(tmp_path / "out")[0]["settings"] != before
    assert "engine sha256:" in (tmp_path / "out" / "run.json").read_text()
    assert main([*words, "--round-trip", str(tmp_path)]) == 4
