// The digests' first halves, one behind the other.
#include "traces/read/fingerprint.h"

#include <span>

#include "base/sha256.h"

namespace reattend {

std::string fingerprint(TraceReader& trace) {
  const std::vector<int32_t> tokens = trace.tokens();
  return sha256(std::as_bytes(std::span(tokens))).substr(0, 16) + trace.info().attribute("model_sha256").substr(0, 16);
}

}  // namespace reattend
