// Row kernels, compiled once per instruction set from lanes.cpp and chosen when the extension is loaded.
// No standard library here: its inline functions must not be emitted for an instruction set the machine may lack.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace geopixel {

constexpr int kGroup = 16;         // source rows resized across together, one per byte of a vector
constexpr int kChunk = 64;         // output columns resized across together
constexpr int kPrecisionBits = 22;  // of Pillow's integer weights: 32 less 8 for the pixel and 2 for the sum

// One channel's normalisation. `fused` says that the reciprocal form was proved equal to dividing for every byte.
struct Unit {
    float mean, std, reciprocal_std, reciprocal_255;
    bool fused;
};

// Weights of one axis: output i reads count[i] inputs from first[i] on, weights[i * taps ..].
template <typename Weight>
struct TapsView {
    const int* first;
    const int* count;
    const Weight* weights;
    int taps;
};

struct Lanes {
    const char* name;
    // rows[16][begin, begin + bytes) -> block[byte][16]
    void (*transpose)(const uint8_t* const* rows, ptrdiff_t begin, int bytes, uint8_t* block);
    // block (from pixel `origin` on) -> columns x0 .. x0 + n as planes: out[row][channel * plane + x]
    void (*across)(const uint8_t* block, int origin, const TapsView<int32_t>& taps, int x0, int n, size_t plane,
                   uint8_t* const* out);
    // out[i] = sum of weights[j] * rows[j][i], rounded to bytes
    void (*down)(const uint8_t* const* rows, const int32_t* weights, int count, int n, uint8_t* out);
    void (*normalise)(const uint8_t* in, int n, const Unit& unit, float* out);
    // Rounds to the nearest float16, ties to even
    void (*to_half)(const float* in, int n, uint16_t* out);
    // Bicubic halves in 1/32: 19 * (b + c) - 3 * (a + d)
    void (*cubic)(const uint8_t* a, const uint8_t* b, const uint8_t* c, const uint8_t* d, int n, int16_t* out);
    // sums in 1/1024 -> normalised
    void (*normalise_sums)(const int32_t* in, int n, const Unit& unit, float* out);
    // The grounding encoder's float32 passes: down on bytes, across on interleaved RGB, normalisation of a plane
    void (*down_f32)(const uint8_t* const* rows, const float* weights, int count, int n, float* out);
    void (*across_f32)(const float* line, const TapsView<float>& taps, int n, float* const* planes);
    void (*normalise_f32)(const float* in, int n, const Unit& unit, float* out);
};

// Best set this machine has; GEOPIXEL_EDGE_ISA (baseline, avx2, avx512) asks for a lesser one.
const Lanes& lanes();

}  // namespace geopixel
