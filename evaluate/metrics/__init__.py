"""Figures of masks and texts, as published and strict. Pure functions: no files, no engine."""
