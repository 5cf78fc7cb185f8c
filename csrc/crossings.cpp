// What is wrong with simplified outlines: see mark_bad in chains.h. Everything is decided in exact integers; the
// cells only spare comparisons. Twin: geopixel_edge/twins/crossings.py compares everything with everything.
#include <algorithm>
#include <cmath>
#include <iterator>

#include "chains.h"

namespace geopixel {

namespace {

constexpr int32_t kLeastCellShift = 2;  // cells of 4 x 4 px

// Square cells over the rings' box, each with the segments or points that may reach into it.
class Cells {
public:
    Cells(const Chains& chains, size_t items) {
        low_ = high_ = chains.rings.front()->front();
        for (const Ring* ring : chains.rings) {
            for (const Point& point : *ring) {
                for (int axis = 0; axis < 2; ++axis) {
                    low_[axis] = std::min(low_[axis], point[axis]);
                    high_[axis] = std::max(high_[axis], point[axis]);
                }
            }
        }
        while (size_t(row(high_[1]) + 1) * size_t(column(high_[0]) + 1) > 2 * items + 1024) ++shift_;
        columns_ = column(high_[0]) + 1;
        starts_.assign(static_cast<size_t>(columns_) * (row(high_[1]) + 1) + 1, 0);
    }

    template <typename Ends>
    void fill(size_t items, const Ends& ends) {
        for (size_t i = 0; i < items; ++i) visit(ends(i), 0, [&](size_t cell) { ++starts_[cell]; });
        for (size_t cell = 1; cell < starts_.size(); ++cell) starts_[cell] += starts_[cell - 1];
        items_.resize(starts_.back());
        for (size_t i = items; i-- > 0;) {
            visit(ends(i), 0, [&](size_t cell) { items_[--starts_[cell]] = static_cast<int32_t>(i); });
        }
    }

    // Calls use(cell) for every cell with a point within margin of the segment, and for some others.
    template <typename Use>
    void visit(const std::array<Point, 2>& ends, int32_t margin, const Use& use) const {
        const bool down = ends[0][1] <= ends[1][1];
        const Point &a = ends[down ? 0 : 1], &b = ends[down ? 1 : 0];
        const int64_t dx = b[0] - a[0], dy = std::max(b[1] - a[1], 1);
        for (int32_t y = row(a[1] - margin); y <= row(b[1] + margin); ++y) {
            const int64_t top = std::max(a[1], low_[1] + (y << shift_) - margin);
            const int64_t below = std::min(b[1], low_[1] + ((y + 1) << shift_) + margin);
            const int64_t x0 = a[0] + dx * (top - a[1]) / dy;
            const int64_t x1 = a[1] == b[1] ? b[0] : a[0] + dx * (below - a[1]) / dy;
            const int32_t left = column(std::min(x0, x1) - 1 - margin), right = column(std::max(x0, x1) + 1 + margin);
            for (int32_t x = left; x <= right; ++x) use(static_cast<size_t>(y) * columns_ + x);
        }
    }

    size_t size() const { return starts_.size() - 1; }
    const int32_t* begin(size_t cell) const { return items_.data() + starts_[cell]; }
    const int32_t* end(size_t cell) const { return items_.data() + starts_[cell + 1]; }

private:
    int32_t index(int64_t at, int axis) const {
        return static_cast<int32_t>(std::clamp<int64_t>(at, low_[axis], high_[axis]) - low_[axis]) >> shift_;
    }
    int32_t column(int64_t x) const { return index(x, 0); }
    int32_t row(int64_t y) const { return index(y, 1); }

