"""GeoPackage: layers `objects` and `windows`, the record, and a style, in the scene's own CRS."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ...errors import OutputError
from ...json_text import encode_json
from ...rasters.extra import load_pyogrio
from ..room import room
from .feature import FIELDS, Feature, Layer, WindowFeature, box_polygons, columns, to_wkb
from .style import qml

_CHUNK = 4_096
WINDOW_FIELDS = {"index": np.int64, "state": object, "seconds": np.float64, "text": object, "note": object}
# All that QGIS selects: without one of them it loads no style and says nothing.
_STYLE_FIELDS = {
    **dict.fromkeys(("f_table_catalog", "f_table_schema", "f_table_name", "f_geometry_column", "styleName"), object),
    **dict.fromkeys(("styleQML", "styleSLD"), object),
    "useAsDefault": np.bool_,
    **dict.fromkeys(("description", "owner", "ui", "update_time"), object),
}


@contextmanager
def vector_files(path: Path, started: int) -> Iterator[ModuleType]:
    """pyogrio, whose files carry the time `started`; its failures become OutputError."""
    pyogrio = load_pyogrio()
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _moment(started)})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is no CRS, or that a file which is not published has its name
            yield pyogrio.raw
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, pyogrio.errors.FeatureError) as error:
        raise cannot_write(path, error) from None
    except (pyogrio.errors.GeometryError, pyogrio.errors.FieldError, OSError, RuntimeError) as error:
        raise cannot_write(path, error) from None
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _moment(started: int) -> str:
    return datetime.fromtimestamp(started, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def cannot_write(path: Path, error: Exception) -> OutputError:
    """The error for a layer that the file system does not take; `path` is the file that was written."""
    detail = (str(error).splitlines() or [""])[0][:200]
    return OutputError(f"out={str(path)!r} cannot be written ({detail}{room(path)}); make room or choose another place")


class Gpkg:
    """A GeoPackage that is made at `path`, which must not be there."""

    def __init__(self, path: Path, layer: Layer) -> None:
        self.path, self.layer, self._begun = path, layer, False

    def add(self, features: Sequence[Feature]) -> None:
        """The next objects."""
        rows = [feature.values() for feature in features]
        shapes = [to_wkb(self.layer.place, feature.polygons) for feature in features]
        self._write("objects", rows, FIELDS, shapes, "MultiPolygon")

    def finish(self, windows: Iterable[WindowFeature]) -> None:
        """The windows, the style, and the layer of objects where there are none."""
        if not self._begun:
            self.add([])
        rest, more = iter(windows), True
        while more:  # the layer is there even where no window is
            chunk = list(islice(rest, _CHUNK))
            rows = [{name: getattr(window, name) for name in WINDOW_FIELDS} for window in chunk]
            shapes = [_polygon(self.layer, window) for window in chunk]
            self._write("windows", rows, WINDOW_FIELDS, shapes, "Polygon")
            more = len(chunk) == _CHUNK
        style = dict.fromkeys(_STYLE_FIELDS, "")
        style.update(f_table_name="objects", f_geometry_column="geom", styleName="objects", owner="geopixel-edge")
        style.update(styleQML=qml(self.layer.phrases), description="One colour for each phrase")
        style.update(update_time=_moment(self.layer.started))
        self._write("layer_styles", [{**style, "useAsDefault": True}], _STYLE_FIELDS, None, None, {"FID": "id"})

    def _write(
        self,
        name: str,
        rows: Sequence[dict[str, Any]],
        fields: dict[str, Any],
        shapes: Any,
        kind: str | None,
        options: dict[str, str] | None = None,
    ) -> None:
        data, unknown = columns(rows, fields)
        more: dict[str, Any] = {"layer_options": options or {}}
        if not self._begun:
            more["dataset_metadata"] = {"geopixel_edge": encode_json(self.layer.record).decode("utf-8")}
        if kind is not None:
            # Without a CRS of its own a layer is "undefined Cartesian": neither degrees nor unknown.
            crs = self.layer.place.wkt if self.layer.place.has_crs else None
            more.update(crs=crs, geometry_type=kind, layer_options={} if crs else {"SRID": "-1"})
        with vector_files(self.path, self.layer.started) as raw:
            raw.write(
                str(self.path),
                None if shapes is None else np.array(shapes, object),
                data,
                np.array(list(fields), object),
                field_mask=unknown,
                driver="GPKG",
                layer=name,
                append=self._begun,
                **more,
            )
        self._begun = True


def _polygon(layer: Layer, window: WindowFeature) -> bytes:
    from ...rasters.extra import load_shapely

    shapely = load_shapely()
    whole = shapely.from_wkb(to_wkb(layer.place, box_polygons(window.box)))
    data: bytes = shapely.to_wkb(shapely.get_geometry(whole, 0))
    return data
