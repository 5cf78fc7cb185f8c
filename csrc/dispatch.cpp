// Chooses the row kernels once, by what the processor has.
#include <cstdlib>
#include <cstring>

#include "lanes.h"

namespace geopixel {

#if defined(__x86_64__)

extern const Lanes lanes_baseline, lanes_avx2, lanes_avx512;

namespace {

const Lanes& choose() {
    const char* asked = std::getenv("GEOPIXEL_EDGE_ISA");
    const bool any = asked == nullptr || std::strcmp(asked, "avx512") == 0;
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (any && avx512) return lanes_avx512;
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
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
