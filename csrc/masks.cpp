// Logits or arrays to crop-RLE, one column at a time: no dense full-size mask is ever held.
// Twin: geopixel_edge/twins/masks.py, equal bit for bit.
#include <algorithm>

#include "kernels.h"

namespace geopixel {

namespace {

// Source index and weight of the second of two neighbours, as torch has them (align_corners false).
struct Linear {
    std::vector<int> first, second;
    std::vector<float> weight;

    Linear(int in_px, int out_px) : first(out_px), second(out_px), weight(out_px) {
        const float scale = static_cast<float>(in_px) / static_cast<float>(out_px);
        for (int i = 0; i < out_px; ++i) {
            const float position = std::max(scale * (static_cast<float>(i) + 0.5f) - 0.5f, 0.0f);
            first[i] = std::min(static_cast<int>(position), in_px - 1);
            second[i] = std::min(first[i] + 1, in_px - 1);
            weight[i] = std::min(position - static_cast<float>(first[i]), 1.0f);
        }
    }
};

Spans threshold(const float* logits, int h, int w, const Linear& across, const Linear& down) {
    Spans spans;
    std::vector<float> column(h);
    const int width = static_cast<int>(across.first.size()), height = static_cast<int>(down.first.size());
    for (int x = 0; x < width; ++x) {
        const float right = across.weight[x], left = 1.0f - right;
        for (int j = 0; j < h; ++j) {
            const float* row = logits + static_cast<size_t>(j) * w;
            column[j] = left * row[across.first[x]] + right * row[across.second[x]];
        }
        int start = -1;
        for (int y = 0; y < height; ++y) {
            const float below = down.weight[y];
            const bool inside = (1.0f - below) * column[down.first[y]] + below * column[down.second[y]] > 0.0f;
            if (inside && start < 0) start = y;
            if (!inside && start >= 0) {
                spans.push_back({x, start, y});
                start = -1;
            }
        }
        if (start >= 0) spans.push_back({x, start, height});
    }
    return spans;
}

}  // namespace

Rle mask_from_array(const uint8_t* mask, int height, int width) {
    Spans spans;
    for (int x = 0; x < width; ++x) {
        int start = -1;
        for (int y = 0; y < height; ++y) {
            const bool inside = mask[static_cast<size_t>(y) * width + x] != 0;
            if (inside && start < 0) start = y;
            if (!inside && start >= 0) {
                spans.push_back({x, start, y});
                start = -1;
            }
        }
        if (start >= 0) spans.push_back({x, start, height});
    }
    return encode(spans);
}

std::vector<Rle> masks_from_logits(const float* logits, int n, int h, int w, int height, int width, int threads) {
    const Linear across(w, width), down(h, height);
    std::vector<Rle> found(n);
    parallel(threads, n, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            found[i] = encode(threshold(logits + static_cast<size_t>(i) * h * w, h, w, across, down));
        }
    });
    return found;
}

}  // namespace geopixel
