// A conformance case file: model, policy, prompt, and the tokens that follow.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "policies/settings.h"

namespace reattend::cli {

struct Case {
  std::string name;
  std::filesystem::path model;
  Settings settings;
  std::vector<int32_t> prompt, continuation;  ///< [L], [T + 1]
  int32_t n_step() const { return static_cast<int32_t>(continuation.size()) - 1; }
};

/// Throws Error where the file is no case. A model's name is looked for beside the file, then in the model store.
Case read_case(const std::filesystem::path& path);

/// Throws Error, naming the case, for lists of another number of layers, and for a continuation that the model's
/// vocabulary lacks: its last token is only predicted, so no operation of the model would look at it.
void check_against_model(const Case& one, int32_t n_layer, int32_t n_vocab);

}  // namespace reattend::cli
