// What `reattend tune` sweeps: the policies, the lists of values to try, and settings that are tried beside them.
#pragma once
#include <string>
#include <vector>

#include "cli/options/policy_options.h"
#include "tune/grid.h"

namespace reattend::cli {

/// Must stay where it is once add_to() was called.
struct GridOptions {
  std::string budgets, strides, gate_strides, thresholds, policies;
  std::vector<std::string> sweeps;
  PolicyOptions policy;

  void add_to(CLI::App& command);
  /// The policies of --policy, --settings and --policies, recycled where these name none to sweep. Lists and the
  /// policies' own options hold for every policy that takes them. Throws Error (usage) for one that none of them takes,
  /// for a single value of what is swept, and for two lists of one parameter.
  TuneGrid grid() const;
  /// Lists by layer and layer indices must fit the model: throws Error (usage) naming the file that has them.
  void check_layers(const TuneGrid& grid, int32_t n_layer) const;
};

}  // namespace reattend::cli
