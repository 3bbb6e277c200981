// Which model, on which device, how to sample: the options of commands that run a model.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/model_store.h"  // IWYU pragma: export
#include "engine/backend/backend.h"
#include "engine/model/model.h"
#include "engine/text/sampler.h"

namespace reattend::cli {

/// File name of the default model in the store.
inline constexpr std::string_view kDefaultModel = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// A path as it is; a bare file name that is not in the working folder is looked up in the store, as is the file of a
/// model that is named as in the catalogue.
/// Throws Error when there is no such file, with the way to get it.
std::filesystem::path find_model(const std::string& model);

/// Model and device. Defaults are the fast path: f16 cache, 8-bit activations.
struct ModelOptions {
  std::string model{kDefaultModel};
  std::string device = "cpu", kv = "f16", activations = "q8";
  std::string prefill = "f32";  ///< or bf16; empty: what is fastest here
  int64_t ctx = 0;              ///< positions; 0: what the model was trained for

  void add_to(CLI::App& app);
  /// --prefill, for commands whose prompts need not be those of a trace, bit for bit: what is fastest unless given.
  void add_prefill_to(CLI::App& app);
  /// Throws Error (usage) naming the option whose value is not one of its choices.
  BackendOptions backend() const;
  /// The cache's size for a prompt of n_prompt tokens and n_step steps. Throws Error when they do not fit; warns on
  /// stderr when --ctx goes beyond what the model was trained for.
  int32_t n_ctx(const ModelShape& shape, int64_t n_prompt, int64_t n_step) const;
};

/// A whole text file's content. `option` names it in errors: unreadable, a folder, longer than any text should be.
std::string read_text_file(const std::string& option, const std::string& path);

/// --temperature, --top-k, --top-p, --seed, range-checked. Throws Error (usage).
void add_sampler_options(CLI::App& app, SamplerOptions& options);

}  // namespace reattend::cli
