// Resize weights: Pillow's integers for the divider, torch's antialiased float32 for the grounding encoder.
#include <algorithm>
#include <cmath>

#include "kernels.h"

namespace geopixel {

namespace {

constexpr int kPrecisionBits = 22;  // Pillow: 32 less 8 for the pixel and 2 for the sum

}  // namespace

Taps<int32_t> pillow_taps(int in_px, int out_px) {
    const double scale = static_cast<double>(in_px) / out_px;
    const double support = std::max(scale, 1.0);
    const double inverse = 1.0 / support;
    Taps<int32_t> found;
    found.first.resize(out_px);
    found.count.resize(out_px);
    for (int i = 0; i < out_px; ++i) {
        const double centre = (i + 0.5) * scale;
        const int first = std::max(static_cast<int>(centre - support + 0.5), 0);
        found.first[i] = first;
        found.count[i] = std::min(static_cast<int>(centre + support + 0.5), in_px) - first;
        found.taps = std::max(found.taps, found.count[i]);
    }
    found.weights.assign(static_cast<size_t>(out_px) * found.taps, 0);
    std::vector<double> line(found.taps);
    for (int i = 0; i < out_px; ++i) {
        const double centre = (i + 0.5) * scale;
        double total = 0.0;
        for (int j = 0; j < found.count[i]; ++j) {
            const double distance = std::abs((j + found.first[i] - centre + 0.5) * inverse);
            line[j] = distance < 1.0 ? 1.0 - distance : 0.0;
            total += line[j];
        }
        for (int j = 0; j < found.count[i]; ++j) {
            const double weight = total != 0.0 ? line[j] / total : line[j];
            found.weights[static_cast<size_t>(i) * found.taps + j] =
                static_cast<int32_t>(0.5 + weight * (1 << kPrecisionBits));
        }
    }
    return found;
}

// The mix of float and double steps is torch's; plain double moves a large image's weights by 1e-4.
Taps<float> torch_taps(int in_px, int out_px) {
    const float scale = static_cast<float>(in_px) / static_cast<float>(out_px);
    const float support = std::max(scale, 1.0f);
    const float inverse = static_cast<float>(1.0 / support);
    const auto centre_of = [scale](int i) { return static_cast<float>(static_cast<double>(scale) * (i + 0.5)); };
    Taps<float> found;
    found.first.resize(out_px);
    found.count.resize(out_px);
    for (int i = 0; i < out_px; ++i) {
        const float low = centre_of(i) - support, high = centre_of(i) + support;
        found.first[i] = std::max(static_cast<int>(static_cast<double>(low) + 0.5), 0);
        found.count[i] = std::min(static_cast<int>(static_cast<double>(high) + 0.5), in_px) - found.first[i];
        found.taps = std::max(found.taps, found.count[i]);
    }
    found.weights.assign(static_cast<size_t>(out_px) * found.taps, 0.0f);
    for (int i = 0; i < out_px; ++i) {
        float* line = found.weights.data() + static_cast<size_t>(i) * found.taps;
        float total = 0.0f;
        for (int j = 0; j < found.count[i]; ++j) {
            const float offset = static_cast<float>(j + found.first[i]) - centre_of(i);
            const float distance = std::abs(static_cast<float>((static_cast<double>(offset) + 0.5) * inverse));
            line[j] = distance < 1.0f ? 1.0f - distance : 0.0f;
            total += line[j];
        }
        for (int j = 0; j < found.count[i]; ++j) line[j] = total != 0.0f ? line[j] / total : line[j];
    }
    return found;
}

}  // namespace geopixel
