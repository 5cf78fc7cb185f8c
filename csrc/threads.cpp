// Even work split over std::thread; the first exception of any part is rethrown to the caller.
#include <algorithm>
#include <exception>
#include <system_error>
#include <thread>

#include "kernels.h"

namespace geopixel {

void parallel(int threads, int64_t items, const std::function<void(int64_t, int64_t)>& body) {
    const int64_t cores = threads > 0 ? threads : std::max(1u, std::thread::hardware_concurrency());
    const int64_t parts = std::max<int64_t>(1, std::min(cores, items));
    std::vector<std::exception_ptr> errors(static_cast<size_t>(parts));
    const auto part = [&](int64_t index) noexcept {
        try {
            body(items * index / parts, items * (index + 1) / parts);
        } catch (...) {
            errors[static_cast<size_t>(index)] = std::current_exception();
        }
    };
    std::vector<std::thread> pool;
    pool.reserve(static_cast<size_t>(parts));
    int64_t started = 1;
    try {
        for (; started < parts; ++started) pool.emplace_back(part, started);
    } catch (const std::system_error&) {
        // No more threads to be had: the caller's own does the rest below.
    }
    part(0);
    for (int64_t index = started; index < parts; ++index) part(index);
    for (auto& worker : pool) worker.join();
    for (const auto& error : errors) {
        if (error) std::rethrow_exception(error);
    }
}

}  // namespace geopixel
