"""Each check finds its lie, and leaves true sentences alone."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from annotate.annotating import annotate, planned
from annotate.asking import Asker, seed_of
from annotate.facts import Facts
from annotate.filters import Context, check, check_together
from annotate.ledger import Ledger
from annotate.names import PROFILES, Profile
from annotate.picture import Picture
from annotate.records import Finding, Sentence
from annotate.settings import Settings
from annotate.sources.scenes import ScenesSource
from geopixel_edge.masks import Mask

from ..support.liars import FOUND_BY, LIES, Liar, SceneLiar

SOURCE = ScenesSource(2_000_065, 2_000_564)
RATES = (0.1, 0.3, 0.7)
item_of = functools.lru_cache(maxsize=30)(SOURCE.item)


def caught(
    lie: str, rate: float, scenes: int, tmp_path: Path, profile: Profile = "strict", least: int = -1
) -> tuple[int, int, int, int]:
    """Lies found and told, true sentences in which the same checks found something, and how many true ones; so many
    scenes, and further ones until more than `least` lies were told."""
    liar = Liar(lie, rate)
    hits = lies = alarms = truths = 0
    with Ledger(tmp_path / f"{lie} {rate} {profile}", "1-of-1") as ledger:
        asker = Asker(liar, ledger, Settings(profile=profile))
        for number, name in enumerate(SOURCE.ids):
            if number >= scenes and lies > least:
                break
            for one in annotate(item_of(name), asker, SOURCE.classes).sentences:
                if one.level == "scene":
                    continue
                names = {found.name for found in one.findings} - {"repeat"}  # a lie may repeat a true sentence
                if seed_of(one.request) in liar.lies:
                    lies, hits = lies + 1, hits + bool(names & FOUND_BY[lie])
                else:
                    truths, alarms = truths + 1, alarms + bool(names)
    return hits, lies, alarms, truths


@pytest.mark.parametrize("lie", LIES)
def test_a_check_finds_its_lie(lie: str, tmp_path: Path) -> None:
    hits, lies, alarms, truths = caught(lie, 0.8, 1, tmp_path, "published")
    assert lies > 1
    assert hits >= 0.95 * lies
    assert alarms <= 0.01 * truths


@pytest.mark.long
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("lie", LIES)
def test_recall_and_false_alarms_at_several_rates(lie: str, profile: Profile, tmp_path: Path) -> None:
    for rate in RATES:
        hits, lies, alarms, truths = caught(lie, rate, 25, tmp_path, profile, least=10)
        assert lies > 10, rate
        assert hits >= 0.95 * lies, rate
        assert alarms <= 0.01 * truths, rate


def caught_in_scenes(lie: str, tmp_path: Path) -> tuple[int, int, int, int]:
    """As `caught`, of what is said of the only unit of a class in the text of a scene; no lie takes a mask."""
    liar = SceneLiar(lie, 0.5)
    hits = lies = alarms = truths = 0
    with Ledger(tmp_path / f"{lie} scenes", "1-of-1") as ledger:
        asker = Asker(liar, ledger, Settings())
        for number, name in enumerate(SOURCE.ids):
            if number >= 2 and lies > 1:
                break
            picture = Picture(item_of(name), "strict")
            told = planned(picture)[0]
            classes = [one.facts.class_name for one in told]
            liar.units = [one for one in told if classes.count(one.facts.class_name) == 1]
            liar.present = frozenset(picture.by_class)
            for one in annotate(item_of(name), asker, SOURCE.classes).sentences:
                if one.level != "scene" or one.said not in liar.said:
                    continue
                names = {found.name for found in one.findings} - {"repeat", "overlap"}
                if liar.said[one.said]:
                    lies, hits = lies + 1, hits + bool(names & FOUND_BY[lie])
                    assert not one.masks, one.said
                else:
                    truths, alarms = truths + 1, alarms + bool(names)
    return hits, lies, alarms, truths


@pytest.mark.parametrize(
    "lie", [lie if lie in ("place", "count", "mark") else pytest.param(lie, marks=pytest.mark.long) for lie in LIES]
)
def test_a_check_finds_its_lie_in_the_text_of_a_scene(lie: str, tmp_path: Path) -> None:
    hits, lies, alarms, truths = caught_in_scenes(lie, tmp_path)
    assert lies > 1
    assert hits >= 0.95 * lies
    assert alarms <= 0.01 * truths


SHIPS = Facts("group", "ship", 3, "three", place="left", colour="red")
SHIP = Facts("instance", "ship", 1, "one", place="top left", colour="red")


@pytest.mark.parametrize(
    ("said", "facts", "found"),
    [
        ("Three red ships lie on the left.", SHIPS, set()),
        ("A row of three vessels on the left side.", SHIPS, set()),
        ("Several red ships are moored to the right of the pier.", SHIPS, set()),
        ("A number of ships on the left.", SHIPS, set()),
        ("Dozens of ships on the left.", SHIPS, {"count-conflict"}),
        ("A red ship on the left.", SHIPS, {"count-conflict"}),
        ("Two red ships.", SHIP, {"count-conflict"}),
        ("A red ship at the lower right.", SHIP, {"place-conflict"}),
        ("A red ship, its bow to the left, at the right.", SHIP, set()),
        ("A gray ship.", SHIP, {"colour-conflict"}),
        ("A ship beside a red pier.", SHIP, set()),
        ("The ship numbered 3.", SHIP, {"mark-said"}),
        ("A red ship and a tennis court.", SHIP, {"other-class"}),
        ("A red boat.", SHIP, set()),
        ("Something red.", SHIP, {"no-class"}),
        ("I cannot see a ship.", SHIP, {"hedge"}),
    ],
)
def test_what_sentences_show(said: str, facts: Facts, found: set[str]) -> None:
    context = Context(facts, (0.2, 0.2), ("ship", "pier"), ("ship", "pier", "tennis court", "car"))
    assert {one.name for one in check(said, context)} == found


def sentence(text: str, x_px: int) -> Sentence:
    """A sentence whose only mask begins at a column."""
    bits = np.zeros((20, 60), np.bool_)
    bits[5:15, x_px : x_px + 10] = True
    return Sentence("instance", text, ("a red ship",), (Mask.from_array(bits),))


@pytest.mark.parametrize(
    ("text", "x_px", "found"),
    [
        ("At the pier there lies {0} that is being unloaded.", 30, {"repeat"}),
        ("At the pier there lies {0} that waits for its cargo.", 30, set()),
        ("Elsewhere {0} is seen.", 2, {"overlap"}),
        ("Elsewhere {0} is seen.", 6, set()),
        ("At the pier there lies {0} that is being unloaded.", 0, {"repeat", "overlap"}),
    ],
)
def test_what_shows_between_sentences(text: str, x_px: int, found: set[str]) -> None:
    first = sentence("At the pier there lies {0} that is being unloaded.", 0)
    one, other = check_together([first, sentence(text, x_px)])
    assert one.findings == ()
    assert {finding.name for finding in other.findings} == found
    dropped = first.found(Finding("hedge", "", "drop"))
    assert check_together([dropped, sentence(text, x_px)])[1].findings == ()
