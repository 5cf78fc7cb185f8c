// The one private header of the extension: what the kernels take and give. Nothing here knows Python.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace geopixel {

// Mirrors limits.MAX_IMAGE_SIDE_PX; keeps every pixel index of a mask inside uint32.
constexpr int64_t kMaxSidePx = 65535;

inline void require(bool held, const char* message) {
    if (!held) throw std::invalid_argument(message);
}

// --- Threads ---------------------------------------------------------------------------------------------
// Calls body(begin, end) over [0, items) split in even parts; threads == 0 means every core. Rethrows.
void parallel(int threads, int64_t items, const std::function<void(int64_t, int64_t)>& body);

// --- Images ----------------------------------------------------------------------------------------------
// Borrowed uint8 RGB pixels, side by side in a row; rows lie row_stride bytes apart (any value >= 3 * width).
struct Image {
    const uint8_t* data;
    int height;
    int width;
    ptrdiff_t row_stride;

    const uint8_t* row(int y) const { return data + y * row_stride; }
};

// Weights of a separable resize: output i reads count[i] inputs from first[i] on.
template <typename Weight>
struct Taps {
    int taps = 0;  // weights per output, the unused ones 0
    std::vector<int> first, count;
    std::vector<Weight> weights;

    const Weight* at(int i) const { return weights.data() + static_cast<size_t>(i) * taps; }
};

Taps<int32_t> pillow_taps(int in_px, int out_px);
Taps<float> torch_taps(int in_px, int out_px);

struct Scaling {
    std::array<float, 3> mean, std;

    float normalise(float value, int channel) const { return (value / 255.0f - mean[channel]) / std[channel]; }
};

struct Division {
    int rows, cols, resized_w, resized_h;
    bool transposed;
    int tile, pad;
};

void resize(const Image& image, int width, int height, bool vertical_first, int threads, uint8_t* out);
// Where the views go: as float32, or, where `half` is set, as float16.
struct Views {
    float* full;
    uint16_t* half;
};

void divide(const Image& image, const Division& division, const Scaling& scaling, int threads, const Views& out);
void grounding_input(const Image& image, int side, const Scaling& scaling, int threads, float* out);

// --- Masks -----------------------------------------------------------------------------------------------
struct Box {
    int64_t x, y, w, h;

    void check() const {
        for (const int64_t side : {x, y, w, h}) require(side >= 0 && side <= kMaxSidePx, "box has a side outside 0..65535");
        require(x + w <= kMaxSidePx && y + h <= kMaxSidePx, "box leaves the largest image");
    }
};

// Pixels y0 <= y < y1 of column x. A span list is sorted by x, then y0; spans of one column never touch.
struct Span {
    int32_t x, y0, y1;
};
using Spans = std::vector<Span>;

// Tight box and column-major run lengths of its pixels, zeros first; an empty mask is all zero and empty.
struct Rle {
    Box box{0, 0, 0, 0};
    std::vector<uint32_t> counts;
};

// Run lengths borrowed from the caller. spans() throws std::invalid_argument unless they fill the box.
struct RleView {
    Box box;
    const uint32_t* counts;
    size_t size;

    Spans spans() const;
};

enum class Join { kUnion, kIntersection, kDifference };

Rle encode(const Spans& spans);
std::vector<uint32_t> encode_in(const Spans& spans, const Box& box);
bool all_finite(const float* values, size_t size);
Rle mask_from_array(const uint8_t* mask, int height, int width);
std::vector<Rle> masks_from_logits(const float* logits, int n, int h, int w, int height, int width, int threads);
void decode_window(const Spans& spans, const Box& window, uint8_t* out);
int64_t overlap(const Spans& a, const Spans& b);
Spans combine(const Spans& a, const Spans& b, Join join);
// Background components of at most max_hole_px become mask, mask components of at most max_sprinkle_px background.
Spans clean(const Spans& spans, int height, int width, int64_t max_hole_px, int64_t max_sprinkle_px);
// Index of each column's first span from the first span's column on, and one past the last.
std::vector<int32_t> column_starts(const Spans& spans);
// First span of each span's component; pixels that meet by a corner are connected if `diagonals`.
std::vector<int32_t> components(const Spans& spans, const std::vector<int32_t>& starts, bool diagonals);
std::string coco_string(const uint32_t* counts, size_t size);
std::vector<uint32_t> coco_parse(const std::string& text);

// A closed ring of x, y pixel-edge coordinates.
using Ring = std::vector<std::array<int32_t, 2>>;
std::vector<std::vector<Ring>> polygons(const Spans& spans);
// Mirrors limits.MAX_TOLERANCE_PX.
constexpr double kMaxTolerancePx = 256.0;
// Drops vertices of what polygons() gave; the boundary moves by at most tolerance_px and stays valid.
void simplify(std::vector<std::vector<Ring>>& polygons, double tolerance_px);

}  // namespace geopixel
