// Adaptive Image Divider: resized rows become tile rows at once, and every tile_px-th of them feeds the global view.
// Twin: geopixel_edge/twins/divider.py, equal bit for bit.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "lines.h"

namespace geopixel {

namespace {

// Rows a global row can look back on: four pixels at scale 2 overlap the next one's.
constexpr int kRecent = 4;

// The scale's global sample: its first source index and how many it takes (one if odd, four halves if even).
struct Sample {
    int scale;

    int taps() const { return scale % 2 ? 1 : 4; }
    int first(int i) const { return i * scale + (scale - 1) / 2 - (scale % 2 ? 0 : 1); }
};

class Band {
   public:
    Band(const Resizing& resizing, const Division& division, const std::array<Unit, 3>& units, const Views& out)
        : division_(division), units_(units), resizing_(resizing), lanes_(lanes()), lines_(resizing), out_(out) {
        width_ = division.cols * division.tile;
        height_ = division.rows * division.tile;
        stride_ = std::max(resizing.plane, static_cast<size_t>(width_));
        recent_.resize(kRecent * 3 * stride_);
        row_.resize(3 * resizing.plane);
        // Two samples to spare on either side repeat the border, so that the cubic needs no clamping across.
        halves_.resize(static_cast<size_t>(width_) + 4);
        sums_.resize(static_cast<size_t>(division.tile));
        values_.resize(static_cast<size_t>(division.tile));
    }

    // Global rows [begin, end) and the tile rows they cover.
    void run(int begin, int end) {
        const Sample sample{division_.rows};
        const int y0 = begin * division_.rows, y1 = end * division_.rows;
        const int first = std::max(std::min(sample.first(begin), y0), 0);
        const int last = std::min(std::max(sample.first(end - 1) + sample.taps(), y1), height_);
        int global = begin;
        for (int y = first; y < last; ++y) {
            read(y);
            if (y >= y0 && y < y1) write_tiles(y);
            while (global < end && std::min(sample.first(global) + sample.taps(), height_) == y + 1) write_global(global++);
        }
    }

   private:
    uint8_t* recent(int y, int channel) {
        const int held = std::clamp(y, 0, height_ - 1);
        return recent_.data() + (static_cast<size_t>(held % kRecent) * 3 + channel) * stride_;
    }

    void read(int y) {
        const int given = y < resizing_.height ? resizing_.width : 0;
        if (given > 0) lines_.read(y, row_.data());
        for (int c = 0; c < 3; ++c) {
            uint8_t* line = recent(y, c);
            std::memcpy(line, row_.data() + c * resizing_.plane, static_cast<size_t>(given));
            std::memset(line + given, division_.pad, static_cast<size_t>(width_ - given));
        }
    }

    void write_tiles(int y) {
        const size_t tile = static_cast<size_t>(division_.tile), plane = tile * tile;
        const size_t row = 3 * plane * (1 + static_cast<size_t>(y / division_.tile) * division_.cols);
        for (size_t col = 0; col < static_cast<size_t>(division_.cols); ++col) {
            for (int c = 0; c < 3; ++c) {
                const size_t at = row + (3 * col + c) * plane + (y % division_.tile) * tile;
                float* line = out_.half == nullptr ? out_.full + at : values_.data();
                lanes_.normalise(recent(y, c) + col * tile, division_.tile, units_[c], line);
                if (out_.half != nullptr) lanes_.to_half(line, division_.tile, out_.half + at);
            }
        }
    }

