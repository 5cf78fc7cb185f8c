// Logits or arrays to crop-RLE, column by column; no dense full-size mask is ever held, and only source cells that
// the zero level crosses cost work per pixel. Twin: geopixel_edge/twins/masks.py, equal bit for bit.
#include <algorithm>
#include <cstring>

#include "kernels.h"

namespace geopixel {

namespace {

// Corners above this stay above 0 through both interpolations; between 0 and this a product could underflow.
constexpr float kSurelyPositive = 1e-30f;

// Source index and weight of the second of two neighbours, as torch has them (align_corners false).
struct Linear {
    std::vector<int> first, second;
    std::vector<float> weight;
    std::vector<int> begin;  // outputs begin[i] .. begin[i + 1] have `first` i
    float scale;

    Linear(int in_px, int out_px)
        : first(out_px), second(out_px), weight(out_px), begin(static_cast<size_t>(in_px) + 1, out_px),
          scale(static_cast<float>(in_px) / static_cast<float>(out_px)) {
        for (int i = out_px - 1; i >= 0; --i) {
            const float position = std::max(scale * (static_cast<float>(i) + 0.5f) - 0.5f, 0.0f);
            first[i] = std::min(static_cast<int>(position), in_px - 1);
            second[i] = std::min(first[i] + 1, in_px - 1);
            weight[i] = std::min(position - static_cast<float>(first[i]), 1.0f);
            begin[first[i]] = i;
        }
        for (int i = in_px - 1; i >= 0; --i) begin[i] = std::min(begin[i], begin[i + 1]);
    }

    float at(int i, float a, float b) const { return (1.0f - weight[i]) * a + weight[i] * b; }
};

enum Cell : uint8_t { kOut, kIn, kCrossed };

// Cells a column of pixels passes, by the signs of their corners: 0 not positive, 1 surely positive, 2 barely.
void classify(const uint8_t* a, const uint8_t* b, int h, uint8_t* kinds) {
    for (int j = 0; j < h; ++j) {
        const uint8_t any = a[j] | b[j] | a[j + 1] | b[j + 1], all = a[j] & b[j] & a[j + 1] & b[j + 1];
        kinds[j] = any == 0 ? kOut : all == 1 ? kIn : kCrossed;
    }
}

// First j from `from` on whose kind is not `kind`, looking at eight at once.
int skip(const uint8_t* kinds, int from, int h, uint8_t kind) {
    const uint64_t same = 0x0101010101010101u * kind;
    uint64_t eight;
    for (; from + 8 <= h; from += 8) {
        std::memcpy(&eight, kinds + from, 8);
        if (eight != same) break;
    }
    while (from < h && kinds[from] == kind) ++from;
    return from;
}

// Consecutive cells of one kind; a crossed one stands alone.
struct Stretch {
    Cell kind;
    int cell, y0, y1;
};

class Thresholder {
   public:
    Thresholder(int h, int w, const Linear& across, const Linear& down)
        : h_(h), w_(w), across_(across), down_(down), planes_(static_cast<size_t>(h) * w),
          signs_(static_cast<size_t>(h + 1) * w), kinds_(h) {}

    Spans run(const float* logits) {
        transpose(logits);
        for (int i = 0; i < w_; ++i) {
            const float* column = planes_.data() + static_cast<size_t>(i) * h_;
            uint8_t* signs = signs_.data() + static_cast<size_t>(i) * (h_ + 1);
            for (int j = 0; j < h_; ++j) signs[j] = (column[j] > 0.0f) << (column[j] <= kSurelyPositive);
            signs[h_] = signs[h_ - 1];
        }
        Spans spans;
        int last = -1;
        for (int x = 0; x < static_cast<int>(across_.first.size()); ++x) {
            if (across_.first[x] != last) find_stretches(last = across_.first[x], across_.second[x]);
            write_column(x, spans);
        }
        return spans;
    }

   private:
    // Column-major: every step below reads neighbours down a column. In squares, for the cache's sake.
    void transpose(const float* logits) {
        constexpr int kSquare = 16;
        for (int j0 = 0; j0 < h_; j0 += kSquare) {
            for (int i0 = 0; i0 < w_; i0 += kSquare) {
                for (int i = i0; i < std::min(i0 + kSquare, w_); ++i) {
                    for (int j = j0; j < std::min(j0 + kSquare, h_); ++j) {
                        planes_[static_cast<size_t>(i) * h_ + j] = logits[static_cast<size_t>(j) * w_ + i];
                    }
                }
            }
        }
    }

