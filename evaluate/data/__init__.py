"""Data sets in their published layouts, read and written."""
