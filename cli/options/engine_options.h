// `--model` and `--device` of commands that run a trace's text in the engine.
#pragma once
#include <string>

#include <CLI/CLI.hpp>

#include "cli/options/prompt_cache_option.h"
#include "evals/traced_run.h"

namespace reattend::cli {

struct EngineOptions {
  std::string model;  ///< empty: the default model
  std::string device = "cpu";
  PromptCacheOption prompt_cache;

  /// --model and --device; `otherwise`: what happens without --model.
  void add_to(CLI::App& app, const std::string& otherwise = "the default model");
  /// Throws Error for a model that is not there, or (usage) an unknown device.
  TracedModel traced() const;
};

}  // namespace reattend::cli
