// Pillow's two 8-bit passes fused: a ring of rows resized across feeds the pass down, or the other way round.
#include "lines.h"

#include <algorithm>
#include <cstring>

namespace geopixel {

namespace {

size_t rounded_up(size_t value, size_t step) { return (value + step - 1) / step * step; }

int block_pixels(const Taps<int32_t>& across) {
    const int n = static_cast<int>(across.first.size());
    int most = 0;
    for (int x = 0; x < n; x += kChunk) {
        const int last = std::min(x + kChunk, n) - 1;
        most = std::max(most, across.first[last] + across.count[last] - across.first[x]);
    }
    return most;
}

}  // namespace

Resizing::Resizing(const Image& source, int width_px, int height_px, bool rows_first)
    : image(source),
      across(pillow_taps(source.width, width_px)),
      down(pillow_taps(source.height, height_px)),
      vertical_first(rows_first),
      width(width_px),
      height(height_px),
      plane(rounded_up(static_cast<size_t>(width_px), kChunk)) {}

Lines::Lines(const Resizing& resizing)
    : resizing_(resizing), lanes_(lanes()), slots_(resizing.vertical_first ? kGroup : resizing.down.taps + kGroup) {
    planes_.resize(static_cast<size_t>(slots_) * 3 * resizing.plane);
    block_.resize(static_cast<size_t>(block_pixels(resizing.across)) * 3 * kGroup);
    if (resizing.vertical_first) tall_.resize(static_cast<size_t>(kGroup) * 3 * resizing.image.width);
    rows_.resize(static_cast<size_t>(std::max(resizing.down.taps, kGroup)));
}

void Lines::read(int y, uint8_t* out) {
    if (resizing_.vertical_first) {
        read_down_first(y, out);
    } else {
        read_across_first(y, out);
    }
}

// Resizes kGroup rows across, into planes.
void Lines::squeeze(const uint8_t* const* rows, uint8_t* const* out) {
    const TapsView<int32_t> taps = view(resizing_.across);
    for (int x = 0; x < resizing_.width; x += kChunk) {
        const int n = std::min(kChunk, resizing_.width - x), last = x + n - 1;
        const int origin = taps.first[x], pixels = taps.first[last] + taps.count[last] - origin;
        lanes_.transpose(rows, 3 * static_cast<ptrdiff_t>(origin), 3 * pixels, block_.data());
        lanes_.across(block_.data(), origin, taps, x, n, resizing_.plane, out);
    }
}

void Lines::read_across_first(int y, uint8_t* out) {
    const int begin = resizing_.down.first[y], count = resizing_.down.count[y];
    const auto slot = [this](int row) {
        return planes_.data() + static_cast<size_t>(row % slots_) * 3 * resizing_.plane;
    };
    if (begin < ready_begin_ || begin > ready_end_) ready_end_ = begin;
    ready_begin_ = begin;
    while (ready_end_ < begin + count) {
        const uint8_t* rows[kGroup];
        uint8_t* made[kGroup];
        const int fresh = std::min(kGroup, resizing_.image.height - ready_end_);
        for (int r = 0; r < kGroup; ++r) {
            // Past the image's end the last row is made again, into its own place.
            const int row = ready_end_ + std::min(r, fresh - 1);
            rows[r] = resizing_.image.row(row);
            made[r] = slot(row);
        }
        squeeze(rows, made);
        ready_end_ += fresh;
    }
    for (int c = 0; c < 3; ++c) {
        for (int j = 0; j < count; ++j) rows_[static_cast<size_t>(j)] = slot(begin + j) + c * resizing_.plane;
        lanes_.down(rows_.data(), resizing_.down.at(y), count, resizing_.width, out + c * resizing_.plane);
    }
}

void Lines::read_down_first(int y, uint8_t* out) {
    if (y < ready_begin_ || y >= ready_end_) {
        const uint8_t* tall[kGroup];
        uint8_t* made[kGroup];
        ready_begin_ = y;
        ready_end_ = std::min(y + kGroup, resizing_.height);
        const size_t values = 3 * static_cast<size_t>(resizing_.image.width);
        for (int r = 0; r < kGroup; ++r) {
            uint8_t* row = tall_.data() + static_cast<size_t>(r) * values;
            tall[r] = row;
            made[r] = planes_.data() + static_cast<size_t>(r) * 3 * resizing_.plane;
            if (y + r >= ready_end_) continue;
            const int count = resizing_.down.count[y + r];
            for (int j = 0; j < count; ++j) {
                rows_[static_cast<size_t>(j)] = resizing_.image.row(resizing_.down.first[y + r] + j);
            }
            lanes_.down(rows_.data(), resizing_.down.at(y + r), count, static_cast<int>(values), row);
        }
        squeeze(tall, made);
    }
    std::memcpy(out, planes_.data() + static_cast<size_t>(y - ready_begin_) * 3 * resizing_.plane, 3 * resizing_.plane);
}

void resize(const Image& image, int width, int height, bool vertical_first, int threads, uint8_t* out) {
    const Resizing resizing(image, width, height, vertical_first);
    parallel(threads, height, [&](int64_t begin, int64_t end) {
        Lines lines(resizing);
        std::vector<uint8_t> planes(3 * resizing.plane);
        for (int y = static_cast<int>(begin); y < end; ++y) {
            lines.read(y, planes.data());
            uint8_t* pixel = out + 3 * static_cast<size_t>(y) * width;
            for (int x = 0; x < width; ++x) {
                for (int c = 0; c < 3; ++c) *pixel++ = planes[c * resizing.plane + x];
            }
        }
    });
}

}  // namespace geopixel
