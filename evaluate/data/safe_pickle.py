"""A pickle of plain values, read without running it.

The opcodes are walked first, without executing any: whatever names a class or a function, calls one, refers to
something outside, or asks for memory beyond the file's own size is refused. Only what is left is loaded, by an
unpickler that finds no class.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Iterator
from typing import Any, NoReturn

from ..errors import DataError

# RRSIS-D's real references are of about 9 MB, 1.5 million opcodes and 90,000 lists and dicts. These bounds keep what is
# loaded below half a gigabyte: an empty dict is one byte in a pickle and 64 in memory.
MAX_BYTES, MAX_OPCODES, MAX_CONTAINERS, MAX_DEPTH = 32 << 20, 4_000_000, 400_000, 100
# A dict key of nested tuples is hashed by recursion in C, which no recursion limit of Python ends, and integers that
# leave one remainder by HASH_PRIME have one hash: a dict of n such keys takes n squared steps.
MAX_TUPLES = 10_000
HASH_PRIME = (1 << 61) - 1
REMEDY = "fetch the file again, or convert it once, where you trust it, to a JSON file of the same records"
_NUMBERS = ["INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"]
_TEXTS = ["STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"]
_NAMED = ["NONE", "NEWTRUE", "NEWFALSE"]
_CONTAINERS = ["EMPTY_LIST", "EMPTY_DICT", "EMPTY_TUPLE", "LIST", "DICT", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"]
_FILLING = ["APPEND", "APPENDS", "SETITEM", "SETITEMS", "MARK"]
_MEMO = ["PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"]
_FRAME = ["PROTO", "FRAME", "STOP"]
ALLOWED = frozenset([*_NUMBERS, *_TEXTS, *_NAMED, *_CONTAINERS, *_FILLING, *_MEMO, *_FRAME])
_BY_CODE = {opcode.code: opcode for opcode in pickletools.opcodes}
_INDEXED = frozenset(["PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET"])


def load_plain(data: bytes, what: str) -> Any:
    """Lists, tuples, dicts, strings, numbers, None and booleans of a pickle of protocol 0 to 4; `what` names it.

    Strings of Python 2 are read as Latin-1. DataError for anything else, whatever it would have done.
    """
    if len(data) > MAX_BYTES:
        raise DataError(f"{what} has {len(data):,} bytes, more than the {MAX_BYTES:,} allowed; {REMEDY}")
    _check_opcodes(data, what)
    try:
        found = _PlainUnpickler(io.BytesIO(data), encoding="latin1").load()
    except DataError:
        raise
    except Exception as error:  # every way in which a damaged pickle fails; nothing of it has run
        raise DataError(f"{what} is a damaged pickle ({type(error).__name__}: {error}); {REMEDY}") from None
    _check_depth(found, what)
    return found


def _check_opcodes(data: bytes, what: str) -> None:
    """Refuse opcodes outside ALLOWED, memo indices beyond the number of opcodes, and bytes after the end."""
    count, largest, tuples, containers, end, previous = 0, 0, 0, 0, 0, ""
    try:
        for opcode, argument, place in _opcodes(data):
            if opcode.name not in ALLOWED:
                named = f" of {argument!r}" if isinstance(argument, str) else ""
                raise DataError(f"{what} holds {opcode.name}{named} at byte {place}, which could run code; {REMEDY}")
            if opcode.name == "PROTO" and (place or argument not in (2, 3, 4)):
                raise DataError(f"{what} declares protocol {argument} at byte {place}; 0 to 4 are read; {REMEDY}")
            if opcode.name in _INDEXED:
                largest = max(largest, int(argument or 0))
            tuples += "TUPLE" in opcode.name or (type(argument) is int and abs(argument) >= HASH_PRIME)
            containers += opcode.name in _CONTAINERS
            count, end, previous = count + 1, place, opcode.name
            if count > MAX_OPCODES or containers > MAX_CONTAINERS:
                raise DataError(
                    f"{what} holds more than {MAX_OPCODES:,} values, or {MAX_CONTAINERS:,} lists and dicts; {REMEDY}"
                )
    except DataError:
        raise
    except Exception as error:  # pickletools raises many kinds for truncated or damaged bytes
        raise DataError(f"{what} is a damaged pickle ({type(error).__name__}: {error}); {REMEDY}") from None
    if largest > count:
        raise DataError(f"{what} asks for memory slot {largest:,} of {count:,} opcodes; {REMEDY}")
    if tuples > MAX_TUPLES:
        told = f"{what} holds {tuples:,} tuples and huge numbers, more than the {MAX_TUPLES:,} allowed"
        raise DataError(f"{told}; {REMEDY}")
    if previous != "STOP" or end + 1 != len(data):
        raise DataError(f"{what} goes on behind its end at byte {end + 1}; {REMEDY}")


def _opcodes(data: bytes) -> Iterator[tuple[pickletools.OpcodeInfo, Any, int]]:
    """As `pickletools.genops`, which takes no string of Python 2 beyond ASCII: opcode, argument and place."""
    stream = io.BytesIO(data)
    while True:
        place, code = stream.tell(), stream.read(1)
        opcode = _BY_CODE.get(code.decode("latin-1"))
        if opcode is None:
            raise ValueError(f"{code!r} at byte {place} is no opcode" if code else "it is cut off")
        if opcode.name == "STRING":
            argument: Any = stream.readline()
        else:
            argument = opcode.arg.reader(stream) if opcode.arg else None
        yield opcode, argument, place
        if opcode.name == "STOP":
            return


class _PlainUnpickler(pickle.Unpickler):
    """Finds no class and nothing outside; the opcodes that would ask for one are refused before."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise DataError(f"the pickle names {module}.{name}; {REMEDY}")

    def persistent_load(self, pid: object) -> NoReturn:
        raise DataError(f"the pickle refers to {pid!r} outside; {REMEDY}")


def _check_depth(value: object, what: str) -> None:
    """Refuse values nested over MAX_DEPTH levels, and containers that hold themselves."""
    waiting: list[tuple[object, int]] = [(value, 0)]
    seen: dict[int, int] = {}
    while waiting:
        one, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise DataError(f"{what} is nested over {MAX_DEPTH} levels, or holds itself; {REMEDY}")
        if isinstance(one, (list, tuple, dict)) and seen.get(id(one), -1) < depth:
            seen[id(one)] = depth
            inner = [*one.keys(), *one.values()] if isinstance(one, dict) else one
            waiting += [(part, depth + 1) for part in inner]
