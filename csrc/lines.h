// The resized image, one row at a time: what both the divider and plain resizing read.
#pragma once

#include "kernels.h"
#include "lanes.h"

namespace geopixel {

template <typename Weight>
TapsView<Weight> view(const Taps<Weight>& taps) {
    return {taps.first.data(), taps.count.data(), taps.weights.data(), taps.taps};
}

// What every thread shares: the image, its weights along both axes, and which axis Pillow takes first.
struct Resizing {
    Image image;
    Taps<int32_t> across, down;
    bool vertical_first;
    int width, height;
    size_t plane;  // bytes from one channel's row to the next, a multiple of kChunk

    Resizing(const Image& source, int width_px, int height_px, bool rows_first);
};

// One thread's window on a Resizing. Rows are cheapest in rising order; no allocation after construction.
class Lines {
   public:
    explicit Lines(const Resizing& resizing);

    // Writes row y as three planes, `plane` bytes apart; `out` holds 3 * plane bytes.
    void read(int y, uint8_t* out);

   private:
    void squeeze(const uint8_t* const* rows, uint8_t* const* out);
    void read_across_first(int y, uint8_t* out);
    void read_down_first(int y, uint8_t* out);

    const Resizing& resizing_;
    const Lanes& lanes_;
    int ready_begin_ = 0, ready_end_ = 0;  // source rows (or, down first, output rows) held in planes_
    int slots_;
    std::vector<uint8_t> planes_, block_, tall_;
    std::vector<const uint8_t*> rows_;
};

}  // namespace geopixel
