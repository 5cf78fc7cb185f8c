"""Pickles that would run code, take memory or never end are refused; plain values of every protocol are read."""

from __future__ import annotations

import os
import pickle
import struct
from collections import OrderedDict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluate.data import safe_pickle
from evaluate.data.safe_pickle import HASH_PRIME, MAX_CONTAINERS, MAX_TUPLES, load_plain
from evaluate.errors import DataError

RECORDS = [
    {"ref_id": 1, "sent": "the ship", "ids": [1, 2], "pair": (1, 2.5), "none": None, "yes": True, "big": 1 << 70},
    {"ref_id": -7, "sent": "gr\u00fcn \u8239", "ids": [], "pair": (), "none": None, "yes": False, "big": -(1 << 70)},
]


@pytest.mark.parametrize("protocol", range(5))
def test_plain_values_are_read(protocol: int) -> None:
    assert load_plain(pickle.dumps(RECORDS, protocol), "refs") == RECORDS


def test_strings_of_python_2_are_read() -> None:
    assert load_plain(b"(lp0\nS'caf\\xe9'\np1\na.", "refs") == ["caf\xe9"]
    assert load_plain(b"\x80\x02]q\x00U\x04caf\xe9q\x01a.", "refs") == ["caf\xe9"]


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.place}",)


@pytest.mark.parametrize("protocol", range(5))
def test_code_does_not_run(protocol: int, tmp_path: Path) -> None:
    place = tmp_path / "ran"
    with pytest.raises(DataError, match="could run code"):
        load_plain(pickle.dumps([Evil(place)], protocol), "refs")
    assert not place.exists()


def nested_key() -> bytes:
    """A dict key of tuples in tuples, which is hashed by recursion in C."""
    return b"}" + b"K\x01" + b"\x85" * (MAX_TUPLES + 1) + b"Ns."


def keys_of_one_hash() -> bytes:
    """Multiples of the modulus of Python's hashes of integers: each key is compared with all before it."""
    numbers = (number * HASH_PRIME for number in range(1, MAX_TUPLES + 2))
    return b"\x80\x02}(" + b"".join(b"\x8a\x0a" + one.to_bytes(10, "little") + b"N" for one in numbers) + b"u."


ATTACKS = {
    "global": b"cos\nsystem\n.",
    "global and reduce": b"cos\nsystem\n(S'true'\ntR.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    "inst": b"(S'true'\nios\nsystem\n.",
    "obj": b"(cos\nsystem\nS'true'\no.",
    "newobj": b"\x80\x02cbuiltins\nobject\n)\x81.",
    "newobj_ex": b"\x80\x04\x8c\x08builtins\x8c\x06object\x93)}\x92.",
    "build": b"}}b.",
    "extension registry": b"\x82\x01.",
    "persistent id as text": b"Pabc\n.",
    "persistent id": b"NQ.",
    "a class of the library": pickle.dumps(OrderedDict(a=1)),
    "a date": pickle.dumps(date(2024, 1, 1)),
    "a NumPy number": pickle.dumps(np.float64(1.0)),
    "out-of-band buffer": b"\x80\x05\x97.",
    "bytearray of protocol 5": pickle.dumps(bytearray(b"a"), 5),
    "a set": pickle.dumps({1, 2}, 4),
    "a memo slot of 4 GB": b"\x80\x02Nr\xff\xff\xff\xff.",
    "a text of 2 GB that is not there": b"X" + struct.pack("<I", 1 << 31) + b"a.",
    "a text of 2^60 bytes": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"a.",
    "a frame of 2^60 bytes": b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N.",
    "a key that recurses": nested_key(),
    "keys of one hash": keys_of_one_hash(),
    "64 bytes of memory for each byte": b"(" + b"}" * (MAX_CONTAINERS + 1) + b"l.",
    "lists in lists": b"]" * 2000 + b"a" * 1999 + b".",
    "a list in itself": b"]q\x00h\x00a.",
    "cut off": pickle.dumps(RECORDS)[:-20],
    "empty": b"",
    "no end": b"N",
    "bytes behind the end": b"N.cos\nsystem\n.",
    "an empty stack": b".",
    "append to nothing": b"a.",
    "a list as key": b"}]Ns.",
    "memo of nothing": b"h\x05.",
    "declared protocol 9": b"\x80\x09N.",
    "text that is no UTF-8": b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
    "no pickle": b"PK\x03\x04 not a pickle",
    "a number of 10,000 digits": b"I" + b"9" * 10_000 + b"\n.",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"refs\.p"):
        load_plain(ATTACKS[name], "refs.p")


def test_values_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_pickle, "MAX_OPCODES", 1000)
    assert load_plain(b"(" + b"N" * 997 + b"l.", "refs") == [None] * 997
    with pytest.raises(DataError, match="more than 1,000 values"):
        load_plain(b"(" + b"N" * 998 + b"l.", "refs")


def test_as_many_references_as_the_real_file_has_are_read() -> None:
    words = [f"word{number}" for number in range(12)]
    sentence = {"sent": " ".join(words), "raw": " ".join(words).title(), "tokens": words}
    records = [
        {"ref_id": one, "split": "train", "sent_ids": [one], "sentences": [{"sent_id": one, **sentence}]}
        for one in range(17_402)
    ]
    assert load_plain(pickle.dumps(records, 0), "refs") == records


def test_shared_values_do_not_multiply() -> None:
    """Thirty lists, each of which holds the one before twice: 2^30 paths, a few dozen objects."""
    value: list[Any] = ["x"]
    for _ in range(30):
        value = [value, value]
    found = load_plain(pickle.dumps(value), "refs")
    assert found[0] is found[1]


def test_every_cut_and_every_changed_byte_is_refused_or_plain() -> None:
    data = pickle.dumps(RECORDS[:1], 2)
    rng = np.random.default_rng(5)
    for _ in range(1500):
        broken = bytearray(data[: int(rng.integers(1, len(data) + 1))])
        broken[int(rng.integers(len(broken)))] = int(rng.integers(256))
        try:
            found = load_plain(bytes(broken), "refs")
        except DataError:
            continue
        assert type(found) in (list, dict, tuple, str, int, float, bool, type(None))
