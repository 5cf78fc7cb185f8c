"""GeoPixel on the edge: text answers about aerial and satellite images, tied to pixel masks."""

__version__ = "0.1.0"
