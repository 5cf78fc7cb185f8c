// Adaptive Image Divider: Pillow's 8-bit bilinear resize, padding, normalised tiles, the bicubic global view,
// and the grounding encoder's squashed input. Twin: geopixel_edge/twins/divider.py, equal bit for bit.
#include <algorithm>
#include <cstring>

#include "kernels.h"

namespace geopixel {

namespace {

constexpr int kPrecisionBits = 22;
// Bicubic weights (a = -0.75) halfway between two pixels, in 1/32: exact integers.
constexpr std::array<int32_t, 4> kHalfTaps{-3, 19, 19, -3};

uint8_t rounded(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255)); }

void resize_columns(const Image& in, const Taps<int32_t>& taps, int y, uint8_t* out) {
    const uint8_t* row = in.row(y);
    for (size_t i = 0; i < taps.first.size(); ++i) {
        const int32_t* weights = taps.at(static_cast<int>(i));
        const uint8_t* pixel = row + 3 * static_cast<ptrdiff_t>(taps.first[i]);
        std::array<int32_t, 3> sum;
        sum.fill(1 << (kPrecisionBits - 1));
        for (int j = 0; j < taps.count[i]; ++j, pixel += 3) {
            for (int c = 0; c < 3; ++c) sum[c] += weights[j] * pixel[c];
        }
        for (int c = 0; c < 3; ++c) *out++ = rounded(sum[c]);
    }
}

void resize_rows(const Image& in, const Taps<int32_t>& taps, int y, std::vector<int32_t>& sums, uint8_t* out) {
    const int32_t* weights = taps.at(y);
    const size_t values = 3 * static_cast<size_t>(in.width);
    sums.assign(values, 1 << (kPrecisionBits - 1));
    for (int j = 0; j < taps.count[y]; ++j) {
        const uint8_t* row = in.row(taps.first[y] + j);
        for (size_t i = 0; i < values; ++i) sums[i] += weights[j] * row[i];
    }
    for (size_t i = 0; i < values; ++i) out[i] = rounded(sums[i]);
}

// One pass along one axis into a tight buffer; a pass that keeps the size is a copy, as in Pillow.
Image pass(const Image& in, bool vertical, int out_px, int threads, uint8_t* out) {
    const Image made{out, vertical ? out_px : in.height, vertical ? in.width : out_px,
                     3 * static_cast<ptrdiff_t>(vertical ? in.width : out_px)};
    const int in_px = vertical ? in.height : in.width;
    const Taps<int32_t> taps = in_px == out_px ? Taps<int32_t>{} : pillow_taps(in_px, out_px);
    parallel(threads, made.height, [&](int64_t begin, int64_t end) {
        std::vector<int32_t> sums;
        for (int y = static_cast<int>(begin); y < end; ++y) {
            uint8_t* line = out + y * made.row_stride;
            if (in_px == out_px) {
                std::memcpy(line, in.row(y), static_cast<size_t>(made.row_stride));
            } else if (vertical) {
                resize_rows(in, taps, y, sums, line);
            } else {
                resize_columns(in, taps, y, line);
            }
        }
    });
    return made;
}

int clamped(int value, int high) { return std::clamp(value, 0, high - 1); }

// One row of the global view: a bicubic sample at integer scale needs one pixel (odd) or four (even) per axis.
void global_row(const Image& padded, const Division& division, const Scaling& scaling, int y, float* out) {
    const int plane = division.tile * division.tile;
    const auto taps_of = [](int scale) { return scale % 2 ? 1 : 4; };
    const auto start_of = [](int scale, int i) { return i * scale + (scale - 1) / 2 - (scale % 2 ? 0 : 1); };
    const int down = taps_of(division.rows), across = taps_of(division.cols);
    for (int x = 0; x < division.tile; ++x) {
        std::array<int32_t, 3> sum{};
        for (int j = 0; j < down; ++j) {
            const uint8_t* row = padded.row(clamped(start_of(division.rows, y) + j, padded.height));
            for (int i = 0; i < across; ++i) {
                const uint8_t* pixel = row + 3 * clamped(start_of(division.cols, x) + i, padded.width);
                const int32_t weight = (down == 1 ? 32 : kHalfTaps[j]) * (across == 1 ? 32 : kHalfTaps[i]);
                for (int c = 0; c < 3; ++c) sum[c] += weight * pixel[c];
            }
        }
        for (int c = 0; c < 3; ++c) {
            out[c * plane + y * division.tile + x] = scaling.normalise(static_cast<float>(sum[c]) / 1024.0f, c);
        }
    }
}

