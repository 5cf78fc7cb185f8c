"""Which TIFF structures are read: an allow-list of what Pillow reads right, proven against GDAL; others are refused."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from functools import cache

from PIL import Image

from . import tiff_tags as tags
from .tiff_tags import DamagedTiff, Page

UNSIGNED, SIGNED, FLOAT = 1, 2, 3
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
RAW, LZW, JPEG, DEFLATE, PACKBITS, DEFLATE_OLD, LZMA, ZSTD = 1, 5, 7, 8, 32773, 32946, 34925, 50000
_CCITT = (2, 3, 4)
_PREDICTED = (LZW, DEFLATE, DEFLATE_OLD, ZSTD, LZMA)
_LOSSLESS = (RAW, PACKBITS, *_PREDICTED)

# (PhotometricInterpretation, bits, SampleFormat) -> the ExtraSamples that may follow the colours
_PIXELS: dict[tuple[int, int, int], tuple[tuple[int, ...], ...]] = {
    **{(WHITE_IS_ZERO, bits, UNSIGNED): ((),) for bits in (1, 2, 4, 8)},
    **{(BLACK_IS_ZERO, bits, UNSIGNED): ((),) for bits in (1, 2, 4, 12, 16)},
    (BLACK_IS_ZERO, 8, UNSIGNED): ((), (1,), (2,)),
    (BLACK_IS_ZERO, 16, SIGNED): ((),),
    (BLACK_IS_ZERO, 32, SIGNED): ((),),
    (BLACK_IS_ZERO, 32, FLOAT): ((),),
    (RGB, 8, UNSIGNED): ((), (0,), (1,), (2,), (0, 0), (2, 0), (0, 0, 0)),
    (RGB, 16, UNSIGNED): ((), (0,), (2,)),
    **{(PALETTE, bits, UNSIGNED): ((),) for bits in (1, 2, 4)},
    (PALETTE, 8, UNSIGNED): ((), (2,)),
    (CMYK, 8, UNSIGNED): ((),),
    (YCBCR, 8, UNSIGNED): ((),),
    (LAB, 8, UNSIGNED): ((),),
}
_COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3, LAB: 3}
_JPEG_PIXELS = {(WHITE_IS_ZERO, 1), (BLACK_IS_ZERO, 1), (RGB, 3), (YCBCR, 3)}
_FULL_RANGE = (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)  # ReferenceBlackWhite, fractions; also its default
_BANDS_APART = {(RGB, ()), (RGB, (2,))}  # what Pillow reads right of PlanarConfiguration 2, at 8 bits

_PHOTOMETRIC_NAMES = {0: "0 is white", 1: "grey", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "CIELAB"}
_FORMAT_NAMES = {UNSIGNED: "uint", SIGNED: "int", FLOAT: "float", 4: "untyped ", 5: "complex int", 6: "complex"}
_COMPRESSION_NAMES = {
    **{RAW: "uncompressed", 2: "CCITT RLE", 3: "CCITT fax 3", 4: "CCITT fax 4", LZW: "LZW", 6: "old JPEG"},
    **{JPEG: "JPEG", DEFLATE: "deflate", PACKBITS: "PackBits", DEFLATE_OLD: "deflate", 34887: "LERC"},
    **{34712: "JPEG 2000", LZMA: "LZMA", ZSTD: "ZSTD", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL"},
}
_PILLOW_CODECS = {
    **{2: "tiff_ccitt", 3: "group3", 4: "group4", LZW: "tiff_lzw", JPEG: "jpeg", DEFLATE: "tiff_adobe_deflate"},
    **{PACKBITS: "packbits", DEFLATE_OLD: "tiff_adobe_deflate", LZMA: "lzma", ZSTD: "zstd"},
}
_RGB_NAMES = ["red", "green", "blue"]
_INTERPRETATION = re.compile(r'sample="(\d+)" role="colorinterp">(\w+)<')


@dataclass(frozen=True)
class Structure:
    """How the samples of one page are laid out, in the numbers of the TIFF specification."""

    width_px: int
    height_px: int
    samples: int
    bits: int  # of one sample; 0 where the samples differ
    sample_format: int  # 0 where the samples differ
    photometric: int  # -1 where the tag is missing
    extras: tuple[int, ...]
    compression: int
    predictor: int
    bands_apart: bool
    reversed_bits: bool
    big_endian: bool
    big: bool

    @property
    def white(self) -> int:
        """The greatest value of an unsigned sample."""
        return int((1 << self.bits) - 1)


def structure_of(page: Page) -> Structure:
    """The structure that a page's tags declare. Raises DamagedTiff where it has no size."""
    width_px, height_px = page.number(tags.WIDTH, 0), page.number(tags.HEIGHT, 0)
    if width_px == 0 or height_px == 0:
        raise DamagedTiff(f"a page of {width_px} x {height_px} pixels")
    samples = page.number(tags.SAMPLES, 1)
    bits, formats = page.numbers.get(tags.BITS, (1,)), page.numbers.get(tags.SAMPLE_FORMAT, (UNSIGNED,))
    return Structure(
        width_px=width_px,
        height_px=height_px,
        samples=samples,
        bits=bits[0] if len(set(bits)) == 1 and len(bits) in (1, samples) else 0,
        sample_format=formats[0] if len(set(formats)) == 1 else 0,
        photometric=page.number(tags.PHOTOMETRIC, -1),
        extras=page.numbers.get(tags.EXTRA_SAMPLES, ()),
        compression=page.number(tags.COMPRESSION, RAW),
        predictor=page.number(tags.PREDICTOR, 1),
        bands_apart=page.number(tags.PLANAR, 1) != 1,
        reversed_bits=page.number(tags.FILL_ORDER, 1) != 1,
        big_endian=page.big_endian,
        big=page.big,
    )


