// The row kernels of one instruction set: CMake compiles this file once per set, naming it in GEOPIXEL_ISA.
// Every sum is taken in the order of the NumPy twins, so all sets give the same bits.
#include "lanes.h"

#include "simd.h"

#define GEOPIXEL_JOIN(a, b) a##b
#define GEOPIXEL_LANES(isa) GEOPIXEL_JOIN(lanes_, isa)
#define GEOPIXEL_TEXT(isa) #isa
#define GEOPIXEL_NAME(isa) GEOPIXEL_TEXT(isa)

namespace geopixel {

namespace {

void transpose(const uint8_t* const* rows, ptrdiff_t begin, int bytes, uint8_t* block) {
    Bytes square[kGroup];
    int done = 0;
    for (; done + kGroup <= bytes; done += kGroup) {
        for (int r = 0; r < kGroup; ++r) square[r] = load(rows[r] + begin + done);
        transpose16(square);
        for (int i = 0; i < kGroup; ++i) store(block + (done + i) * kGroup, square[i]);
    }
    for (; done < bytes; ++done) {
        for (int r = 0; r < kGroup; ++r) block[done * kGroup + r] = rows[r][begin + done];
    }
}

void across(const uint8_t* block, int origin, const TapsView<int32_t>& taps, int x0, int n, size_t plane,
            uint8_t* const* out) {
    constexpr int kParts = kGroup / kLanes;
    alignas(64) uint8_t made[3][kChunk][kGroup];
    for (int x = 0; x < n; ++x) {
        const int32_t* weights = taps.weights + static_cast<ptrdiff_t>(x0 + x) * taps.taps;
        const uint8_t* pixel = block + static_cast<ptrdiff_t>(taps.first[x0 + x] - origin) * 3 * kGroup;
        I32 sums[3][kParts];
        for (auto& channel : sums) {
            for (auto& sum : channel) sum = splat(1 << (kPrecisionBits - 1));
        }
        for (int j = 0; j < taps.count[x0 + x]; ++j, pixel += 3 * kGroup) {
            const I32 weight = splat(weights[j]);
            for (int c = 0; c < 3; ++c) {
                for (int p = 0; p < kParts; ++p) {
                    sums[c][p] = add_product(sums[c][p], widen(pixel + c * kGroup + p * kLanes), weight);
                }
            }
        }
        for (int c = 0; c < 3; ++c) {
            for (int p = 0; p < kParts; ++p) narrow(made[c][x] + p * kLanes, sums[c][p]);
        }
    }
    for (int x = n; x % kGroup; ++x) {
        for (int c = 0; c < 3; ++c) memset(made[c][x], 0, kGroup);
    }
    for (int c = 0; c < 3; ++c) {
        for (int x = 0; x < n; x += kGroup) {
            Bytes square[kGroup];
            for (int i = 0; i < kGroup; ++i) square[i] = load(made[c][x + i]);
            transpose16(square);
            for (int r = 0; r < kGroup; ++r) store(out[r] + c * plane + x0 + x, square[r]);
        }
    }
}

template <int kVectors>
void down_block(const uint8_t* const* rows, const int32_t* weights, int count, ptrdiff_t at, uint8_t* out) {
    I32 sums[kVectors];
    for (auto& sum : sums) sum = splat(1 << (kPrecisionBits - 1));
    for (int j = 0; j < count; ++j) {
        const I32 weight = splat(weights[j]);
        for (int v = 0; v < kVectors; ++v) sums[v] = add_product(sums[v], widen(rows[j] + at + v * kLanes), weight);
    }
    for (int v = 0; v < kVectors; ++v) narrow(out + at + v * kLanes, sums[v]);
}

void down(const uint8_t* const* rows, const int32_t* weights, int count, int n, uint8_t* out) {
    int i = 0;
    for (; i + 4 * kLanes <= n; i += 4 * kLanes) down_block<4>(rows, weights, count, i, out);
    for (; i + kLanes <= n; i += kLanes) down_block<1>(rows, weights, count, i, out);
    for (; i < n; ++i) {
        uint32_t sum = 1u << (kPrecisionBits - 1);
        for (int j = 0; j < count; ++j) sum += static_cast<uint32_t>(weights[j]) * rows[j][i];
        sum >>= kPrecisionBits;
        out[i] = static_cast<uint8_t>(sum < 255 ? sum : 255);
    }
}

void normalise_to(const uint8_t* in, int n, const Unit& unit, float* out) {
    const Unit u = unit;
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    if (u.fused) {
        for (int i = 0; i < n; ++i) {
            const float value = in[i];
            float part = value * u.reciprocal_255;
            part = __builtin_fmaf(__builtin_fmaf(-part, 255.0f, value), u.reciprocal_255, part) - u.mean;
            const float whole = part * u.reciprocal_std;
            out[i] = __builtin_fmaf(__builtin_fmaf(-whole, u.std, part), u.reciprocal_std, whole);
        }
        return;
    }
#endif
    for (int i = 0; i < n; ++i) out[i] = (static_cast<float>(in[i]) / 255.0f - u.mean) / u.std;
}

// Whole cache lines go past the cache: nobody reads the tiles before all of them are written.
void normalise(const uint8_t* in, int n, const Unit& unit, float* out) {
    constexpr int kLine = 16, kPiece = 32 * kLine;
    if (reinterpret_cast<uintptr_t>(out) % 64 != 0) return normalise_to(in, n, unit, out);
    alignas(64) float made[kPiece];
    int i = 0;
    for (; i + kLine <= n; ) {
        const int piece = (n - i < kPiece ? n - i : kPiece) / kLine * kLine;
        normalise_to(in + i, piece, unit, made);
        for (int line = 0; line < piece; line += kLine) stream_line(out + i + line, made + line);
        i += piece;
    }
    normalise_to(in + i, n - i, unit, out + i);
    stream_end();
}

void to_half(const float* in, int n, uint16_t* out) {
    int i = 0;
    for (; i + kHalves <= n; i += kHalves) halve(in + i, out + i);
    if (i < n) {
        float rest[kHalves] = {};
        uint16_t made[kHalves];
        memcpy(rest, in + i, sizeof(float) * static_cast<size_t>(n - i));
        halve(rest, made);
        memcpy(out + i, made, sizeof(uint16_t) * static_cast<size_t>(n - i));
    }
}

void cubic(const uint8_t* a, const uint8_t* b, const uint8_t* c, const uint8_t* d, int n, int16_t* out) {
    for (int i = 0; i < n; ++i) out[i] = static_cast<int16_t>(19 * (b[i] + c[i]) - 3 * (a[i] + d[i]));
}

void normalise_sums(const int32_t* in, int n, const Unit& unit, float* out) {
    const Unit u = unit;
    for (int i = 0; i < n; ++i) out[i] = (static_cast<float>(in[i]) * (1.0f / 1024.0f) / 255.0f - u.mean) / u.std;
}

void normalise_f32(const float* in, int n, const Unit& unit, float* out) {
    const Unit u = unit;
    for (int i = 0; i < n; ++i) out[i] = (in[i] / 255.0f - u.mean) / u.std;
}

template <int kVectors>
void down_f32_block(const uint8_t* const* rows, const float* weights, int count, ptrdiff_t at, float* out) {
    F32 sums[kVectors];
    for (auto& sum : sums) sum = splat_f(0.0f);
    for (int j = 0; j < count; ++j) {
        const F32 weight = splat_f(weights[j]);
        for (int v = 0; v < kVectors; ++v) sums[v] = add_product_f(sums[v], widen_f(rows[j] + at + v * kLanes), weight);
    }
    for (int v = 0; v < kVectors; ++v) store_f(out + at + v * kLanes, sums[v]);
}

void down_f32(const uint8_t* const* rows, const float* weights, int count, int n, float* out) {
    int i = 0;
    for (; i + 4 * kLanes <= n; i += 4 * kLanes) down_f32_block<4>(rows, weights, count, i, out);
    for (; i + kLanes <= n; i += kLanes) down_f32_block<1>(rows, weights, count, i, out);
    for (; i < n; ++i) {
        float sum = 0.0f;
        for (int j = 0; j < count; ++j) sum += weights[j] * static_cast<float>(rows[j][i]);
        out[i] = sum;
    }
}

// `line` has one float to spare at its end: a pixel is read as four.
void across_f32(const float* line, const TapsView<float>& taps, int n, float* const* planes) {
    for (int x = 0; x < n; ++x) {
        const float* weights = taps.weights + static_cast<ptrdiff_t>(x) * taps.taps;
        const float* pixel = line + 3 * static_cast<ptrdiff_t>(taps.first[x]);
        Quad sum = splat_quad(0.0f);
        for (int j = 0; j < taps.count[x]; ++j) sum = add_product_quad(sum, load_quad(pixel + 3 * j), splat_quad(weights[j]));
        float made[4];
        store_quad(made, sum);
        for (int c = 0; c < 3; ++c) planes[c][x] = made[c];
    }
}

}  // namespace

extern const Lanes GEOPIXEL_LANES(GEOPIXEL_ISA);
const Lanes GEOPIXEL_LANES(GEOPIXEL_ISA) = {
    GEOPIXEL_NAME(GEOPIXEL_ISA), transpose, across, down, normalise, to_half, cubic, normalise_sums, down_f32, across_f32,
    normalise_f32,
};

}  // namespace geopixel
