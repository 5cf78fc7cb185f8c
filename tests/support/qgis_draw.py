"""`PYTHON qgis_draw.py SCENE.tif LAYER.gpkg OUT.png`: a layer over its scene, as QGIS draws it; prints one JSON.

It runs under an interpreter that has QGIS's own Python, which the system's packages bring, and needs no screen.
"""

from __future__ import annotations

import json
import os
import sys

SIDE_PX = 1024


def main(scene: str, layer: str, out: str) -> None:
    """Draw with the style that the layer brings."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from qgis.core import QgsApplication

    application = QgsApplication([], False)
    application.initQgis()
    print(json.dumps(draw(scene, layer, out)), flush=True)
    application.exitQgis()


def draw(scene: str, layer: str, out: str) -> dict[str, object]:
    """What QGIS says of the layer, once its picture is there; its objects have to go before the application does."""
    from qgis import core
    from qgis.PyQt.QtCore import QSize

    below = core.QgsRasterLayer(scene, "scene")
    above = core.QgsVectorLayer(f"{layer}|layername=objects", "objects", "ogr")
    assert below.isValid()
    assert above.isValid()
    settings = core.QgsMapSettings()
    settings.setLayers([above, below])
    settings.setDestinationCrs(below.crs())
    settings.setExtent(below.extent())
    settings.setOutputSize(QSize(SIDE_PX, round(SIDE_PX * below.height() / below.width())))
    job = core.QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(out)
    renderer = above.renderer()
    categories = renderer.categories() if renderer.type() == "categorizedSymbol" else []
    return {
        "version": core.Qgis.QGIS_VERSION,
        "features": above.featureCount(),
        "crs": above.crs().authid(),
        "renderer": renderer.type(),
        "colours": {one.value(): one.symbol().color().getRgb() for one in categories},
        "errors": [error.message for error in job.errors()],
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
