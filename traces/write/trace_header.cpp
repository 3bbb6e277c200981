// Derives what of a header follows from the rest of it.
#include "traces/write/trace_header.h"

#include <ctime>

namespace reattend {
namespace {

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace

int32_t TraceHeader::columns_for(int32_t steps) const {
  const auto n = static_cast<int32_t>(prompt.size()) + steps;
  return maps == Maps::dense ? n : maps == Maps::binned ? (n + map_bin - 1) / map_bin : 0;
}

void TraceHeader::complete() {
  if (n_column == 0) n_column = columns_for(expected_steps);
  if (created_utc.empty()) created_utc = utc_now();
  if (maps != Maps::top) n_map = 0;
  if (maps != Maps::binned) map_bin = 0;
  n_prompt = static_cast<int32_t>(prompt.size());
  n_vocab = static_cast<int32_t>(vocab.size());
  n_step = 0;
  minor = kNewest;
}

}  // namespace reattend