def describe(shape: Structure) -> str:
    """The structure in words, e.g. "TIFF of 4 bands of uint16, band after band (PlanarConfiguration 2), deflate"."""
    kind = f"{_FORMAT_NAMES.get(shape.sample_format, 'mixed ')}{shape.bits or 'bits'}"
    words = [f"{'Big' if shape.big else ''}TIFF of {shape.samples} band{'s' * (shape.samples != 1)} of {kind}"]
    if shape.photometric != BLACK_IS_ZERO:
        words.append(_PHOTOMETRIC_NAMES.get(shape.photometric, f"PhotometricInterpretation {shape.photometric}"))
    if shape.bands_apart and shape.samples > 1:
        words.append("band after band (PlanarConfiguration 2)")
    words.append(_COMPRESSION_NAMES.get(shape.compression, f"compression {shape.compression}"))
    if shape.predictor != 1 and shape.compression in _PREDICTED:
        words.append(f"predictor {shape.predictor}")
    if shape.big_endian:
        words.append("big-endian")
    if shape.reversed_bits:
        words.append("bits reversed (FillOrder 2)")
    return ", ".join(words)


def remedy(shape: Structure) -> str:
    """What to do with a TIFF that is refused: the one sentence every refusal ends with."""
    options = "-b 1" if shape.samples < 3 else "-b 1 -b 2 -b 3 -co PHOTOMETRIC=RGB"
    if (shape.bits, shape.sample_format) != (8, UNSIGNED):
        options += " -ot Float32" if shape.samples < 3 else " -ot Byte -scale"
    if (shape.photometric, shape.samples, shape.sample_format) == (WHITE_IS_ZERO, 1, UNSIGNED):
        options = f"-b 1 -ot Byte -scale 0 {shape.white} 255 0"
    numbers = "" if shape.samples < 3 else ", with the numbers of its red, green and blue band"
    return f"convert it with `gdal_translate {options} IN.tif OUT.tif`{numbers}"


