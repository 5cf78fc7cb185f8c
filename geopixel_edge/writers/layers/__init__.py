"""Layers: the objects of a scene as files for a GIS, written piece by piece and published whole."""
