"""Sentences as people and models write them, written by hand: which the checks drop, and which they let pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotate.facts import Facts
from annotate.filters import UNIT_CHECKS, Context, check

PRESENT = ("ship", "pier", "car")
KNOWN = (*PRESENT, "tennis court", "plane", "storage tank", "bridge", "harbor")
# One red ship at the top left; three red ships on the left.
ONE = Context(Facts("instance", "ship", 1, "one", place="top left", colour="red"), (0.2, 0.2), PRESENT, KNOWN)
THREE = Context(Facts("group", "ship", 3, "three", place="left", colour="red"), (0.2, 0.5), PRESENT, KNOWN)

TRUE = [
    (ONE, "A red ship right next to the pier."),
    (ONE, "A red ship lies right beside the pier."),
    (ONE, "A red ship with its bow pointing right."),
    (ONE, "A red ship with a flat bottom."),
    (ONE, "A red ship at right angles to the pier."),
    (ONE, "A red and white ship is moored."),
    (ONE, "A red ship moored among several ships."),
    (ONE, "A red ship and two others lie side by side."),
    (ONE, "One of the many ships at the pier is this red ship."),
    (ONE, "A red ship casts a shadow towards the lower right."),
    (ONE, "A long red vessel with a white superstructure is tied up at the pier in the upper left."),
    (ONE, "The ship is red, and its deck is covered with white containers."),
    (ONE, "A red cargo ship heading east, leaving a white wake behind it."),
    (ONE, "In the top-left corner, a red ship floats in dark water."),
    (ONE, "The red ship is moored to the right of the pier."),
    (ONE, "A small red boat lies north of the two cars."),
    (ONE, "A red ship near a blue car on the quay."),
    (ONE, "A ship with a red hull sits at the left edge of the water."),
    (ONE, "A red ship surrounded by calm water, with no other ships nearby."),
    (ONE, "The largest of the ships is a red one in the northwest."),
    (ONE, "A dark red ship with blue hatches on its deck."),
    (ONE, "A single red ship is docked along the pier."),
    (ONE, "A red ship facing the bottom of a long pier."),
    (ONE, "A red ship whose stern is turned towards the left side."),
    (ONE, "A red ship, which is number one in length."),
    (ONE, "A red ship with a label on its hull."),
    (ONE, "A red ship with a small plane deck."),
    (THREE, "Three red ships, each with a white ship behind."),
    (THREE, "Three red ships on the left, moored in a row."),
    (THREE, "A row of three red vessels lies along the western side."),
    (THREE, "Several red ships are tied up next to each other."),
    (THREE, "A group of red ships on the left of the image."),
    (THREE, "A few small red boats beside the pier and two cars."),
    (THREE, "Red ships are lined up at the pier."),
    (THREE, "All three of the ships are red."),
    (THREE, "Both ends of the pier are lined with red ships."),
]
FALSE = [
    (ONE, "A red ship in the southeast.", "place-conflict"),
    (ONE, "A red ship in the south-east corner.", "place-conflict"),
    (ONE, "A red ship lies at the lower right, beside the pier.", "place-conflict"),
    (ONE, "On the right side of the image, a red ship is moored.", "place-conflict"),
    (ONE, "The ship at the bottom is red.", "place-conflict"),
    (ONE, "A red ship at the far right.", "place-conflict"),
    (ONE, "A red ship is docked on the eastern edge of the picture.", "place-conflict"),
    (ONE, "The red ship is blue.", "colour-conflict"),
    (ONE, "A blue cargo ship.", "colour-conflict"),
    (ONE, "A ship painted blue lies at the pier.", "colour-conflict"),
    (ONE, "A long, white ship.", "colour-conflict"),
    (ONE, "The vessel, which is white and blue, is moored.", "colour-conflict"),
    (ONE, "A ship with a blue hull.", "colour-conflict"),
    (ONE, "Ship four is red.", "mark-said"),
    (ONE, "The ship in the black box is red.", "mark-said"),
    (ONE, "The red ship labelled one lies at the pier.", "mark-said"),
    (ONE, "Object 3 is a red ship.", "mark-said"),
    (ONE, "The ship with the yellow number is red.", "mark-said"),
    (ONE, "Two red ships are moored.", "count-conflict"),
    (ONE, "A couple of red ships lie here.", "count-conflict"),
    (ONE, "Red ships are moored at the pier.", "count-conflict"),
    (ONE, "There is no ship.", "hedge"),
    (ONE, "Sorry, no ship is visible.", "hedge"),
    (ONE, "I do not see a ship here.", "hedge"),
    (ONE, "It is hard to tell whether this ship is red.", "hedge"),
    (ONE, "The ship might be red, but the image is too dark.", "hedge"),
    (ONE, "A red ship near an aeroplane.", "other-class"),
    (ONE, "A red ship passes under the bridge.", "other-class"),
    (ONE, "A red ship beside two storage tanks.", "other-class"),
    (ONE, "A red ship beside two courts for tennis.", "other-class"),
    (ONE, "A red one is moored at the pier.", "no-class"),
    (ONE, "A red building beside the pier.", "no-class"),
    (ONE, f"A red ship {'that is long and narrow and moored and ' * 5}still.", "too-long"),
    (THREE, "Twelve ships.", "count-conflict"),
    (THREE, "A dozen red ships are moored on the left.", "count-conflict"),
    (THREE, "Twenty-five red ships on the left.", "count-conflict"),
    (THREE, "The ship is red.", "count-conflict"),
    (THREE, "A red ship on the left.", "count-conflict"),
    (THREE, "Two of the ships are red.", "count-conflict"),
    (THREE, "Numerous red boats fill the left side.", "count-conflict"),
    (THREE, "Three ships on the right.", "place-conflict"),
    (THREE, "Three grey ships on the left.", "colour-conflict"),
    (THREE, "The three ships are all white.", "colour-conflict"),
]


# What the checks get wrong, as far as it is known: a label that the thing itself bears, a class's name that means
# something else, a colour of the greatest part.
WRONG = {
    "A red ship, which is number one in length.",
    "A red ship with a label on its hull.",
    "A red ship with a small plane deck.",
    "A ship with a blue hull.",
    "A red ship beside two courts for tennis.",
}


def names(said: str, context: Context) -> set[str]:
    """The checks that find something."""
    return {one.name for one in check(said, context)}


@pytest.mark.parametrize(("context", "said"), TRUE)
def test_a_true_sentence_is_kept(context: Context, said: str) -> None:
    assert (names(said, context) == set()) == (said not in WRONG)


@pytest.mark.parametrize(("context", "said", "check_name"), FALSE)
def test_a_false_sentence_is_found_by_its_check_alone(context: Context, said: str, check_name: str) -> None:
    assert names(said, context) == (set() if said in WRONG else {check_name})


def test_each_check_has_a_false_sentence_and_the_page_says_how_many_there_are() -> None:
    assert {found for _, _, found in FALSE} == {one.__name__.replace("_", "-") for one in UNIT_CHECKS}
    counts = [(len(said), sum(one in WRONG for one in said)) for said in ([t[1] for t in TRUE], [f[1] for f in FALSE])]
    page = (Path(__file__).parents[2] / "docs" / "annotate.md").read_text("utf-8")
    (trues, dropped), (falses, kept) = counts
    assert f"of {trues} true ones {dropped} are dropped, of {falses} false ones {kept} are kept" in " ".join(
        page.split()
    )
    assert len(WRONG) == dropped + kept