    void find_stretches(int left, int right) {
        const size_t step = static_cast<size_t>(h_) + 1;
        classify(signs_.data() + left * step, signs_.data() + right * step, h_, kinds_.data());
        stretches_.clear();
        for (int j = 0, next; j < h_; j = next) {
            const Cell kind = static_cast<Cell>(kinds_[j]);
            next = kind == kCrossed ? j + 1 : skip(kinds_.data(), j, h_, kind);
            const int y0 = down_.begin[j], y1 = down_.begin[next];
            if (y0 < y1) stretches_.push_back({kind, j, y0, y1});
        }
    }

    void write_column(int x, Spans& spans) {
        const float* left = planes_.data() + static_cast<size_t>(across_.first[x]) * h_;
        const float* right = planes_.data() + static_cast<size_t>(across_.second[x]) * h_;
        int start = -1;
        const auto turn = [&](bool inside, int y) {
            if (inside && start < 0) start = y;
            if (!inside && start >= 0) {
                spans.push_back({x, start, y});
                start = -1;
            }
        };
        for (const Stretch& stretch : stretches_) {
            if (stretch.kind != kCrossed) {
                turn(stretch.kind == kIn, stretch.y0);
                continue;
            }
            const int j = stretch.cell, below = std::min(j + 1, h_ - 1);
            const float a = across_.at(x, left[j], right[j]), b = across_.at(x, left[below], right[below]);
            if (a > 0.0f && b > 0.0f && std::min(a, b) <= kSurelyPositive) {
                for (int y = stretch.y0; y < stretch.y1; ++y) turn(down_.at(y, a, b) > 0.0f, y);
            } else if ((a > 0.0f) == (b > 0.0f)) {
                turn(a > 0.0f, stretch.y0);
            } else {
                const int y = crossing(stretch, a, b);
                if (y > stretch.y0) turn(a > 0.0f, stretch.y0);
                if (y < stretch.y1) turn(b > 0.0f, y);
            }
        }
        turn(false, static_cast<int>(down_.first.size()));
    }

    // First y of the cell whose value has b's sign. Rounding keeps the values monotonous, so there is one change.
    int crossing(const Stretch& cell, float a, float b) const {
        const bool above = a > 0.0f;
        const float guess = (static_cast<float>(cell.cell) + a / (a - b) + 0.5f) / down_.scale - 0.5f;
        int y = static_cast<int>(std::clamp(guess, static_cast<float>(cell.y0), static_cast<float>(cell.y1)));
        while (y > cell.y0 && (down_.at(y - 1, a, b) > 0.0f) != above) --y;
        while (y < cell.y1 && (down_.at(y, a, b) > 0.0f) == above) ++y;
        return y;
    }

    int h_, w_;
    const Linear &across_, &down_;
    std::vector<float> planes_;
    std::vector<uint8_t> signs_, kinds_;
    std::vector<Stretch> stretches_;
};

}  // namespace

// A float is infinite or NaN where all its exponent bits are set.
bool all_finite(const float* values, size_t size) {
    uint32_t bad = 0;
    for (size_t i = 0; i < size; ++i) {
        uint32_t bits;
        std::memcpy(&bits, values + i, 4);
        bad |= (bits & 0x7F800000u) == 0x7F800000u;
    }
    return bad == 0;
}

// Only where a row differs from the one above is anything looked at, eight pixels at a time.
Rle mask_from_array(const uint8_t* mask, int height, int width) {
    std::vector<std::vector<int32_t>> edges(width);
    const std::vector<uint8_t> outside(width, 0);
    for (int y = 0; y <= height; ++y) {
        const uint8_t* above = y > 0 ? mask + static_cast<size_t>(y - 1) * width : outside.data();
        const uint8_t* row = y < height ? mask + static_cast<size_t>(y) * width : outside.data();
        for (int x = 0; x < width; x += 8) {
            const size_t bytes = static_cast<size_t>(std::min(8, width - x));
            uint64_t one = 0, other = 0;
            std::memcpy(&one, above + x, bytes);
            std::memcpy(&other, row + x, bytes);
            if (one == other) continue;
            for (int i = x; i < x + static_cast<int>(bytes); ++i) {
                if ((above[i] != 0) != (row[i] != 0)) edges[i].push_back(y);
            }
        }
    }
    Spans spans;
    for (int x = 0; x < width; ++x) {
        for (size_t i = 0; i < edges[x].size(); i += 2) spans.push_back({x, edges[x][i], edges[x][i + 1]});
    }
    return encode(spans);
}

std::vector<Rle> masks_from_logits(const float* logits, int n, int h, int w, int height, int width, int threads) {
    const Linear across(w, width), down(h, height);
    std::vector<Rle> found(n);
    parallel(threads, n, [&](int64_t begin, int64_t end) {
        Thresholder thresholder(h, w, across, down);
        for (int64_t i = begin; i < end; ++i) {
            found[i] = encode(thresholder.run(logits + static_cast<size_t>(i) * h * w));
        }
    });
    return found;
}

}  // namespace geopixel
