// Closed rings cut into chains, each drawn as one segment; shared by simplify.cpp and crossings.cpp alone.
#pragma once

#include "kernels.h"

namespace geopixel {

using Point = std::array<int32_t, 2>;

// Twice the signed area of a, b, c. Coordinates are at most 65535, so it is below 2^34.
inline int64_t cross(const Point& a, const Point& b, const Point& c) {
    return static_cast<int64_t>(b[0] - a[0]) * (c[1] - a[1]) - static_cast<int64_t>(b[1] - a[1]) * (c[0] - a[0]);
}

// Squared distance of p from the segment a, b in px^2; the order of its operations is the twin's.
double distance2(const Point& a, const Point& b, const Point& p);

// Vertices first..last of a closed ring, all within tolerance of the segment between the two ends.
struct Chain {
    int32_t ring, first, last;
    bool fresh;  // not compared with the other chains yet
    bool bad;
    double tolerance;

    bool exact() const { return last == first + 1; }
};

// A corner where two rings touch; both keep it.
struct Touch {
    std::array<int32_t, 2> ring, index;
};

struct Chains {
    std::vector<Ring*> rings;
    std::vector<Chain> chains;    // ring by ring, in the ring's order
    std::vector<int32_t> starts;  // of each ring's chains, and the end
    std::vector<Touch> touches;

    const Point& from(const Chain& chain) const { return (*rings[chain.ring])[chain.first]; }
    const Point& to(const Chain& chain) const { return (*rings[chain.ring])[chain.last]; }
};

// Sets `bad` of every chain that keeps the rings from being as valid as the exact ones and nested like them:
//  - its segment meets another one elsewhere than in an end of both, or runs along it;
//  - another ring's first vertex lies between the chain and its segment;
//  - it ends in its ring's first vertex, where the ring turns the other way, or in a touch, where the four segments
//    have another cyclic order.
// Rings without such chains are simple, run as before, touch where they touched and nowhere else, and lie inside or
// outside each other as before. Two exact chains are never at fault alone, so some bad chain can always be cut.
bool mark_bad(Chains& chains);

}  // namespace geopixel
