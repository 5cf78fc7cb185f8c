"""Re-checks an engine's files in small steps while it is in use: storage rots, above all where radiation is."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import EngineCorruptError
from .digests import check_piece, pieces
from .directory import Engine


@dataclass(frozen=True)
class Scrubbed:
    """One checked piece: file, offset in bytes, and how many of the round's pieces are done."""

    file: str
    offset: int
    done: int
    total: int


class Scrubber:
    """Checks one piece of at most 64 MiB a step, round and round.

    Not for two threads at once, but beside answers that run: what it finds is told to the engine, which then answers
    no more (`Engine.check_sound`).
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pieces = pieces([(engine.path(spec), spec) for spec in engine.manifest.files()])
        self._next = 0

    def step(self) -> Scrubbed:
        """Check the next piece; EngineCorruptError when it changed or cannot be read. The next step goes on."""
        piece = self._pieces[self._next]
        self._next = (self._next + 1) % len(self._pieces)
        path, spec, offset, _ = piece
        try:
            check_piece(piece)
        except (OSError, EngineCorruptError) as error:
            told = (
                error
                if isinstance(error, EngineCorruptError)
                else EngineCorruptError(f"{path} cannot be read any more ({error.strerror}); copy the engine again")
            )
            self._engine.damage = str(told)
            raise told from None
        return Scrubbed(spec.path, offset, self._next or len(self._pieces), len(self._pieces))

    def round(self) -> int:
        """Check every piece once and return how many there are; EngineCorruptError at the first that changed."""
        for _ in self._pieces:
            self.step()
        return len(self._pieces)
