"""Many images on many machines."""
