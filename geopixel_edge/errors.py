"""Every error a user can meet: one base, one sentence each, and the exit code the command line gives it."""

from __future__ import annotations


class GeoPixelError(Exception):
    """Base of every error this package raises on purpose; catch it to catch them all."""

    exit_code = 1


class ImageError(GeoPixelError):
    """The image cannot be used; give a readable RGB-convertible raster within the size limits."""

    exit_code = 3


class GeoReferenceError(ImageError):
    """Where the image is cannot be worked out; correct its transform, control points or CRS as the message says."""


class QueryError(GeoPixelError):
    """The question or history cannot be put to the model; reword it as the message says."""

    exit_code = 3


class PromptTooLongError(QueryError):
    """Image and text together exceed the model's prompt limit; shorten the text or lower hd_num."""


class OptionError(GeoPixelError):
    """An option has a value outside its range; the message gives the range."""

    exit_code = 3


class SessionClosedError(GeoPixelError):
    """The opened image was closed; open it again before asking."""

    exit_code = 3


class EngineError(GeoPixelError):
    """The engine directory cannot be used; export it again or copy it whole."""

    exit_code = 4


class EngineNotFoundError(EngineError):
    """There is no engine directory here; export a checkpoint with `geopixel-edge export` or correct the path."""


class EngineSchemaError(EngineError):
    """The manifest is not one this version reads; export again with this version, or upgrade the package."""


class EngineCorruptError(EngineError):
    """A file is missing, short or altered; copy the engine directory again from its source."""


class EnginePathError(EngineError):
    """A file of the engine lies outside its directory; do not use this engine."""


class EngineMismatchError(EngineError):
    """A block's file is not the block the manifest describes, or it gives other numbers; export again."""


class RuntimeUnavailableError(GeoPixelError):
    """The runtime or device asked for is not on this machine; install it or choose another device."""

    exit_code = 5


class ResourceError(GeoPixelError):
    """The machine has too little memory, or starts no more threads; free some, or ask for less."""

    exit_code = 5


class MemoryBudgetError(ResourceError):
    """No plan fits the memory that was allowed; the message names the stage, its size and the least that would do."""


class ProcessError(GeoPixelError):
    """This belongs to another process and cannot move; make it anew in the process that uses it."""

    exit_code = 5


class NativeMissingError(RuntimeUnavailableError):
    """The C++ extension is not built; install a wheel or run `pip install .` with a C++17 compiler."""


class InferenceError(GeoPixelError):
    """A block failed or gave numbers that are not finite; run `geopixel-edge verify` on the engine."""

    exit_code = 5


class OutputError(GeoPixelError):
    """The result cannot be written, or a saved one not be read; choose a writable place, or a whole answer."""

    exit_code = 6


class SceneIncompleteError(GeoPixelError):
    """Windows of a scene failed, or it was ended early; the same command goes on from what is recorded."""

    exit_code = 7


class CheckpointError(GeoPixelError):
    """The checkpoint is incomplete, damaged or not a GeoPixel model; the message names the key or file."""

    exit_code = 4


class ExportError(GeoPixelError):
    """The export stopped and published nothing; the message names the step and the remedy."""

    exit_code = 6


def reason(error: Exception) -> str:
    """Class and first line of an error of a library below, for one of ours to quote."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
