"""An endpoint that misbehaves in every way: a named error, or a sentence that is dropped and counted; never a crash."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annotate.cli import main
from annotate.describers.base import Reply, Request, read_reply
from annotate.describers.openai import MAX_REPLY_BYTES, OpenAI, Options
from annotate.errors import DescriberError
from annotate.facts import Facts
from annotate.settings import Settings
from geopixel_edge.errors import OptionError

from ..support.annotations import annotated, records
from ..support.endpoint import (
    Handler,
    Respond,
    after,
    completion,
    drips,
    endpoint,
    goes_away,
    hangs,
    large,
    replies,
    says,
)

FAST = Options(timeout_s=0.5, tries=2, pause_s=0.01)
SHIP = Facts("instance", "ship", 1, "one", place="left")
SOURCE = "scenes:2000065-2000065,192"


def ask(respond: Respond, options: Options = FAST) -> Reply:
    with endpoint(respond) as server:
        return OpenAI(server.url, "model", options).describe(Request("instance", "What?", SHIP, png=b"\x89PNG"))


# --- Replies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("respond", "fault"),
    [
        (large(10_000_000), "too-large"),
        (replies(completion("x")[:30]), "wrong-form"),
        (replies(b'{"choices": []}'), "wrong-form"),
        (replies(b'{"choices": [{"message": {"content": null}}]}'), "wrong-form"),
        (replies(b"[]"), "wrong-form"),
        (replies(b"\xff\xfe{\x00"), "wrong-form"),
        (replies(b"[" * 100_000), "wrong-form"),
        (says("A <p> ship </p> [SEG] is here."), "tags"),
        (says("A {m0} ship."), "tags"),
        (says('{"sentence": "A ship.", "phrase": 3}'), "wrong-form"),
        (says('{"sentence": ["A ship."]}'), "wrong-form"),
        (says('{"sentence": "A ship'), "wrong-form"),
        (says("\u200b\x00\x1b "), "wrong-form"),
    ],
)
def test_a_reply_of_another_form_costs_its_sentence(respond: Respond, fault: str) -> None:
    words = read_reply(ask(respond, replace(FAST, timeout_s=5)), "instance")
    assert words.fault.startswith(fault)
    assert words.sentence == ""


def test_a_reply_is_read_with_its_tokens_and_its_phrase() -> None:
    reply = ask(says('```json\n{"sentence": "A red\x1b[2m ship\\u202e lies here.", "phrase": "A red ship"}\n```'))
    assert (reply.tokens_in, reply.tokens_out) == (11, 7)
    words = read_reply(replace(reply, text=reply.text.replace("[2m", "")), "instance")
    assert words.sentence == "A red ship lies here."
    assert words.phrase == "A red ship"
    assert read_reply(Reply("A ship."), "instance").sentence == "A ship."


def test_usage_that_is_no_number_counts_nothing() -> None:
    reply = ask(replies(completion("A ship.", {"prompt_tokens": "many", "completion_tokens": -4})))
    assert (reply.tokens_in, reply.tokens_out) == (0, 0)


# --- Endpoints -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("respond", "said"),
    [
        (hangs(1.5), "TimeoutError|timed out"),
        (drips(3.0), "no whole reply in 0.5 s|timed out"),
        (replies(b"busy", 429), "HTTP 429"),
        (replies(b"", 503), "HTTP 503"),
        (replies(b'{"error": "no such \x1b model"}', 404), "HTTP 404"),
        (replies(b"", 401), "HTTP 401"),
        (replies(b"", 302), "HTTP 302"),
    ],
)
def test_an_endpoint_that_fails_for_good_is_named(respond: Respond, said: str) -> None:
    start = time.monotonic()
    with pytest.raises(DescriberError, match=said):
        ask(respond)
    assert time.monotonic() - start < 4


def test_half_a_reply_fails_or_does_not_parse() -> None:
    with contextlib.suppress(DescriberError):
        assert ask(goes_away).fault.startswith("wrong-form")


def test_nobody_listens() -> None:
    with endpoint(says("x")) as server:
        url = server.url
    with pytest.raises(DescriberError, match="failed 2 times"):
        OpenAI(url, "model", FAST).describe(Request("instance", "What?", SHIP))


def test_a_busy_endpoint_is_asked_again() -> None:
    reply = ask(after(2, replies(b"", 429), says("A ship.")), replace(FAST, tries=3))
    assert reply.text == "A ship."


def test_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "k-123")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with endpoint(says("A ship.")) as server:
        describer = OpenAI(server.url + "/", "model", replace(FAST, key_variable="SECRET"))
        describer.describe(Request("instance", "What?", SHIP, png=b"\x89PNG", seed=5, max_tokens=9))
    ((path, headers, body),) = server.asked
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer k-123"
    assert (body["temperature"], body["seed"], body["max_tokens"], body["model"]) == (0, 5, 9, "model")
    picture, text = body["messages"][0]["content"]
    assert picture["image_url"]["url"].startswith("data:image/png;base64,")
    assert text == {"type": "text", "text": "What?"}
    assert "k-123" not in describer.name + describer.fingerprint()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://203.0.113.7/v1", "--allow-remote"),
        ("https://example.invalid/v1", "--allow-remote"),
        ("http://localhost.example.invalid/v1", "--allow-remote"),
        ("ftp://127.0.0.1/v1", "no plain http"),
        ("http://user:word@127.0.0.1/v1", "no plain http"),
        ("http://127.0.0.1:99999/v1", "port"),
        ("127.0.0.1:80", "no plain http"),
    ],
)
def test_addresses_that_are_refused(url: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        OpenAI(url, "model", FAST)


def test_a_remote_endpoint_is_recorded() -> None:
    assert " remote " in OpenAI("https://example.invalid/v1", "model", replace(FAST, allow_remote=True)).fingerprint()


def test_a_key_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET", raising=False)
    with pytest.raises(OptionError, match="SECRET"):
        OpenAI("http://127.0.0.1/v1", "model", replace(FAST, key_variable="SECRET"))


# --- Whole runs ------------------------------------------------------------------------------------------------------


def test_faults_are_dropped_counted_and_not_asked_again(tmp_path: Path) -> None:
    with endpoint(says("A <p> thing </p> [SEG].")) as server:
        outcome = annotated(SOURCE, tmp_path / "out", OpenAI(server.url, "model", FAST))
        asked = len(server.asked)
        again = annotated(SOURCE, tmp_path / "out", OpenAI(server.url, "model", FAST))
    assert outcome.summary is not None
    assert outcome.summary["pictures"] == {"drop": 1}
    assert outcome.summary["findings"] == {"tags": asked}
    assert (again.new, len(server.asked)) == (0, asked)
    (record,) = records(tmp_path / "out")
    assert all(one["state"] == "drop" for one in record["sentences"])
    assert not list((tmp_path / "out" / "GeoPixelD" / "train").glob("*"))


def test_half_a_surrogate_pair_is_left_out(tmp_path: Path) -> None:
    with endpoint(says('{"sentence": "One \\ud800can see it.", "phrase": "\ud800"}')) as server:
        for _ in range(2):
            annotated(SOURCE, tmp_path / "out", OpenAI(server.url, "model", FAST), Settings(split="test"))
    (record,) = records(tmp_path / "out")
    assert {one["said"] for one in record["sentences"] if one["masks"]} == {"One can see it."}
    (tmp_path / "out" / "review" / "page_001.html").read_text("utf-8")


def test_a_run_goes_on_after_the_endpoint_failed(tmp_path: Path) -> None:
    fine = says('{"sentence": "One can see it.", "phrase": ""}')
    with endpoint(after(3, fine, replies(b"", 500))) as server:
        with pytest.raises(DescriberError):
            annotated(SOURCE, tmp_path / "out", OpenAI(server.url, "model", FAST))
        kept = (tmp_path / "out" / "requests" / "1-of-1.jsonl").read_bytes().splitlines()
        server.respond, before = fine, len(server.asked)
        outcome = annotated(SOURCE, tmp_path / "out", OpenAI(server.url, "model", FAST))
    assert len(kept) == 3
    assert outcome.summary is not None
    assert len(server.asked) - before == outcome.summary["cost"]["requests"] - 3
    (record,) = records(tmp_path / "out")
    assert record["sentences"][1]["edits"] == ["rewritten"]


def test_another_prompt_asks_its_level_alone(tmp_path: Path) -> None:
    prompts = Settings().prompts
    with endpoint(says("One can see it.")) as server:
        describer = OpenAI(server.url, "model", FAST)
        annotated(SOURCE, tmp_path / "out", describer)
        before = len(server.asked)
        changed = Settings(prompts=replace(prompts, scene="Describe it briefly."))
        annotated(SOURCE, tmp_path / "out", describer, changed)
    assert [body["messages"][0]["content"][-1]["text"] for _, _, body in server.asked[before:]] == [
        "Describe it briefly."
    ]


def test_a_budget_ends_the_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with endpoint(says("One can see it.")) as server:
        words = [SOURCE, str(tmp_path / "out"), "--describer", f"openai:{server.url},model", "--timeout", "5"]
        assert main([*words, "--budget-tokens", "30"]) == 5
        assert len(server.asked) == 2
        assert "budget_tokens=30 is spent (36 tokens" in capfd.readouterr().err
        assert main([*words, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["summary"]["cost"]["tokens_in"] == 11 * len(server.asked)


@pytest.mark.parametrize("kept", [True, False])
def test_a_smoothed_text_keeps_every_placeholder_or_is_not_taken(kept: bool, tmp_path: Path) -> None:
    def respond(handler: Handler, body: dict[str, Any]) -> None:
        text = body["messages"][0]["content"][-1]["text"]
        draft = "All of it: " + text.split("\n\n", 1)[1] if "\n\n" in text else "One can see it."
        handler.send(completion(draft if kept else draft.replace("{m1}", "it")))

    with endpoint(respond) as server:
        annotated(SOURCE, tmp_path / "out", OpenAI(server.url, "model", FAST), Settings(smooth=True))
    (record,) = records(tmp_path / "out")
    assert record["description"].startswith("All of it: ") == (record["smooth"] is not None) == kept
    told = [one for one in record["sentences"] if one["state"] != "drop"]
    assert record["description"].count("[SEG]") == sum(len(one["masks"]) for one in told) > 1


def test_the_bound_of_a_reply_is_below_ten_megabytes() -> None:
    assert MAX_REPLY_BYTES < 10_000_000