def obstacle(shape: Structure, page: Page) -> str | None:
    """Why a structure is refused, in plain words; None for one that is on the allow-list."""
    colours = _COLOURS.get(shape.photometric, 0)
    if colours == 1 < shape.samples and (shape.samples, shape.extras) not in ((2, (1,)), (2, (2,))):
        return "it does not declare which of its bands are the colours"
    allowed = _PIXELS.get((shape.photometric, shape.bits, shape.sample_format), ())
    if shape.extras not in allowed or shape.samples != colours + len(shape.extras):
        return "such samples are not read here"
    return _coding_obstacle(shape, page) or _colour_obstacle(shape, page)


def _coding_obstacle(shape: Structure, page: Page) -> str | None:
    if shape.compression == JPEG:
        readable = (shape.photometric, shape.samples) in _JPEG_PIXELS and not (shape.big and shape.big_endian)
    elif shape.compression in _CCITT:
        readable = shape.bits == 1 and shape.photometric != PALETTE
    elif shape.photometric == YCBCR:
        levels = page.numbers.get(tags.REFERENCE_LEVELS, _FULL_RANGE)
        readable = shape.compression == RAW and page.numbers.get(tags.SUBSAMPLING) == (1, 1) and levels == _FULL_RANGE
    else:
        readable = shape.compression in _LOSSLESS
    if not readable:
        return "this compression of such samples is not read here"
    if not codec_is_there(shape.compression):
        return "this Pillow was built without the compression"
    if shape.big_endian and (shape.big or (shape.bits > 8 and shape.compression != RAW)):
        return "Pillow swaps its bytes"
    if shape.compression in _PREDICTED and shape.predictor != 1:
        floating = shape.predictor == 3 and shape.sample_format == FLOAT
        if not floating and not (shape.predictor == 2 and shape.bits in (8, 16, 32)):
            return "this predictor of such samples is not read here"
    readable = shape.bits == 8 and (shape.photometric, shape.extras) in _BANDS_APART
    if shape.bands_apart and shape.samples > 1 and not readable:
        return "such bands are not read apart"
    if shape.reversed_bits and (shape.bits != 1 or shape.compression not in (RAW, *_CCITT)):
        return "reversed bits of such samples are not read here"
    return None


def _colour_obstacle(shape: Structure, page: Page) -> str | None:
    if (page.number(tags.SUBFILE, 0) & 1 and tags.SUB_PAGES in page.numbers) or tags.DNG_VERSION in page.numbers:
        return "its first page is a small copy of a camera's raw image"
    if shape.photometric == PALETTE:
        table = page.numbers.get(tags.COLOUR_MAP, ())
        if len(table) != 3 << shape.bits:
            raise DamagedTiff(f"a palette of {len(table)} numbers for {shape.bits} bits")
        if 0 < max(table) < 256:
            return "its palette has 8 of 16 bits"
    if shape.photometric == CMYK and page.number(tags.INK_SET, 1) != 1:
        return "its inks are not CMYK"
    declared = _INTERPRETATION.findall(page.texts.get(tags.GDAL_METADATA, ""))
    names = {int(band): name.lower() for band, name in declared}
    right = [*_RGB_NAMES[: _COLOURS[shape.photometric]], *("alpha" if extra else "" for extra in shape.extras)]
    wrong_order = shape.photometric == RGB and [names.get(band, right[band]) for band in range(3)] != right[:3]
    if wrong_order or any(name == "alpha" != right[band] for band, name in names.items() if band < len(right)):
        return f"its bands are declared {', '.join(names[band] for band in sorted(names))}"
    return None


@cache
def codec_is_there(compression: int) -> bool:
    """Whether this build of Pillow has a TIFF compression, by writing one pixel with it."""
    if compression == RAW:
        return True
    mode = "1" if compression in _CCITT else "L"
    try:
        Image.new(mode, (8, 8)).save(io.BytesIO(), "TIFF", compression=_PILLOW_CODECS[compression])
    except (OSError, RuntimeError, ValueError, KeyError):
        return False
    return True
