"""One record of options for the API, the command line and batches; one stop token for every reason to end early."""

from __future__ import annotations

import json
import pickle
import threading
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from geopixel_edge import AskOptions, StopToken
from geopixel_edge.errors import OptionError, QueryError
from geopixel_edge.stop import REASONS, Stopped, Watch


def test_options_are_plain_frozen_values() -> None:
    options = AskOptions(max_new_tokens=5, history=[["What?", "A pier."]], seed=3)  # type: ignore[arg-type]
    assert options.history == (("What?", "A pier."),)
    assert pickle.loads(pickle.dumps(options)) == options
    assert AskOptions(**json.loads(json.dumps(options.to_dict()))) == options
    assert len({options, AskOptions()}) == 2
    with pytest.raises(FrozenInstanceError):
        options.seed = 4  # type: ignore[misc]


def test_fields_are_given_anew_by_name() -> None:
    base = AskOptions(max_new_tokens=5, temperature=0.5)
    assert AskOptions.of(base, {"seed": 1}) == AskOptions(max_new_tokens=5, temperature=0.5, seed=1)
    assert AskOptions.of(None, {}) == AskOptions()
    with pytest.raises(OptionError, match="option 'tempature' is unknown; give one of max_new_tokens, "):
        AskOptions.of(base, {"tempature": 1})
    with pytest.raises(OptionError, match="is no AskOptions"):
        AskOptions.of({"seed": 1}, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_new_tokens", 0),
        ("max_new_tokens", "9"),
        ("deadline_s", 0),
        ("deadline_s", float("inf")),
        ("deadline_s", True),
        ("temperature", -1),
        ("temperature", float("nan")),
        ("top_p", 0),
        ("top_p", 1.5),
        ("seed", -1),
        ("seed", True),
        ("compat", "yes"),
        ("draft", 1),
    ],
)
def test_a_value_out_of_range_is_named_at_once(name: str, value: Any) -> None:
    assert name in {field.name for field in fields(AskOptions)}
    with pytest.raises(OptionError, match=f"{name}="):
        AskOptions(**{name: value})


def test_history_is_checked_at_once() -> None:
    with pytest.raises(QueryError, match=r"history\[0\]"):
        AskOptions(history=(("only a question",),))  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="history is str"):
        AskOptions(history="What?")  # type: ignore[arg-type]


def test_a_token_keeps_its_first_reason() -> None:
    stop = StopToken()
    assert stop.reason is None
    stop.set("watchdog")
    stop.set("deadline")
    assert stop.reason == "watchdog"
    with pytest.raises(OptionError, match="reason='tired'"):
        StopToken().set("tired")


@pytest.mark.parametrize("reason", REASONS)
def test_a_watch_stops_for_its_token_its_deadline_and_its_stream(reason: str) -> None:
    stop = StopToken()
    watch = Watch(stop)
    watch.check()
    setter = threading.Thread(target=stop.set, args=(reason,))
    setter.start()
    setter.join()
    with pytest.raises(Stopped) as caught:
        watch.check()
    assert caught.value.reason == reason


def test_a_watch_counts_from_its_question() -> None:
    late = Watch(deadline_s=5)
    late.check()
    late.started_s -= 6
    with pytest.raises(Stopped, match="deadline"):
        late.check()
    closed = Watch()
    closed.closed = True
    with pytest.raises(Stopped, match="cancelled"):
        closed.check()
