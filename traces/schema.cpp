// What the table of datasets says, as text, and which of them a trace holds in which sizes.
#include "traces/schema.h"

#include <array>

#include <fmt/format.h>

#include "traces/trace_info.h"

namespace reattend::schema {

std::string path_of(const Dataset& row) {
  return fmt::format("{}/{}", row.group, row.name);
}

std::string axes_of(const Dataset& row) {
  std::string axes;
  for (int i = 0; i < row.rank(); ++i) {
    axes += (i == 0 ? "" : ", ") + std::string(symbol(row.shape[static_cast<size_t>(i)]));
  }
  return axes;
}

std::string text_of(const Range& range) {
  constexpr std::array<const char*, 3> kGaps = {"", "; nan where nothing is compared", "; nan where not measured"};
  constexpr std::array<const char*, 4> kEnds = {"", "n_vocab-1", "L+T-1", "L+T"};
  const auto end = static_cast<size_t>(range.end), gaps = static_cast<size_t>(range.gaps);
  const bool open = range.end == Range::End::number && (std::isinf(range.high) || range.high == kCount.high);
  if (open && std::isinf(range.low)) return {};
  std::string text = open                    ? fmt::format("{:g} ..", range.low)
                     : std::isinf(range.low) ? fmt::format(".. {:g}", range.high)
                     : end > 0               ? fmt::format("{:g} .. {}", range.low, kEnds[end])
                                             : fmt::format("{:g} .. {:g}", range.low, range.high);
  return range.end == Range::End::position ? text : text + kGaps[gaps];  // of those, -1 says it
}

bool is_stored(const Dataset& row, const TraceInfo& info) {
  if (row.since > info.minor) return false;
  switch (row.when) {
    case When::always:
      return true;
    case When::values:
      return info.has_values;
    case When::row_sums:
      return info.has_prompt_row_sums;
    case When::top_maps:
      return info.maps == Maps::top;
    case When::dense_maps:
      return info.maps == Maps::dense;
    case When::binned_maps:
      return info.maps == Maps::binned;
  }
  return false;
}

Sizes sizes_of(const TraceInfo& info) {
  return {.n_layer = info.n_stored(),
          .n_head = info.n_head,
          .n_kv_head = info.n_kv_head,
          .d_head = info.d_head,
          .n_prompt = info.n_prompt,
          .n_vocab = info.n_vocab,
          .n_map = info.maps == Maps::top ? info.n_map : 0,
          .n_column = info.n_column,
          .n_overlap = static_cast<int64_t>(info.overlap_k.size()),
          .n_step = info.n_step};
}

}  // namespace reattend::schema
