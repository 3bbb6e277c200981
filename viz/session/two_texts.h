// What a model writes from the same prompt under full attention and under a setting, and where the two texts part.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policies/settings.h"

namespace reattend::viz {

/// One text, token by token.
struct Written {
  std::string text;
  std::vector<int32_t> tokens;
  std::vector<size_t> ends;  ///< parallel: bytes of the text that is there after each token
};

struct TwoTexts {
  Settings settings;
  Written full, policy;
  size_t n_common = 0;  ///< tokens until the two part

  bool part() const { return n_common < full.tokens.size() || n_common < policy.tokens.size(); }
  /// The decode step after which they part: the one whose output chose another token. 0 where they do not.
  int32_t step() const { return part() ? static_cast<int32_t>(n_common) : 0; }
};

/// Of what `reattend run --json` printed. Throws Error for anything else.
Written read_written(std::string_view json);
TwoTexts hold_together(const Settings& settings, Written full, Written policy);

/// How many of the text's tokens were recorded, one after the other: steps up to that one are the recorded ones too.
/// `recorded` [n_prompt + ...]: the trace's tokens.
size_t n_recorded(const Written& text, std::span<const int32_t> recorded, int32_t n_prompt);

}  // namespace reattend::viz
