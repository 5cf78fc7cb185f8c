// Connected components of span lists, and what they are for: holes filled and sprinkles dropped.
#include <algorithm>
#include <numeric>

#include "kernels.h"

namespace geopixel {

std::vector<int32_t> column_starts(const Spans& spans) {
    std::vector<int32_t> starts;
    for (size_t i = 0; i < spans.size(); ++i) {
        while (static_cast<int32_t>(starts.size()) <= spans[i].x - spans[0].x) starts.push_back(static_cast<int32_t>(i));
    }
    starts.push_back(static_cast<int32_t>(spans.size()));
    return starts;
}

std::vector<int32_t> components(const Spans& spans, const std::vector<int32_t>& starts, bool diagonals) {
    std::vector<int32_t> parent(spans.size());
    std::iota(parent.begin(), parent.end(), 0);
    const auto root = [&parent](int32_t i) {
        while (parent[i] != i) i = parent[i] = parent[parent[i]];
        return i;
    };
    const int32_t reach = diagonals ? 1 : 0;
    for (size_t column = 0; column + 2 < starts.size(); ++column) {
        int32_t i = starts[column], j = starts[column + 1];
        while (i < starts[column + 1] && j < starts[column + 2]) {
            if (std::min(spans[i].y1, spans[j].y1) + reach > std::max(spans[i].y0, spans[j].y0)) {
                const int32_t a = root(i), b = root(j);
                parent[std::max(a, b)] = std::min(a, b);
            }
            if (spans[i].y1 < spans[j].y1) {
                ++i;
            } else {
                ++j;
            }
        }
    }
    for (size_t i = 0; i < parent.size(); ++i) parent[i] = root(static_cast<int32_t>(i));
    return parent;
}

namespace {

Spans complement(const Spans& spans, int height, int width) {
    Spans found;
    size_t i = 0;
    for (int32_t x = 0; x < width; ++x) {
        int32_t from = 0;
        for (; i < spans.size() && spans[i].x == x; ++i) {
            if (spans[i].y0 > from) found.push_back({x, from, spans[i].y0});
            from = spans[i].y1;
        }
        if (from < height) found.push_back({x, from, height});
    }
    return found;
}

// Spans of the 8-connected components with at most `most` pixels, or of all others.
Spans pick(const Spans& spans, int64_t most, bool small) {
    if (spans.empty()) return {};
    const std::vector<int32_t> roots = components(spans, column_starts(spans), true);
    std::vector<int64_t> areas(spans.size(), 0);
    for (size_t i = 0; i < spans.size(); ++i) areas[roots[i]] += spans[i].y1 - spans[i].y0;
    Spans found;
    for (size_t i = 0; i < spans.size(); ++i) {
        if ((areas[roots[i]] <= most) == small) found.push_back(spans[i]);
    }
    return found;
}

}  // namespace

Spans clean(const Spans& spans, int height, int width, int64_t max_hole_px, int64_t max_sprinkle_px) {
    const Spans kept = max_sprinkle_px > 0 ? pick(spans, max_sprinkle_px, false) : spans;
    if (max_hole_px <= 0) return kept;
    return combine(kept, pick(complement(spans, height, width), max_hole_px, true), Join::kUnion);
}

}  // namespace geopixel