    void write_global(int y) {
        const Sample down{division_.rows}, across{division_.cols};
        const size_t plane = static_cast<size_t>(division_.tile) * division_.tile;
        const int at = down.first(y);
        int16_t* halves = halves_.data() + 2;
        for (int c = 0; c < 3; ++c) {
            if (down.taps() == 1) {
                const uint8_t* line = recent(at, c);
                for (int x = 0; x < width_; ++x) halves[x] = static_cast<int16_t>(32 * line[x]);
            } else {
                lanes_.cubic(recent(at, c), recent(at + 1, c), recent(at + 2, c), recent(at + 3, c), width_, halves);
            }
            halves[-2] = halves[-1] = halves[0];
            halves[width_] = halves[width_ + 1] = halves[width_ - 1];
            for (int x = 0; x < division_.tile; ++x) {
                const int16_t* from = halves + across.first(x);
                sums_[x] = across.taps() == 1 ? 32 * from[0] : 19 * (from[1] + from[2]) - 3 * (from[0] + from[3]);
            }
            const size_t to = c * plane + y * static_cast<size_t>(division_.tile);
            float* line = out_.half == nullptr ? out_.full + to : values_.data();
            lanes_.normalise_sums(sums_.data(), division_.tile, units_[c], line);
            if (out_.half != nullptr) lanes_.to_half(line, division_.tile, out_.half + to);
        }
    }

    const Division& division_;
    const std::array<Unit, 3>& units_;
    const Resizing& resizing_;
    const Lanes& lanes_;
    Lines lines_;
    const Views& out_;
    int width_, height_;
    size_t stride_;
    std::vector<uint8_t> recent_, row_;
    std::vector<int16_t> halves_;
    std::vector<int32_t> sums_;
    std::vector<float> values_;
};

}  // namespace

// Fast reciprocal steps are taken only where they are proved to equal the divisions, byte by byte.
static std::array<Unit, 3> units(const Scaling& scaling) {
    std::array<Unit, 3> found;
    for (int c = 0; c < 3; ++c) {
        Unit& unit = found[c];
        unit = {scaling.mean[c], scaling.std[c], 1.0f / scaling.std[c], 1.0f / 255.0f, true};
        for (int v = 0; v < 256; ++v) {
            const float value = static_cast<float>(v);
            float part = value * unit.reciprocal_255;
            part = std::fmaf(std::fmaf(-part, 255.0f, value), unit.reciprocal_255, part) - unit.mean;
            const float whole = part * unit.reciprocal_std;
            const float fast = std::fmaf(std::fmaf(-whole, unit.std, part), unit.reciprocal_std, whole);
            unit.fused = unit.fused && fast == scaling.normalise(value, c);
        }
    }
    return found;
}

void divide(const Image& image, const Division& division, const Scaling& scaling, int threads, const Views& out) {
    const int width = division.transposed ? division.resized_h : division.resized_w;
    const int height = division.transposed ? division.resized_w : division.resized_h;
    const Resizing resizing(image, width, height, division.transposed);
    const std::array<Unit, 3> channels = units(scaling);
    parallel(threads, division.tile, [&](int64_t begin, int64_t end) {
        Band(resizing, division, channels, out).run(static_cast<int>(begin), static_cast<int>(end));
    });
}

void grounding_input(const Image& image, int side, const Scaling& scaling, int threads, float* out) {
    const Taps<float> down = torch_taps(image.height, side), across = torch_taps(image.width, side);
    const std::array<Unit, 3> channels = units(scaling);
    const size_t values = 3 * static_cast<size_t>(image.width), plane = static_cast<size_t>(side) * side;
    const Lanes& kernels = lanes();
    parallel(threads, side, [&](int64_t begin, int64_t end) {
        std::vector<float> line(values + 1), planes(3 * static_cast<size_t>(side));
        std::vector<const uint8_t*> rows(static_cast<size_t>(down.taps));
        float* const split[3] = {planes.data(), planes.data() + side, planes.data() + 2 * static_cast<size_t>(side)};
        for (int y = static_cast<int>(begin); y < end; ++y) {
            for (int j = 0; j < down.count[y]; ++j) rows[static_cast<size_t>(j)] = image.row(down.first[y] + j);
            kernels.down_f32(rows.data(), down.at(y), down.count[y], static_cast<int>(values), line.data());
            kernels.across_f32(line.data(), view(across), side, split);
            for (int c = 0; c < 3; ++c) {
                kernels.normalise_f32(split[c], side, channels[c], out + c * plane + static_cast<size_t>(y) * side);
            }
        }
    });
}

}  // namespace geopixel
