"""What stands between a file and its RGB bytes: TIFF structures, masks, nodata, 16-bit colour, conversions."""
