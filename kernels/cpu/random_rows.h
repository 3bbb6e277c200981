// Random rows of caches, for measurements and made-up runs.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/types.h"

namespace reattend {

/// n rows of independent normal values of variance 1, as a cache of `type` holds them; out is n rows. The same seed
/// gives the same bits. About 1.5 ns a value.
void random_rows(KvType type, int32_t d_head, int64_t n, uint64_t seed, std::span<std::byte> out);

}  // namespace reattend
