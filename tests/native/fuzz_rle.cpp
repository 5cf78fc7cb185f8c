// libFuzzer target: arbitrary bytes as a COCO string and as raw run lengths. What parses must survive the round trip,
// and every outline must be closed and cover exactly the mask's pixels.
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
    for (const auto& polygon : polygons(spans)) {
        for (const Ring& ring : polygon) {
            expect(ring.size() >= 5 && ring.front() == ring.back());
            for (size_t i = 1; i < ring.size(); ++i) {
                doubled += int64_t{ring[i - 1][0]} * ring[i][1] - int64_t{ring[i][0]} * ring[i - 1][1];
            }
        }
    }
    expect(doubled == 2 * area(spans));
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
