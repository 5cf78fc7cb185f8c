// Python bindings: arguments checked, kernels called without the GIL, results handed over.
#include <cstring>

#include "arguments.h"
#include "lanes.h"

namespace {

py::array_t<uint8_t> py_resize(const py::array& image, int width, int height, bool vertical_first, int threads) {
    const Image in = as_image(image);
    side(width, "width_px is not in 1..65535");
    side(height, "height_px is not in 1..65535");
    checked_threads(threads);
    py::array_t<uint8_t> out({height, width, 3});
    uint8_t* data = out.mutable_data();
    py::gil_scoped_release released;
    resize(in, width, height, vertical_first, threads, data);
    return out;
}

py::array py_divide(const py::array& image, int rows, int cols, int resized_w, int resized_h, bool transposed, int tile,
                    const Triple& mean, const Triple& std, int pad, int threads, const py::object& given,
                    bool half) {
    const Image in = as_image(image);
    const Scaling scaling = as_scaling(mean, std);
    require(pad >= 0 && pad <= 255, "pad_value is not in 0..255");
    side(tile, "tile_px is not in 1..65535");
    side(rows, "rows is not in 1..65535");
    side(cols, "cols is not in 1..65535");
    require(int64_t{rows} * tile <= kMaxSidePx && int64_t{cols} * tile <= kMaxSidePx, "the grid is over 65535 px wide");
    const int width = transposed ? resized_h : resized_w, height = transposed ? resized_w : resized_h;
    require(width >= 1 && width <= cols * tile && height >= 1 && height <= rows * tile, "the resized image leaves the grid");
    checked_threads(threads);
    py::array out = as_output(given, half ? "float16" : "float32", {1 + py::ssize_t{rows} * cols, 3, tile, tile});
    void* data = out.mutable_data();
    const Views views{half ? nullptr : static_cast<float*>(data), half ? static_cast<uint16_t*>(data) : nullptr};
    py::gil_scoped_release released;
    divide(in, {rows, cols, resized_w, resized_h, transposed, tile, pad}, scaling, threads, views);
    return out;
}

py::array py_grounding(const py::array& image, int size, const Triple& mean, const Triple& std, int threads,
                       const py::object& given) {
    const Image in = as_image(image);
    const Scaling scaling = as_scaling(mean, std);
    side(size, "side_px is not in 1..65535");
    checked_threads(threads);
    py::array out = as_output(given, "float32", {1, 3, size, size});
    float* data = static_cast<float*>(out.mutable_data());
    py::gil_scoped_release released;
    grounding_input(in, size, scaling, threads, data);
    return out;
}

py::tuple py_mask_from_array(const py::array& mask) {
    require_array<bool>(mask, 2, "mask is not a bool array of two axes");
    require((mask.flags() & py::array::c_style) != 0, "mask is not C-contiguous");
    const int height = side(mask.shape(0), "mask height is not in 1..65535");
    const int width = side(mask.shape(1), "mask width is not in 1..65535");
    Rle rle;
    {
        py::gil_scoped_release released;
        rle = mask_from_array(static_cast<const uint8_t*>(mask.data()), height, width);
    }
    return as_tuple(std::move(rle));
}

py::list py_masks_from_logits(const py::array& logits, int height, int width, int threads) {
    require_array<float>(logits, 3, "logits is not a float32 array of shape (n, h, w)");
    require((logits.flags() & py::array::c_style) != 0, "logits is not C-contiguous");
    const int h = side(logits.shape(1), "logits height is not in 1..65535");
    const int w = side(logits.shape(2), "logits width is not in 1..65535");
    side(height, "height_px is not in 1..65535");
    side(width, "width_px is not in 1..65535");
    checked_threads(threads);
    const float* data = static_cast<const float*>(logits.data());
    const int n = static_cast<int>(logits.shape(0));
    std::vector<Rle> found;
    {
        py::gil_scoped_release released;
        require(all_finite(data, static_cast<size_t>(logits.size())), "logits are not finite");
        found = masks_from_logits(data, n, h, w, height, width, threads);
    }
    py::list masks;
    for (Rle& rle : found) masks.append(as_tuple(std::move(rle)));
    return masks;
}

py::array_t<bool> py_window(const Sides& box, const py::array& counts, const Sides& window) {
    const RleView rle = as_rle(box, counts);
    const auto [x, y, w, h] = window;
    Box{x, y, w, h}.check();
    py::array_t<bool> out({side(h, "window height is not in 1..65535"), side(w, "window width is not in 1..65535")});
    uint8_t* data = reinterpret_cast<uint8_t*>(out.mutable_data());
    py::gil_scoped_release released;
    std::memset(data, 0, static_cast<size_t>(w * h));
    decode_window(rle.spans(), {x, y, w, h}, data);
    return out;
}

int64_t py_overlap(const Sides& box_a, const py::array& counts_a, const Sides& box_b, const py::array& counts_b) {
    const RleView a = as_rle(box_a, counts_a), b = as_rle(box_b, counts_b);
    py::gil_scoped_release released;
    return overlap(a.spans(), b.spans());
}

py::tuple py_combine(const Sides& box_a, const py::array& counts_a, const Sides& box_b, const py::array& counts_b,
                     const std::string& kind) {
    const RleView a = as_rle(box_a, counts_a), b = as_rle(box_b, counts_b);
    require(kind == "union" || kind == "intersection" || kind == "difference",
            "kind is not union, intersection or difference");
    const Join join = kind == "union" ? Join::kUnion : kind == "intersection" ? Join::kIntersection : Join::kDifference;
    Rle rle;
    {
        py::gil_scoped_release released;
        rle = encode(combine(a.spans(), b.spans(), join));
    }
    return as_tuple(std::move(rle));
}

py::tuple py_clean(int height, int width, const Sides& box, const py::array& counts, int64_t max_hole, int64_t max_sprinkle) {
    const RleView rle = as_rle(box, counts);
    side(height, "height_px is not in 1..65535");
    side(width, "width_px is not in 1..65535");
    rle.box.check();
    require(rle.box.x + rle.box.w <= width && rle.box.y + rle.box.h <= height, "box leaves the image");
    Rle found;
    {
        py::gil_scoped_release released;
        found = encode(clean(rle.spans(), height, width, max_hole, max_sprinkle));
    }
    return as_tuple(std::move(found));
}

py::array_t<uint32_t> py_full(int height, int width, const Sides& box, const py::array& counts) {
    const RleView rle = as_rle(box, counts);
    side(height, "height_px is not in 1..65535");
    side(width, "width_px is not in 1..65535");
    rle.box.check();
    require(rle.box.x + rle.box.w <= width && rle.box.y + rle.box.h <= height, "box leaves the image");
    return as_array(encode_in(rle.spans(), {0, 0, width, height}));
}

py::tuple py_crop(int height, int width, const py::array& counts) {
    side(height, "height_px is not in 1..65535");
    side(width, "width_px is not in 1..65535");
    return as_tuple(encode(as_rle({0, 0, width, height}, counts).spans()));
}

py::str py_string(const py::array& counts) {
    const RleView rle = as_rle({0, 0, 0, 0}, counts);
    return py::str(coco_string(rle.counts, rle.size));
}

py::list py_polygons(const Sides& box, const py::array& counts, double tolerance) {
    const RleView rle = as_rle(box, counts);
    require(tolerance >= 0 && tolerance <= kMaxTolerancePx, "tolerance_px is not in 0..256");
    std::vector<std::vector<Ring>> found;
    {
        py::gil_scoped_release released;
        found = polygons(rle.spans());
        if (tolerance > 0) simplify(found, tolerance);
    }
    py::list all;
    for (const auto& polygon : found) {
        py::list rings;
        for (const Ring& ring : polygon) {
            py::array_t<int32_t> points({static_cast<py::ssize_t>(ring.size()), py::ssize_t{2}});
            std::memcpy(points.mutable_data(), ring.data(), ring.size() * sizeof(ring[0]));
            rings.append(points);
        }
        all.append(rings);
    }
    return all;
}

}  // namespace

