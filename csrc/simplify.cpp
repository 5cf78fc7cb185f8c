// Outlines with fewer vertices. Twin: geopixel_edge/twins/simplify.py, equal bit for bit.
//
// Douglas-Peucker with distances to segments: each chain of vertices that one segment replaces lies within the
// tolerance of it. A chain and its segment have the same ends, so every point of the segment is also within the
// tolerance of the chain: the Hausdorff distance of old and new boundary is at most the tolerance. Chains that
// mark_bad finds are cut again with half of their tolerance, in the end with 0, which gives the exact ring back.
#include <algorithm>
#include <cstdlib>

#include "chains.h"

namespace geopixel {

double distance2(const Point& a, const Point& b, const Point& p) {
    const int64_t dx = b[0] - a[0], dy = b[1] - a[1], ax = p[0] - a[0], ay = p[1] - a[1];
    const int64_t along = dx * ax + dy * ay, length2 = dx * dx + dy * dy;
    if (along <= 0) return static_cast<double>(ax * ax + ay * ay);
    if (along >= length2) {
        const int64_t bx = p[0] - b[0], by = p[1] - b[1];
        return static_cast<double>(bx * bx + by * by);
    }
    const double area = static_cast<double>(dx * ay - dy * ax);
    return area * area / static_cast<double>(length2);
}

namespace {

// Longer chains are halved unseen, so that no ring takes quadratic time.
constexpr int32_t kLongestChain = 1024;
// Half a tolerance below this is 0.
constexpr double kLeastTolerance = 0.25;

// The vertex farthest from the segment, of several the one nearest to the chain's middle; 0 where all are within.
int32_t farthest(const Ring& ring, int32_t first, int32_t last, double tolerance) {
    double most = tolerance * tolerance;
    int32_t found = 0, off_middle = 0;
    for (int32_t i = first + 1; i < last; ++i) {
        const double distance = distance2(ring[first], ring[last], ring[i]);
        if (distance < most) continue;
        const int32_t off = std::abs(2 * i - first - last);
        if (distance > most || (found > 0 && off < off_middle)) {
            most = distance;
            found = i;
            off_middle = off;
        }
    }
    return found;
}

void cut(const Ring& ring, Chain whole, std::vector<Chain>& out) {
    whole.fresh = true;
    whole.bad = false;
    std::vector<Chain> todo{whole};
    while (!todo.empty()) {
        const Chain chain = todo.back();
        todo.pop_back();
        const bool longest = chain.last - chain.first > kLongestChain;
        const int32_t middle = longest ? chain.first + (chain.last - chain.first) / 2
                                       : farthest(ring, chain.first, chain.last, chain.tolerance);
        if (middle == 0) {
            out.push_back(chain);
            continue;
        }
        todo.push_back(chain);
        todo.back().first = middle;
        todo.push_back(chain);
        todo.back().last = middle;
    }
}

std::vector<Touch> find_touches(const std::vector<Ring*>& rings) {
    struct Vertex {
        Point point;
        int32_t ring, index;
    };
    std::vector<Vertex> vertices;
    for (size_t r = 0; r < rings.size(); ++r) {
        for (size_t i = 0; i + 1 < rings[r]->size(); ++i) {
            vertices.push_back({(*rings[r])[i], static_cast<int32_t>(r), static_cast<int32_t>(i)});
        }
    }
    std::sort(vertices.begin(), vertices.end(), [](const Vertex& a, const Vertex& b) {
        return a.point != b.point ? a.point < b.point : a.ring < b.ring;
    });
    std::vector<Touch> found;
    for (size_t i = 1; i < vertices.size(); ++i) {
        const Vertex &a = vertices[i - 1], &b = vertices[i];
        if (a.point == b.point) found.push_back({{a.ring, b.ring}, {a.index, b.index}});
    }
    return found;
}

// Every ring keeps its first vertex, the one farthest from that (the first of several), and where it touches others.
void first_cut(Chains& chains, double tolerance) {
    std::vector<std::vector<int32_t>> kept(chains.rings.size());
    for (const Touch& touch : chains.touches) {
        for (int side = 0; side < 2; ++side) kept[touch.ring[side]].push_back(touch.index[side]);
    }
    chains.starts.push_back(0);
    for (size_t r = 0; r < chains.rings.size(); ++r) {
        const Ring& ring = *chains.rings[r];
        const auto nearer = [&ring](const Point& a, const Point& b) {
            return distance2(ring[0], ring[0], a) < distance2(ring[0], ring[0], b);
        };
        std::vector<int32_t>& ends = kept[r];
        ends.push_back(0);
        ends.push_back(static_cast<int32_t>(std::max_element(ring.begin(), ring.end(), nearer) - ring.begin()));
        ends.push_back(static_cast<int32_t>(ring.size()) - 1);
        std::sort(ends.begin(), ends.end());
        ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
        for (size_t i = 1; i < ends.size(); ++i) {
            cut(ring, {static_cast<int32_t>(r), ends[i - 1], ends[i], true, false, tolerance}, chains.chains);
        }
        chains.starts.push_back(static_cast<int32_t>(chains.chains.size()));
    }
}

void cut_bad(Chains& chains) {
    std::vector<Chain> next;
    next.reserve(chains.chains.size());
    std::vector<int32_t> starts{0};
    for (size_t r = 0; r < chains.rings.size(); ++r) {
        for (int32_t i = chains.starts[r]; i < chains.starts[r + 1]; ++i) {
            Chain chain = chains.chains[i];
            if (chain.bad && !chain.exact()) {
                chain.tolerance = chain.tolerance / 2 < kLeastTolerance ? 0.0 : chain.tolerance / 2;
                cut(*chains.rings[r], chain, next);
            } else {
                chain.bad = chain.fresh = false;
                next.push_back(chain);
            }
        }
        starts.push_back(static_cast<int32_t>(next.size()));
    }
    chains.chains = std::move(next);
    chains.starts = std::move(starts);
}

}  // namespace

void simplify(std::vector<std::vector<Ring>>& polygons, double tolerance_px) {
    Chains chains;
    for (auto& polygon : polygons) {
        for (Ring& ring : polygon) chains.rings.push_back(&ring);
    }
    chains.touches = find_touches(chains.rings);
    first_cut(chains, tolerance_px);
    while (mark_bad(chains)) cut_bad(chains);
    for (size_t r = 0; r < chains.rings.size(); ++r) {
        Ring& ring = *chains.rings[r];
        Ring kept;
        for (int32_t i = chains.starts[r]; i < chains.starts[r + 1]; ++i) kept.push_back(chains.from(chains.chains[i]));
        kept.push_back(ring.back());
        ring = std::move(kept);
    }
}

}  // namespace geopixel
