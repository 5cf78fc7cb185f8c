// What the bindings take from Python, checked, and how they hand vectors back; included by bindings.cpp alone.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>

#include "kernels.h"

namespace py = pybind11;
using namespace geopixel;

namespace {

using Sides = std::tuple<int64_t, int64_t, int64_t, int64_t>;
using Triple = std::array<double, 3>;

template <typename T>
void require_array(const py::array& array, int axes, const char* message) {
    require(array.dtype().equal(py::dtype::of<T>()) && array.ndim() == axes, message);
}

int side(py::ssize_t value, const char* message) {
    require(value >= 1 && value <= kMaxSidePx, message);
    return static_cast<int>(value);
}

int checked_threads(int threads) {
    require(threads >= 0 && threads <= 1024, "threads is not in 0..1024");
    return threads;
}

Image as_image(const py::array& array) {
    require_array<uint8_t>(array, 3, "image is not a uint8 array of shape (height, width, 3)");
    require(array.shape(2) == 3, "image has not 3 channels");
    const int height = side(array.shape(0), "image height is not in 1..65535");
    const int width = side(array.shape(1), "image width is not in 1..65535");
    const bool packed = array.strides(2) == 1 && (width == 1 || array.strides(1) == 3);
    require(packed && (height == 1 || array.strides(0) >= 3 * static_cast<py::ssize_t>(width)),
            "image pixels are not side by side in rows of positive stride");
    return {static_cast<const uint8_t*>(array.data()), height, width, height == 1 ? 3 * width : array.strides(0)};
}

Scaling as_scaling(const Triple& mean, const Triple& std) {
    Scaling scaling{};
    for (size_t c = 0; c < 3; ++c) {
        require(std::isfinite(mean[c]) && std::isfinite(std[c]) && std[c] > 0, "mean or std is not finite and positive");
        scaling.mean[c] = static_cast<float>(mean[c]);
        scaling.std[c] = static_cast<float>(std[c]);
    }
    return scaling;
}

RleView as_rle(const Sides& box, const py::array& counts) {
    require_array<uint32_t>(counts, 1, "counts is not a uint32 array of one axis");
    require(counts.size() < 2 || counts.strides(0) == 4, "counts is not contiguous");
    const auto [x, y, w, h] = box;
    return {{x, y, w, h}, static_cast<const uint32_t*>(counts.data()), static_cast<size_t>(counts.size())};
}

// Hands a vector's memory to NumPy without a copy.
template <typename T>
py::array_t<T> as_array(std::vector<T>&& values) {
    auto owned = std::make_unique<std::vector<T>>(std::move(values));
    std::vector<T>* raw = owned.get();
    py::capsule owner(raw, [](void* held) { delete static_cast<std::vector<T>*>(held); });
    owned.release();
    return py::array_t<T>(static_cast<py::ssize_t>(raw->size()), raw->data(), owner);
}

py::tuple as_tuple(Rle&& rle) {
    const Box box = rle.box;
    return py::make_tuple(box.x, box.y, box.w, box.h, as_array(std::move(rle.counts)));
}

// A new array that starts at a cache line; large ones ask for huge pages, which are made far faster than small ones.
py::array new_output(const py::dtype& type, const std::vector<py::ssize_t>& shape) {
    constexpr size_t kHuge = size_t{2} << 20;
    size_t bytes = static_cast<size_t>(type.itemsize());
    for (const py::ssize_t length : shape) bytes *= static_cast<size_t>(length);
    const size_t alignment = bytes >= 2 * kHuge ? kHuge : 64;
    bytes = (bytes + alignment - 1) / alignment * alignment;
    void* memory = std::aligned_alloc(alignment, bytes);
    if (memory == nullptr) throw std::bad_alloc();
    py::capsule owner(memory, [](void* held) { std::free(held); });
#if defined(__linux__)
    if (alignment == kHuge) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    return py::array(type, shape, memory, owner);
}

// The caller's array when it is one of this shape that can be written, a new one when it is None.
py::array as_output(const py::object& out, const char* type, const std::vector<py::ssize_t>& shape) {
    if (out.is_none()) return new_output(py::dtype(type), shape);
    require(py::isinstance<py::array>(out), "out is not an array");
    py::array array = py::reinterpret_borrow<py::array>(out);
    require(array.dtype().equal(py::dtype(type)) && array.ndim() == 4, "out has another dtype or number of axes");
    require((array.flags() & py::array::c_style) != 0 && array.writeable(), "out is not C-contiguous and writeable");
    require(std::equal(shape.begin(), shape.end(), array.shape()), "out has another shape than the result");
    return array;
}

}  // namespace