    Point low_{}, high_{};
    int32_t shift_ = kLeastCellShift, columns_ = 0;
    std::vector<size_t> starts_;
    std::vector<int32_t> items_;
};

bool apart(int32_t a0, int32_t a1, int32_t b0, int32_t b1) {
    return std::max(a0, a1) < std::min(b0, b1) || std::max(b0, b1) < std::min(a0, a1);
}

int sign(int64_t value) { return (value > 0) - (value < 0); }

// Whether segments a, b and c, d have more in common than one end.
bool meet(const Point& a, const Point& b, const Point& c, const Point& d) {
    if (apart(a[0], b[0], c[0], d[0]) || apart(a[1], b[1], c[1], d[1])) return false;
    const bool at_a = a == c || a == d, at_b = b == c || b == d;
    if (at_a && at_b) return true;
    if (at_a || at_b) {
        const Point &end = at_a ? a : b, &p = at_a ? b : a, &q = end == c ? d : c;
        const int64_t along = static_cast<int64_t>(p[0] - end[0]) * (q[0] - end[0]) +
                              static_cast<int64_t>(p[1] - end[1]) * (q[1] - end[1]);
        return along > 0 && cross(end, p, q) == 0;
    }
    return sign(cross(a, b, c)) * sign(cross(a, b, d)) <= 0 && sign(cross(c, d, a)) * sign(cross(c, d, b)) <= 0;
}

void mark_meetings(Chains& chains) {
    std::vector<Chain>& all = chains.chains;
    Cells cells(chains, all.size());
    cells.fill(all.size(), [&](size_t i) { return std::array<Point, 2>{chains.from(all[i]), chains.to(all[i])}; });
    for (size_t cell = 0; cell < cells.size(); ++cell) {
        for (const int32_t* i = cells.begin(cell); i != cells.end(cell); ++i) {
            Chain& one = all[*i];
            for (const int32_t* j = i + 1; j != cells.end(cell); ++j) {
                Chain& other = all[*j];
                if ((one.exact() && other.exact()) || !(one.fresh || other.fresh) || (one.bad && other.bad)) continue;
                if (meet(chains.from(one), chains.to(one), chains.from(other), chains.to(other))) {
                    one.bad = other.bad = true;
                }
            }
        }
    }
}

// How often the chain and its segment, as one loop, run around the point.
int winding(const Ring& ring, const Chain& chain, const Point& point) {
    int turns = 0;
    for (int32_t i = chain.first; i <= chain.last; ++i) {
        const Point &a = ring[i], &b = ring[i == chain.last ? chain.first : i + 1];
        if (a[1] <= point[1] && b[1] > point[1]) turns += cross(a, b, point) > 0;
        if (a[1] > point[1] && b[1] <= point[1]) turns -= cross(a, b, point) < 0;
    }
    return turns;
}

void mark_overrun(Chains& chains) {
    Cells cells(chains, chains.rings.size());
    cells.fill(chains.rings.size(), [&](size_t r) {
        const Point& first = chains.rings[r]->front();
        return std::array<Point, 2>{first, first};
    });
    for (Chain& chain : chains.chains) {
        if (chain.exact() || !chain.fresh || chain.bad) continue;
        const Ring& ring = *chains.rings[chain.ring];
        const Point &from = chains.from(chain), &to = chains.to(chain);
        // What the loop of chain and segment surrounds is no farther from the segment than the chain's vertices.
        double most = 0;
        for (int32_t i = chain.first; i < chain.last; ++i) most = std::max(most, distance2(from, to, ring[i]));
        const int32_t margin = static_cast<int32_t>(std::sqrt(most)) + 1;
        const double reach2 = static_cast<double>(margin) * margin;
        cells.visit({from, to}, margin, [&](size_t cell) {
            for (const int32_t* r = cells.begin(cell); !chain.bad && r != cells.end(cell); ++r) {
                const Point& point = chains.rings[*r]->front();
                if (*r == chain.ring || point == from || point == to || distance2(from, to, point) > reach2) continue;
                chain.bad = winding(ring, chain, point) != 0;
            }
        });
    }
}

// The chains before and after a vertex that its ring keeps.
std::array<Chain*, 2> around(Chains& chains, int32_t ring, int32_t index) {
    const auto begin = chains.chains.begin() + chains.starts[ring], end = chains.chains.begin() + chains.starts[ring + 1];
    const auto after = std::lower_bound(begin, end, index, [](const Chain& chain, int32_t at) { return chain.first < at; });
    return {&*std::prev(after == begin ? end : after), &*after};
}

// Whether the direction from corner to p lies left of the way before, corner, after.
bool left_of(const Point& corner, const Point& before, const Point& after, const Point& p) {
    if (cross(corner, after, before) > 0) return cross(corner, after, p) > 0 && cross(corner, p, before) > 0;
    return cross(corner, before, p) < 0 || cross(corner, p, after) < 0;
}

int cyclic_order(const Point& corner, const std::array<Point, 2>& one, const std::array<Point, 2>& other) {
    int order = 0;
    for (int i = 0; i < 2; ++i) {
        order = order * 4 + 2 * left_of(corner, one[0], one[1], other[i]) + left_of(corner, other[0], other[1], one[i]);
    }
    return order;
}

void mark_turned(Chains& chains) {
    for (size_t r = 0; r < chains.rings.size(); ++r) {
        const Ring& ring = *chains.rings[r];
        Chain &last = chains.chains[chains.starts[r + 1] - 1], &first = chains.chains[chains.starts[r]];
        const int64_t turn = cross(chains.from(last), ring[0], chains.to(first));
        if (sign(turn) != sign(cross(ring[ring.size() - 2], ring[0], ring[1]))) first.bad = last.bad = true;
    }
    for (const Touch& touch : chains.touches) {
        std::array<std::array<Chain*, 2>, 2> near{};
        std::array<std::array<Point, 2>, 2> exact{}, now{};
        for (int side = 0; side < 2; ++side) {
            const Ring& ring = *chains.rings[touch.ring[side]];
            const int32_t index = touch.index[side], before = index > 0 ? index - 1 : static_cast<int32_t>(ring.size()) - 2;
            near[side] = around(chains, touch.ring[side], index);
            exact[side] = {ring[before], ring[index + 1]};
            now[side] = {chains.from(*near[side][0]), chains.to(*near[side][1])};
        }
        const Point& corner = (*chains.rings[touch.ring[0]])[touch.index[0]];
        if (cyclic_order(corner, exact[0], exact[1]) == cyclic_order(corner, now[0], now[1])) continue;
        for (const auto& pair : near) pair[0]->bad = pair[1]->bad = true;
    }
}

}  // namespace

bool mark_bad(Chains& chains) {
    if (chains.rings.empty()) return false;
    mark_meetings(chains);
    mark_overrun(chains);
    mark_turned(chains);
    return std::any_of(chains.chains.begin(), chains.chains.end(), [](const Chain& chain) { return chain.bad; });
}

}  // namespace geopixel
