// Run lengths: to and from spans, set operations, COCO's strings. Twin: geopixel_edge/twins/masks.py.
#include <algorithm>

#include "kernels.h"

namespace geopixel {

namespace {

// Spans of one column order and meet as intervals of this key; those of two columns never touch.
int64_t key(int32_t x, int32_t y) { return (static_cast<int64_t>(x) << 32) | static_cast<uint32_t>(y); }

void append(Spans& spans, int32_t x, int32_t y0, int32_t y1) {
    if (!spans.empty() && spans.back().x == x && spans.back().y1 == y0) {
        spans.back().y1 = y1;
    } else {
        spans.push_back({x, y0, y1});
    }
}

}  // namespace

Spans RleView::spans() const {
    box.check();
    const uint64_t pixels = static_cast<uint64_t>(box.w) * static_cast<uint64_t>(box.h);
    Spans found;
    uint64_t position = 0;
    for (size_t i = 0; i < size; ++i) {
        uint64_t end = position + counts[i];
        require(end <= pixels, "counts are more than the box holds");
        if (i % 2 == 0) {
            position = end;
            continue;
        }
        const uint64_t h = static_cast<uint64_t>(box.h);
        while (position < end) {
            const uint64_t column = position / h, top = position % h;
            const uint64_t length = std::min(end - position, h - top);
            append(found, static_cast<int32_t>(box.x + static_cast<int64_t>(column)),
                   static_cast<int32_t>(box.y + static_cast<int64_t>(top)),
                   static_cast<int32_t>(box.y + static_cast<int64_t>(top + length)));
            position += length;
        }
    }
    require(position == pixels, "counts are fewer than the box holds");
    return found;
}

std::vector<uint32_t> encode_in(const Spans& spans, const Box& box) {
    std::vector<uint32_t> counts;
    counts.reserve(2 * spans.size() + 2);
    int64_t end = 0;
    for (const Span& span : spans) {
        const int64_t start = (span.x - box.x) * box.h + (span.y0 - box.y);
        const uint32_t length = static_cast<uint32_t>(span.y1 - span.y0);
        if (start == end && !counts.empty()) {
            counts.back() += length;
        } else {
            counts.push_back(static_cast<uint32_t>(start - end));
            counts.push_back(length);
        }
        end = start + length;
    }
    if (end < box.w * box.h) counts.push_back(static_cast<uint32_t>(box.w * box.h - end));
    return counts;
}

Rle encode(const Spans& spans) {
    Rle rle;
    if (spans.empty()) return rle;
    int32_t top = spans.front().y0, below = spans.front().y1;
    for (const Span& span : spans) {
        top = std::min(top, span.y0);
        below = std::max(below, span.y1);
    }
    rle.box = {spans.front().x, top, spans.back().x + 1 - spans.front().x, below - top};
    rle.counts = encode_in(spans, rle.box);
    return rle;
}

void decode_window(const Spans& spans, const Box& window, uint8_t* out) {
    for (const Span& span : spans) {
        const int64_t x = span.x - window.x;
        if (x < 0 || x >= window.w) continue;
        const int64_t begin = std::max<int64_t>(span.y0 - window.y, 0);
        const int64_t end = std::min<int64_t>(span.y1 - window.y, window.h);
        for (int64_t y = begin; y < end; ++y) out[y * window.w + x] = 1;
    }
}

int64_t overlap(const Spans& a, const Spans& b) {
    int64_t found = 0;
    for (auto i = a.begin(), j = b.begin(); i != a.end() && j != b.end();) {
        const int64_t common = std::min(key(i->x, i->y1), key(j->x, j->y1)) - std::max(key(i->x, i->y0), key(j->x, j->y0));
        found += std::max<int64_t>(common, 0);
        if (key(i->x, i->y1) < key(j->x, j->y1)) {
            ++i;
        } else {
            ++j;
        }
    }
    return found;
}

Spans combine(const Spans& a, const Spans& b, Join join) {
    Spans found;
    const auto kept = [join](bool in_a, bool in_b) {
        if (join == Join::kUnion) return in_a || in_b;
        return join == Join::kIntersection ? in_a && in_b : in_a && !in_b;
    };
    // Edge 2k of a list enters span k, edge 2k + 1 leaves it.
    const auto edge = [](const Spans& spans, size_t index) {
        const Span& span = spans[index / 2];
        return key(span.x, index % 2 ? span.y1 : span.y0);
    };
    size_t i = 0, j = 0;
    int64_t start = -1;
    while (i < 2 * a.size() || j < 2 * b.size()) {
        const int64_t at_a = i < 2 * a.size() ? edge(a, i) : INT64_MAX;
        const int64_t at_b = j < 2 * b.size() ? edge(b, j) : INT64_MAX;
        const int64_t here = std::min(at_a, at_b);
        i += at_a == here;
        j += at_b == here;
        const bool inside = kept(i % 2, j % 2);
        if (inside && start < 0) start = here;
        if (!inside && start >= 0) {
            found.push_back({static_cast<int32_t>(start >> 32), static_cast<int32_t>(start & 0xFFFFFFFF),
                             static_cast<int32_t>(here & 0xFFFFFFFF)});
            start = -1;
        }
    }
    return found;
}

std::string coco_string(const uint32_t* counts, size_t size) {
    std::string text;
    for (size_t i = 0; i < size; ++i) {
        int64_t value = static_cast<int64_t>(counts[i]) - (i > 2 ? static_cast<int64_t>(counts[i - 2]) : 0);
        for (bool more = true; more;) {
            const int group = static_cast<int>(value & 0x1F);
            value >>= 5;
            more = value != (group & 0x10 ? -1 : 0);
            text.push_back(static_cast<char>(48 + group + (more ? 0x20 : 0)));
        }
    }
    return text;
}

std::vector<uint32_t> coco_parse(const std::string& text) {
    std::vector<uint32_t> counts;
    int64_t value = 0;
    int shift = 0;
    for (const char letter : text) {
        const int group = static_cast<int>(static_cast<unsigned char>(letter)) - 48;
        require(group >= 0 && group < 64 && shift <= 30, "the RLE string has a letter that cannot stand there");
        value |= static_cast<int64_t>(group & 0x1F) << shift;
        shift += 5;
        if (group & 0x20) continue;
        if (group & 0x10) value -= int64_t{1} << shift;
        if (counts.size() > 2) value += counts[counts.size() - 2];
        require(value >= 0 && value <= UINT32_MAX, "a count of the RLE string is not a uint32");
        counts.push_back(static_cast<uint32_t>(value));
        value = 0;
        shift = 0;
    }
    require(shift == 0, "the RLE string ends inside a count");
    return counts;
}

}  // namespace geopixel
