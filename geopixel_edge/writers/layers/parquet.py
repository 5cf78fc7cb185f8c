"""GeoParquet 1.1: the objects as WKB with their boxes, by pyarrow, a row group for every few thousand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ...errors import RuntimeUnavailableError
from ...json_text import encode_json
from ...rasters.crs import crs_of
from ...rasters.extra import load_shapely
from .feature import FIELDS, Feature, Layer, WindowFeature, columns, to_wkb
from .gpkg import cannot_write

_SIDES = ("xmin", "ymin", "xmax", "ymax")


def load_pyarrow() -> ModuleType:
    """pyarrow; RuntimeUnavailableError without it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise RuntimeUnavailableError(
            "out: GeoParquet needs pyarrow, which is not installed: pip install 'geopixel-edge[geoparquet]'"
        ) from None
    module: ModuleType = pyarrow
    return module


class Parquet:
    """A GeoParquet file that is made at `path`, in the scene's CRS."""

    def __init__(self, path: Path, layer: Layer) -> None:
        self.path, self.layer, self._arrow = path, layer, load_pyarrow()
        self._writer: Any = None
        schema = self._table([]).schema.with_metadata({"geo": json.dumps(self._geo()), "geopixel_edge": self._record()})
        self._schema = schema
        try:
            self._writer = self._arrow.parquet.ParquetWriter(str(path), schema, compression="snappy")
        except OSError as error:
            raise cannot_write(path, error) from None

    def _record(self) -> str:
        return encode_json(self.layer.record).decode("utf-8")

    def _geo(self) -> dict[str, Any]:
        place = self.layer.place
        # Without a member `crs` it would be longitude and latitude; null says that it is not known.
        crs = json.loads(crs_of(place.wkt).to_json()) if place.has_crs and place.wkt is not None else None
        covering = {"bbox": {side: ["bbox", side] for side in _SIDES}}
        column = {
            "encoding": "WKB",
            "geometry_types": ["MultiPolygon"],
            "crs": crs,
            "edges": "planar",
            "covering": covering,
            **({"orientation": "counterclockwise"} if place.has_crs else {}),
        }
        return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}

    def _table(self, features: Sequence[Feature]) -> Any:
        arrow, shapely = self._arrow, load_shapely()
        data, unknown = columns([feature.values() for feature in features], FIELDS)
        kinds = {object: arrow.string(), np.bool_: arrow.bool_()}
        types = [kinds.get(dtype) or arrow.from_numpy_dtype(dtype) for dtype in FIELDS.values()]
        arrays = [arrow.array(values, kind, mask=mask) for values, kind, mask in zip(data, types, unknown, strict=True)]
        shapes = [to_wkb(self.layer.place, feature.polygons) for feature in features]
        boxes = shapely.bounds(shapely.from_wkb(shapes)).reshape(-1, 4)
        sides = [arrow.array(boxes[:, k], arrow.float64()) for k in range(4)]
        arrays += [arrow.StructArray.from_arrays(sides, list(_SIDES)), arrow.array(shapes, arrow.binary())]
        return arrow.table(arrays, [*FIELDS, "bbox", "geometry"])

    def add(self, features: Sequence[Feature]) -> None:
        """The next objects."""
        try:
            self._writer.write_table(self._table(features).cast(self._schema))
        except OSError as error:
            raise cannot_write(self.path, error) from None

    def finish(self, windows: Iterable[WindowFeature]) -> None:
        """Write the footer."""
        try:
            self._writer.close()
        except OSError as error:
            raise cannot_write(self.path, error) from None
