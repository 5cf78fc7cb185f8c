// Chooses the row kernels once, by what the processor has.
#include <cstdlib>
#include <cstring>

#include "lanes.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace geopixel {

#if defined(__x86_64__)

extern const Lanes lanes_baseline, lanes_avx2, lanes_avx512;

namespace {

// Not among the names every compiler's __builtin_cpu_supports knows.
bool has_f16c() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

const Lanes& choose() {
    const char* asked = std::getenv("GEOPIXEL_EDGE_ISA");
    const bool any = asked == nullptr || std::strcmp(asked, "avx512") == 0;
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    if (any && avx512 && avx2) return lanes_avx512;
    if ((any || std::strcmp(asked, "avx2") == 0) && avx2) return lanes_avx2;
    return lanes_baseline;
}

}  // namespace

#else

extern const Lanes lanes_neon;

namespace {

const Lanes& choose() { return lanes_neon; }

}  // namespace

#endif

const Lanes& lanes() {
    static const Lanes& chosen = choose();
    return chosen;
}

}  // namespace geopixel
