"""The annotation pipeline: instance masks become grounded conversations in GeoPixelD's layout."""
