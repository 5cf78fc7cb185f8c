"""Aerial scenes made from a seed, with exact masks, and questions about them with their answers; needs no torch."""
