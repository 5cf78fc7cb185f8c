"""What annotating raises beside the SDK's own errors."""

from __future__ import annotations

from geopixel_edge.errors import GeoPixelError


class SourceError(GeoPixelError):
    """The instances or images cannot be used as they are; the message names the file, the entry and the remedy."""

    exit_code = 3


class DescriberError(GeoPixelError):
    """The describer cannot be asked any more; the same command goes on from what it has answered."""

    exit_code = 5


class PatchError(GeoPixelError):
    """The reviewer's patch does not fit the data set; the message names the entry and the remedy."""

    exit_code = 3