PYBIND11_MODULE(_native, m) {
    m.doc() = "C++ kernels of geopixel_edge; signatures in _native.pyi, plain twins in geopixel_edge.twins";
    m.attr("MAX_SIDE_PX") = kMaxSidePx;
    m.attr("MAX_TOLERANCE_PX") = kMaxTolerancePx;
    m.attr("INSTRUCTION_SET") = lanes().name;
    using py::arg;
    m.def("resize", &py_resize, arg("image"), arg("width_px"), arg("height_px"), arg("vertical_first"), arg("threads") = 0);
    m.def("divide", &py_divide, arg("image"), arg("rows"), arg("cols"), arg("resized_w_px"), arg("resized_h_px"),
          arg("transposed"), arg("tile_px"), arg("mean"), arg("std"), arg("pad_value"), arg("threads") = 0,
          arg("out") = py::none(), arg("half") = false);
    m.def("grounding_input", &py_grounding, arg("image"), arg("side_px"), arg("mean"), arg("std"), arg("threads") = 0,
          arg("out") = py::none());
    m.def("mask_from_array", &py_mask_from_array, arg("mask"));
    m.def("masks_from_logits", &py_masks_from_logits, arg("logits"), arg("height_px"), arg("width_px"), arg("threads") = 0);
    m.def("rle_window", &py_window, arg("box"), arg("counts"), arg("window"));
    m.def("rle_overlap", &py_overlap, arg("box_a"), arg("counts_a"), arg("box_b"), arg("counts_b"));
    m.def("rle_combine", &py_combine, arg("box_a"), arg("counts_a"), arg("box_b"), arg("counts_b"), arg("kind"));
    m.def("rle_clean", &py_clean, arg("height_px"), arg("width_px"), arg("box"), arg("counts"), arg("max_hole_px"),
          arg("max_sprinkle_px"));
    m.def("rle_full", &py_full, arg("height_px"), arg("width_px"), arg("box"), arg("counts"));
    m.def("rle_crop", &py_crop, arg("height_px"), arg("width_px"), arg("counts"));
    m.def("rle_string", &py_string, arg("counts"));
    m.def("rle_parse", [](const std::string& text) { return as_array(coco_parse(text)); }, arg("text"));
    m.def("rle_polygons", &py_polygons, arg("box"), arg("counts"), arg("tolerance_px") = 0.0);
}
