"""A block larger than memory, run piece after piece: each is loaded, run and freed. For checks, not for answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import onnxruntime as ort

from ..arrays import Array
from ..engine.manifest import BlockSpec
from ..errors import EngineMismatchError, InferenceError
from ..resources import return_heap, shortage
from . import NONE, Device, Tensor
from .onnx import place_of, session_settings
from .onnx_errors import ERRORS, reason_of
from .onnx_locations import check_locations
from .onnx_pieces import Piece, Pieces

# The pieces of a block are as large as this: what the runtime makes of one must fit beside what reads and checks it.
PIECE_BYTES = 400_000_000
# Matrices as they are, without a second copy in the order that products like best.
UNPACKED = {"session.disable_prepacking": "1"}


def as_it_is(model: bytes) -> bytes:
    """The change of a file that changes nothing."""
    return model


class PieceRunner:
    """As OnnxRunner on the CPU; one piece in memory at a time.

    `change` edits each piece. It must not see the whole: casts of all weights, side by side at the beginning of a file,
    would be pieces of their own, and all they make would have to be kept for those behind.
    """

    def __init__(
        self,
        path: Path,
        spec: BlockSpec,
        block: str,
        device: Device,
        threads: int | None,
        options: Mapping[str, str],
        change: Callable[[bytes], bytes] = as_it_is,
    ) -> None:
        self.spec, self.block, self.device = spec, block, device
        check_locations(path, spec, block)
        self._settings = session_settings(spec, block, threads, options)
        self._settings.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(path.parent)
        )
        try:
            self.cut, self._change = Pieces(path.read_bytes(), PIECE_BYTES), change
        except (ValueError, StopIteration, IndexError) as error:
            raise EngineMismatchError(f"block {block!r} is no ONNX file ({error}); export the engine again") from None

    def run(
        self, feeds: Mapping[str, Tensor], into: Mapping[str, Tensor] = NONE, more_follow: bool = False
    ) -> dict[str, Tensor]:
        """Run all pieces in order, each fed by those before it."""
        values = {name: tensor.numpy() for name, tensor in feeds.items()}
        last_use = {name: index for index, piece in enumerate(self.cut.pieces) for name in piece.inputs}
        made: dict[str, Tensor] = {}
        for index, piece in enumerate(self.cut.pieces):
            found = self.run_piece(piece, values)
            values |= found
            for one in self.spec.outputs:
                if one.name in found:
                    made[one.name] = self._kept(found[one.name], into.get(one.name))
            for name in [name for name in values if last_use.get(name, -1) <= index]:
                del values[name]
            return_heap()
        return made

    def _kept(self, value: Array, place: Tensor | None) -> Tensor:
        if place is None:
            return self.device.put(value)
        place.write(value)
        return place

    def run_piece(self, piece: Piece, values: Mapping[str, Array]) -> dict[str, Array]:
        """What one piece makes of the values that it reads, by name."""
        doing = f"block {self.block!r} failed in ONNX Runtime {ort.__version__}"
        try:
            session = self.session(piece, values)
            outputs = session.run(list(piece.outputs), {name: values[name] for name in piece.inputs})
        except ERRORS as error:
            raise shortage(error, doing) or InferenceError(f"{doing}: {reason_of(error)}") from None
        return dict(zip(piece.outputs, outputs, strict=True))

    def session(self, piece: Piece, given: Mapping[str, Array]) -> ort.InferenceSession:
        """One piece, loaded for inputs such as these; the caller frees it."""
        model = self._change(self.cut.model(piece, given))
        return ort.InferenceSession(model, self._settings, providers=["CPUExecutionProvider"])

    def give_back(self, feeds: Mapping[str, Tensor]) -> None:
        """Nothing: each piece is freed once it has run."""

    def bind(self, feeds: Mapping[str, Tensor], into: Mapping[str, Tensor] = NONE) -> PieceStep:
        """The same run to be repeated."""
        return PieceStep(self, feeds, into)

    def close(self) -> None:
        """Nothing is held between runs."""


class PieceStep:
    """Runs with what stands in the feeds; outputs keep the memory they had at first."""

    feeds: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    def __init__(self, runner: PieceRunner, feeds: Mapping[str, Tensor], into: Mapping[str, Tensor]) -> None:
        self.feeds, self.outputs, self._runner = feeds, into, runner

    def run(self) -> None:
        """Run every piece once."""
        self.outputs = {**self.outputs, **self._runner.run(self.feeds, self.outputs)}


class FirstPiece(PieceRunner):
    """The first piece alone, which stays loaded: what a piece takes says what the whole would take.

    `spec` has the inputs it reads and none of the outputs that lie in later pieces; `share` is its part of the bytes.
    """

    def __init__(
        self,
        path: Path,
        spec: BlockSpec,
        block: str,
        device: Device,
        threads: int | None,
        options: Mapping[str, str],
    ) -> None:
        super().__init__(path, spec, block, device, threads, options)
        self._first = self.cut.pieces[0]
        self.share = self._first.weight_bytes / sum(piece.weight_bytes for piece in self.cut.pieces)
        self._session = self.session(self._first, {})
        self.spec = msgspec.structs.replace(
            spec,
            inputs=tuple(one for one in spec.inputs if one.name in self._first.inputs),
            outputs=tuple(one for one in spec.outputs if one.name in self._first.outputs),
        )

    def run(
        self, feeds: Mapping[str, Tensor], into: Mapping[str, Tensor] = NONE, more_follow: bool = False
    ) -> dict[str, Tensor]:
        """Run the piece, its part of the cache in place; what it hands to the next is dropped."""
        binding = self._session.io_binding()
        for name in self._first.inputs:
            binding.bind_input(name, *place_of(feeds[name]))
        for name in self._first.outputs:
            binding.bind_output(name, *(place_of(into[name]) if name in into else ()))
        self._session.run_with_iobinding(binding)
        found = dict(zip(self._first.outputs, binding.get_outputs(), strict=True))
        return {one.name: into.get(one.name) or self.device.put(found[one.name].numpy()) for one in self.spec.outputs}
