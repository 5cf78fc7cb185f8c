"""Review pages and what reviewers decide."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from annotate import review
from annotate.cli import main
from annotate.errors import PatchError
from annotate.patch import apply, kappa
from annotate.records import sentence_from
from annotate.review import bracketed
from annotate.settings import Settings
from training.dataset import load_dataset

from ..support.annotations import annotated, contents, records

SOURCE = "scenes:2000065-2000066,256"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test split, all of which is to be reviewed."""
    out = tmp_path_factory.mktemp("made") / "out"
    annotated(SOURCE, out, settings=Settings(split="test"))
    return out


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return shutil.copytree(made, tmp_path / "out")


def decided(out: Path, *decisions: dict[str, Any], reviewer: str = "Ada", name: str = "patch.json") -> Path:
    """A patch beside the pages; each decision is of a sentence of the first record unless it says otherwise."""
    record = records(out)[0]
    whole = [{"item": record["id"], "was": bracketed(record["sentences"][one["sentence"]]), **one} for one in decisions]
    path = out / "review" / name
    path.write_text(json.dumps({"format": 1, "page": 1, "reviewer": reviewer, "decisions": whole}))
    return path


def with_masks(out: Path) -> list[int]:
    """The numbers of the first record's sentences that have masks."""
    return [place for place, one in enumerate(records(out)[0]["sentences"]) if one["masks"]]


def test_a_page_needs_nothing_else_and_escapes_what_it_shows(out: Path) -> None:
    page = (out / "review" / "page_001.html").read_text("utf-8")
    assert not re.search(r"""(?:src|href)=["']?(?!data:)[\w/]""", page)
    assert "default-src 'none'" in page
    assert page.count("<section class=") == 2
    record = records(out)[0]
    changed = {**record["sentences"][0], "text": "<script>alert(1)</script>\x00", "facts": {"place": "<b>"}}
    record["sentences"][0] = changed
    (out / "items" / f"{record['id']}.json").write_text(json.dumps(record))
    (path := out / "run.json").write_bytes(path.read_bytes())
    apply(decided(out, {"sentence": with_masks(out)[0], "decision": "keep"}))
    page = (out / "review" / "page_001.html").read_text("utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\u2400" in page


def test_of_a_train_split_a_part_is_shown(tmp_path: Path) -> None:
    annotated(SOURCE, tmp_path / "out")
    assert not list((tmp_path / "out" / "review").glob("*.html"))


def test_decisions_change_the_data_set(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, places = records(out)[0], with_masks(out)
    fixed = re.sub(r"\[[^\]]+\]", "[a fine thing]", bracketed(before["sentences"][places[1]]))
    patch = decided(
        out,
        {"sentence": places[0], "decision": "drop"},
        {"sentence": places[1], "decision": "fix", "text": f"Look:  {fixed}"},
        {"sentence": places[2], "decision": "keep"},
    )
    assert main(["apply", str(patch)]) == 0
    assert "3 decisions in 1 pictures" in capsys.readouterr().out
    after = records(out)[0]
    assert after["description"].count("[SEG]") == before["description"].count("[SEG]") - 1
    assert "Look: " in after["description"]
    assert "<p> a fine thing </p> [SEG]" in after["description"]
    assert after["reviewers"] == ["Ada"]
    assert [sentence_from(after["sentences"][place]).state for place in places[:3]] == ["drop", "keep", "keep"]
    samples = list(load_dataset(out / "GeoPixelD" / "test"))
    assert samples[0].phrases.count("a fine thing") == 1
    once = contents(out)
    assert main(["apply", str(patch)]) == 0
    assert contents(out) == once
    annotated(SOURCE, out, settings=Settings(split="test"))
    assert records(out)[0]["reviewers"] == ["Ada"]


def test_a_picture_of_which_all_is_dropped_leaves_the_data(out: Path) -> None:
    apply(decided(out, *({"sentence": place, "decision": "drop"} for place in with_masks(out))))
    assert [record["state"] for record in records(out)] == ["drop", "keep"]
    assert len(list((out / "GeoPixelD" / "test").glob("*.json"))) == 1


def test_a_tenth_of_the_pictures_has_a_page_for_a_second_reviewer(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0.05 < sum(review.in_second(f"P{number:04d}") for number in range(1_000)) / 1_000 < 0.15
    first, second = (out / "review" / f"{kind}_001.html" for kind in ("page", "second"))
    assert not second.exists()
    monkeypatch.setattr(review, "in_second", lambda name: name == "scene_2000066")
    apply(decided(out))
    assert first.read_text("utf-8").count("<section class=") == 2
    assert second.read_text("utf-8").count("<section class=") == 1
    assert "data-page=second_001" in second.read_text("utf-8")
    monkeypatch.setattr(review, "in_second", lambda name: False)
    apply(decided(out))
    assert not second.exists()


def test_two_reviewers_are_compared(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = with_masks(out)[:4]
    apply(decided(out, *({"sentence": place, "decision": "keep"} for place in places)))
    words = ["keep", "keep", "keep", "drop"]
    second = [{"sentence": place, "decision": word} for place, word in zip(places, words, strict=True)]
    patch = decided(out, *second, reviewer="Bob", name="second.json")
    assert apply(patch)["agreement"] == {"Ada, Bob": 0.0}
    assert main(["apply", str(patch)]) == 0
    assert "agreement of Ada, Bob: Cohen's kappa 0.0" in capsys.readouterr().out
    assert records(out)[0]["sentences"][places[3]]["state"] == "review"
    assert records(out)[0]["state"] == "review"


def test_kappa_is_as_defined() -> None:
    pairs = [("keep", "keep")] * 20 + [("keep", "drop")] * 5 + [("drop", "keep")] * 10 + [("drop", "drop")] * 15
    assert kappa(pairs) == pytest.approx(0.4)
    assert kappa([("keep", "keep")]) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sentence": 99}, "sentence 99"),
        ({"sentence": True}, "sentence True"),
        ({"decision": "burn"}, "none of keep, fix, drop"),
        ({"item": "../../x"}, "is not here"),
        ({"was": "Something else."}, "the sentence now reads"),
        ({"decision": "fix"}, "needs 1 phrases"),
        ({"decision": "fix", "text": "No phrase."}, "needs 1 phrases"),
        ({"decision": "fix", "text": "[a] [b]"}, "needs 1 phrases"),
        ({"decision": "fix", "text": "[a] <p>"}, "needs 1 phrases"),
        ({"decision": "fix", "text": "[a \ud800]"}, "half a surrogate pair"),
    ],
)
def test_a_patch_that_does_not_fit_changes_nothing(change: dict[str, Any], said: str, out: Path) -> None:
    before = contents(out)
    place = with_masks(out)[0]
    patch = decided(out, {"sentence": place, "decision": "drop"}, {"sentence": place, "decision": "keep"})
    found = json.loads(patch.read_text())
    found["decisions"][1].update(change)
    patch.write_text(json.dumps(found))
    with pytest.raises(PatchError, match=re.escape(said)):
        apply(patch)
    patch.unlink()
    assert contents(out) == before


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 1, "reviewer": " ", "decisions": []}'])
def test_what_is_no_patch(text: str, out: Path) -> None:
    (path := out / "patch.json").write_text(text)
    with pytest.raises(PatchError, match=r"patch\.json"):
        apply(path)


def test_a_patch_elsewhere(tmp_path: Path) -> None:
    (path := tmp_path / "patch.json").write_text('{"format": 1, "reviewer": "Ada", "decisions": []}')
    with pytest.raises(PatchError, match="lies in no data set's folder"):
        apply(path)
