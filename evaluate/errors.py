"""What evaluation raises beside the SDK's own errors."""

from __future__ import annotations

from geopixel_edge.errors import GeoPixelError


class EvaluationError(GeoPixelError):
    """A figure cannot be computed as asked; the message names what is missing and the remedy."""

    exit_code = 3


class DataError(EvaluationError):
    """A data set is not in its layout; the message names the file, the entry and the remedy."""


class RunError(EvaluationError):
    """A run's folder is torn, or belongs to another engine, question or data set; the message says which."""


class IncompleteRunError(RunError):
    """Images of the run have no prediction yet; run it again, or score what is there with `--partial`."""

    exit_code = 7
