// libFuzzer target: arbitrary bytes as a COCO string and as raw run lengths. What parses must survive the round trip,
// and every outline must be closed and cover exactly the mask's pixels. Simplified ones must stay rings of the same
// orientation.
#include <cstdlib>

#include "kernels.h"

using namespace geopixel;

namespace {

void expect(bool held) {
    if (!held) std::abort();
}

int64_t area(const Spans& spans) {
    int64_t total = 0;
    for (const Span& span : spans) total += span.y1 - span.y0;
    return total;
}

int64_t doubled_area(const Ring& ring) {
    int64_t doubled = 0;
    for (size_t i = 1; i < ring.size(); ++i) {
        doubled += int64_t{ring[i - 1][0]} * ring[i][1] - int64_t{ring[i][0]} * ring[i - 1][1];
    }
    return doubled;
}

void check_simplified(const std::vector<std::vector<Ring>>& found) {
    for (const double tolerance : {0.6, 2.0, 40.0}) {
        std::vector<std::vector<Ring>> simple = found;
        simplify(simple, tolerance);
        for (size_t p = 0; p < found.size(); ++p) {
            for (size_t r = 0; r < found[p].size(); ++r) {
                const Ring& ring = simple[p][r];
                expect(ring.size() >= 4 && ring.size() <= found[p][r].size() && ring.front() == ring.back());
                expect(doubled_area(ring) != 0 && (doubled_area(ring) > 0) == (r == 0));
            }
        }
    }
}

void check_mask(const RleView& rle) {
    Spans spans;
    try {
        spans = rle.spans();
    } catch (const std::invalid_argument&) {
        return;
    }
    const Rle tight = encode(spans);
    const Spans again = RleView{tight.box, tight.counts.data(), tight.counts.size()}.spans();
    expect(area(again) == area(spans) && overlap(again, spans) == area(spans));
    expect(combine(spans, again, Join::kDifference).empty());
    int64_t doubled = 0;
    const std::vector<std::vector<Ring>> found = polygons(spans);
    for (const auto& polygon : found) {
        for (const Ring& ring : polygon) {
            expect(ring.size() >= 5 && ring.front() == ring.back());
            doubled += doubled_area(ring);
        }
    }
    expect(doubled == 2 * area(spans));
    check_simplified(found);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 2) return 0;
    const int64_t height = data[0] % 33, width = data[1] % 33;
    const std::string text(reinterpret_cast<const char*>(data + 2), size - 2);
    try {
        const std::vector<uint32_t> counts = coco_parse(text);
        expect(coco_parse(coco_string(counts.data(), counts.size())) == counts);
        check_mask({{0, 0, width, height}, counts.data(), counts.size()});
    } catch (const std::invalid_argument&) {
    }
    const std::vector<uint32_t> raw(data + 2, data + size);
    check_mask({{3, 5, width, height}, raw.data(), raw.size()});
    return 0;
}