using Table = std::array<std::array<float, 256>, 3>;

void tile_row(const Image& padded, const Division& division, const Table& table, int y, float* tiles) {
    const size_t plane = static_cast<size_t>(division.tile) * division.tile;
    const size_t line = static_cast<size_t>(y % division.tile) * division.tile;
    for (int col = 0; col < division.cols; ++col) {
        const uint8_t* pixel = padded.row(y) + 3 * static_cast<ptrdiff_t>(col) * division.tile;
        float* tile = tiles + (static_cast<size_t>(y / division.tile) * division.cols + col) * 3 * plane + line;
        for (int x = 0; x < division.tile; ++x, pixel += 3) {
            for (int c = 0; c < 3; ++c) tile[c * plane + x] = table[c][pixel[c]];
        }
    }
}

}  // namespace

void resize(const Image& image, int width, int height, bool vertical_first, int threads, uint8_t* out) {
    const int first_w = vertical_first ? image.width : width, first_h = vertical_first ? height : image.height;
    std::vector<uint8_t> between(3 * static_cast<size_t>(first_w) * first_h);
    const Image half = pass(image, vertical_first, vertical_first ? height : width, threads, between.data());
    pass(half, !vertical_first, vertical_first ? width : height, threads, out);
}

void divide(const Image& image, const Division& division, const Scaling& scaling, int threads, float* out) {
    const int width = division.transposed ? division.resized_h : division.resized_w;
    const int height = division.transposed ? division.resized_w : division.resized_h;
    const int padded_w = division.cols * division.tile, padded_h = division.rows * division.tile;
    std::vector<uint8_t> resized(3 * static_cast<size_t>(width) * height);
    resize(image, width, height, division.transposed, threads, resized.data());
    std::vector<uint8_t> pixels(3 * static_cast<size_t>(padded_w) * padded_h, static_cast<uint8_t>(division.pad));
    const Image padded{pixels.data(), padded_h, padded_w, 3 * static_cast<ptrdiff_t>(padded_w)};
    for (int y = 0; y < height; ++y) {
        std::memcpy(pixels.data() + y * padded.row_stride, resized.data() + 3 * static_cast<size_t>(y) * width,
                    3 * static_cast<size_t>(width));
    }
    Table table;
    for (int c = 0; c < 3; ++c) {
        for (int v = 0; v < 256; ++v) table[c][v] = scaling.normalise(static_cast<float>(v), c);
    }
    float* tiles = out + 3 * static_cast<size_t>(division.tile) * division.tile;
    parallel(threads, padded_h, [&](int64_t begin, int64_t end) {
        for (int y = static_cast<int>(begin); y < end; ++y) tile_row(padded, division, table, y, tiles);
    });
    parallel(threads, division.tile, [&](int64_t begin, int64_t end) {
        for (int y = static_cast<int>(begin); y < end; ++y) global_row(padded, division, scaling, y, out);
    });
}

void grounding_input(const Image& image, int side, const Scaling& scaling, int threads, float* out) {
    const Taps<float> down = torch_taps(image.height, side), across = torch_taps(image.width, side);
    const size_t values = 3 * static_cast<size_t>(image.width), plane = static_cast<size_t>(side) * side;
    parallel(threads, side, [&](int64_t begin, int64_t end) {
        std::vector<float> line(values);
        for (int y = static_cast<int>(begin); y < end; ++y) {
            std::fill(line.begin(), line.end(), 0.0f);
            for (int j = 0; j < down.count[y]; ++j) {
                const uint8_t* row = image.row(down.first[y] + j);
                const float weight = down.at(y)[j];
                for (size_t i = 0; i < values; ++i) line[i] += weight * static_cast<float>(row[i]);
            }
            for (int x = 0; x < side; ++x) {
                const float* pixel = line.data() + 3 * static_cast<size_t>(across.first[x]);
                for (int c = 0; c < 3; ++c) {
                    float sum = 0.0f;
                    for (int i = 0; i < across.count[x]; ++i) sum += across.at(x)[i] * pixel[3 * i + c];
                    out[c * plane + static_cast<size_t>(y) * side + x] = scaling.normalise(sum, c);
                }
            }
        }
    });
}

}  // namespace geopixel
