// Prints a digest of every kernel's results on fixed pseudo-random inputs: two machines, compilers or instruction
// sets that print the same give the same bits. No Python, so it runs under an emulator as it is.
#include <cstdio>
#include <cstring>

#include "kernels.h"
#include "lanes.h"

using namespace geopixel;

namespace {

uint64_t state = 1;

uint32_t next() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state >> 33);
}

struct Digest {
    uint64_t value = 14695981039346656037u;

    template <typename T>
    void add(const T* data, size_t size) {
        const auto* bytes = reinterpret_cast<const unsigned char*>(data);
        for (size_t i = 0; i < size * sizeof(T); ++i) value = (value ^ bytes[i]) * 1099511628211u;
    }
    void print(const char* name) const { std::printf("%-10s %016llx\n", name, static_cast<unsigned long long>(value)); }
};

Scaling scaling() { return {{0.48145466f, 0.4578275f, 0.40821073f}, {0.26862954f, 0.26130258f, 0.27577711f}}; }

void images(Digest& resized, Digest& divided, Digest& grounded) {
    for (int round = 0; round < 12; ++round) {
        const int height = 1 + static_cast<int>(next() % 180), width = 1 + static_cast<int>(next() % 300);
        std::vector<uint8_t> pixels(static_cast<size_t>(height) * width * 3);
        for (auto& pixel : pixels) pixel = static_cast<uint8_t>(next());
        const Image image{pixels.data(), height, width, 3 * static_cast<ptrdiff_t>(width)};
        const int out_h = 1 + static_cast<int>(next() % 200), out_w = 1 + static_cast<int>(next() % 250);
        std::vector<uint8_t> small(static_cast<size_t>(out_h) * out_w * 3);
        resize(image, out_w, out_h, round % 2 == 1, 2, small.data());
        resized.add(small.data(), small.size());
        const int rows = 1 + round % 4, cols = 1 + round / 4, tile = 33 + round;
        const int long_px = (round % 2 ? rows : cols) * tile, short_px = (round % 2 ? cols : rows) * tile - 5;
        std::vector<float> views(static_cast<size_t>(1 + rows * cols) * 3 * tile * tile);
        divide(image, {rows, cols, long_px, short_px, round % 2 == 1, tile, 255}, scaling(), 3, {views.data(), nullptr});
        divided.add(views.data(), views.size());
        std::vector<uint16_t> halves(views.size());
        divide(image, {rows, cols, long_px, short_px, round % 2 == 1, tile, 255}, scaling(), 2, {nullptr, halves.data()});
        divided.add(halves.data(), halves.size());
        std::vector<float> squashed(3 * 64 * 64);
        grounding_input(image, 64, scaling(), 2, squashed.data());
        grounded.add(squashed.data(), squashed.size());
    }
}

void outlines(const Spans& spans, Digest& outlined, Digest& simplified) {
    std::vector<std::vector<Ring>> found = polygons(spans);
    for (const auto& polygon : found) {
        for (const Ring& ring : polygon) outlined.add(ring.data(), ring.size());
    }
    simplify(found, 1.5);
    for (const auto& polygon : found) {
        for (const Ring& ring : polygon) simplified.add(ring.data(), ring.size());
    }
}

void masks(Digest& cut, Digest& outlined, Digest& simplified, Digest& written) {
    for (int round = 0; round < 12; ++round) {
        const int h = 1 + static_cast<int>(next() % 40), w = 1 + static_cast<int>(next() % 40);
        std::vector<float> logits(static_cast<size_t>(2) * h * w);
        for (auto& logit : logits) logit = static_cast<float>(next() % 2001) / 100.0f - 9.0f;
        const int height = 1 + static_cast<int>(next() % 150), width = 1 + static_cast<int>(next() % 150);
        const std::vector<Rle> found = masks_from_logits(logits.data(), 2, h, w, height, width, 2);
        Spans spans[2];
        for (int i = 0; i < 2; ++i) {
            cut.add(&found[i].box, 1);
            cut.add(found[i].counts.data(), found[i].counts.size());
            spans[i] = RleView{found[i].box, found[i].counts.data(), found[i].counts.size()}.spans();
            outlines(spans[i], outlined, simplified);
        }
        const Rle both = encode(combine(spans[0], spans[1], Join::kUnion));
        const std::string text = coco_string(both.counts.data(), both.counts.size());
        written.add(text.data(), text.size());
        const int64_t common = overlap(spans[0], spans[1]);
        written.add(&common, 1);
    }
}

}  // namespace

int main() {
    std::fprintf(stderr, "instruction set: %s\n", lanes().name);
    Digest resized, divided, grounded, cut, outlined, simplified, written;
    images(resized, divided, grounded);
    masks(cut, outlined, simplified, written);
    resized.print("resize");
    divided.print("divide");
    grounded.print("grounding");
    cut.print("masks");
    outlined.print("polygons");
    simplified.print("simplified");
    written.print("rle");
}
