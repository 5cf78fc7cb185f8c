// Outlines of a mask on exact pixel edges. Twin: geopixel_edge/twins/polygons.py, equal bit for bit.
//
// Corners of the outline pair up along each vertical and along each horizontal line; following the pairs in turn
// gives closed cycles. Where two pixels meet by a corner only, that corner exists twice, each copy with the edges of
// one pixel, so the pixels stay apart; a cycle that passes both copies is cut there into simple rings.
#include <algorithm>

#include "kernels.h"

namespace geopixel {

namespace {

struct Corner {
    int32_t x, y;
    int32_t across = -1, along = -1;  // the other end of its horizontal and of its vertical edge
    int32_t copy = -1;                // the corner's second copy
    int32_t position = -1;            // in the path being walked
    int32_t span;                     // of a pixel the outline belongs to, right below or left below
    bool inside;                      // the pixel right below is in the mask
    bool seen = false;
};

struct Piece {
    int32_t root;
    bool hole;
    Ring ring;
};

// Walks the edges of spans [from, to) of one column downwards.
struct Edges {
    const Spans& spans;
    int32_t span, end;
    bool inside = false;

    int32_t y() const { return span == end ? INT32_MAX : inside ? spans[span].y1 : spans[span].y0; }
    void step() {
        if (inside) ++span;
        inside = !inside;
    }
};

struct Outline {
    std::vector<Corner> corners;
    std::vector<std::vector<int32_t>> rows;  // corners of each horizontal line, by x

    void add_line(const Spans& spans, const std::vector<int32_t>& starts, int32_t x0, int32_t top, int32_t line) {
        const auto column = [&](int32_t index) {
            const bool outside = index < 0 || index + 1 >= static_cast<int32_t>(starts.size());
            return outside ? Edges{spans, 0, 0} : Edges{spans, starts[index], starts[index + 1]};
        };
        Edges left = column(line - 1), right = column(line);
        const size_t begin = corners.size();
        while (left.y() != INT32_MAX || right.y() != INT32_MAX) {
            const int32_t y = std::min(left.y(), right.y());
            const bool upper_left = left.inside, in_left = left.y() == y, in_right = right.y() == y;
            if (in_left) left.step();
            if (in_right) right.step();
            if (in_left && in_right && left.inside == right.inside) continue;
            Corner corner{};
            corner = {x0 + line, y, -1, -1, -1, -1, right.inside ? right.span : left.inside ? left.span : -1, right.inside};
            const int32_t index = static_cast<int32_t>(corners.size());
            std::vector<int32_t>& row = rows[static_cast<size_t>(y - top)];
            corners.push_back(corner);
            if (in_left && in_right) {
                corners[index].copy = index + 1;
                corner.copy = index;
                corners.push_back(corner);
                row.push_back(upper_left ? index : index + 1);
                row.push_back(upper_left ? index + 1 : index);
            } else {
                row.push_back(index);
            }
        }
        for (size_t i = begin; i + 1 < corners.size(); i += 2) {
            corners[i].along = static_cast<int32_t>(i + 1);
            corners[i + 1].along = static_cast<int32_t>(i);
        }
    }

    void link_rows() {
        for (const auto& row : rows) {
            for (size_t i = 0; i + 1 < row.size(); i += 2) {
                corners[row[i]].across = row[i + 1];
                corners[row[i + 1]].across = row[i];
            }
        }
    }
};

Piece close(const std::vector<Corner>& corners, const int32_t* path, size_t size, int32_t root) {
    Piece piece{root, false, {}};
    const auto less = [&corners](int32_t a, int32_t b) {
        return corners[a].x != corners[b].x ? corners[a].x < corners[b].x : corners[a].y < corners[b].y;
    };
    const size_t first = static_cast<size_t>(std::min_element(path, path + size, less) - path);
    int64_t doubled = 0;
    for (size_t i = 0; i <= size; ++i) {
        const Corner& corner = corners[path[(first + i) % size]];
        if (i > 0) {
            const auto& last = piece.ring.back();
            doubled += static_cast<int64_t>(last[0]) * corner.y - static_cast<int64_t>(corner.x) * last[1];
        }
        piece.ring.push_back({corner.x, corner.y});
    }
    piece.hole = doubled < 0;
    return piece;
}

// Outlines leave their least corner to the right and holes downwards, which gives them opposite orientation.
void walk(std::vector<Corner>& corners, int32_t start, int32_t root, std::vector<Piece>& pieces) {
    std::vector<int32_t> path;
    bool across = corners[start].inside;
    for (int32_t here = start; !corners[here].seen; across = !across) {
        Corner& corner = corners[here];
        corner.seen = true;
        if (corner.copy >= 0 && corners[corner.copy].position >= 0) {
            const size_t from = static_cast<size_t>(corners[corner.copy].position);
            pieces.push_back(close(corners, path.data() + from, path.size() - from, root));
            for (size_t i = from; i < path.size(); ++i) corners[path[i]].position = -1;
            path.resize(from);
        }
        corner.position = static_cast<int32_t>(path.size());
        path.push_back(here);
        here = across ? corner.across : corner.along;
    }
    pieces.push_back(close(corners, path.data(), path.size(), root));
    for (const int32_t index : path) corners[index].position = -1;
}

}  // namespace

std::vector<std::vector<Ring>> polygons(const Spans& spans) {
    std::vector<std::vector<Ring>> found;
    if (spans.empty()) return found;
    const int32_t x0 = spans.front().x;
    int32_t top = INT32_MAX, below = 0;
    for (const Span& span : spans) {
        top = std::min(top, span.y0);
        below = std::max(below, span.y1);
    }
    const std::vector<int32_t> starts = column_starts(spans), roots = components(spans, starts, false);
    Outline outline;
    outline.rows.resize(static_cast<size_t>(below - top) + 1);
    for (int32_t line = 0; line < static_cast<int32_t>(starts.size()); ++line) {
        outline.add_line(spans, starts, x0, top, line);
    }
    outline.link_rows();
    std::vector<Piece> pieces;
    for (size_t i = 0; i < outline.corners.size(); ++i) {
        const Corner& corner = outline.corners[i];
        if (!corner.seen) walk(outline.corners, static_cast<int32_t>(i), roots[corner.span], pieces);
    }
    std::sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) {
        if (a.root != b.root) return a.root < b.root;
        return a.hole != b.hole ? b.hole : a.ring.front() < b.ring.front();
    });
    for (Piece& piece : pieces) {
        if (!piece.hole) found.emplace_back();
        found.back().push_back(std::move(piece.ring));
    }
    return found;
}

}  // namespace geopixel
