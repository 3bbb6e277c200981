// The policy and its parameters on the command line: every parameter of every policy is an option.
#pragma once
#include <map>
#include <span>
#include <string>

#include <CLI/CLI.hpp>

#include "policies/policy.h"

namespace reattend::cli {

/// One option per parameter; what is given goes to `given`, which must stay where it is.
void add_parameter_options(CLI::App& app, std::map<std::string, Value>& given);

/// One line on stderr where the model has a window of its own in every layer: none of these policies, but for full
/// attention's, does anything there.
void note_where_nothing_acts(std::span<const Settings> settings, const RunShape& shape);

/// A line on stderr for each parameter that is set and decides nothing under the others.
void note_without_effect(std::span<const Settings> settings);  // [n]

/// --policy, --settings and one option per parameter. Must stay where it is once add_to() was called.
struct PolicyOptions {
  std::string policy;  ///< --policy; empty: the file's, or `initial`
  std::string file;    ///< --settings
  /// Policy when neither option is given.
  std::string initial{kFullAttention};
  /// For a command that tries several values of what a tuner tries: help shows the parameters of one policy, `initial`
  /// or that of --policy, without those that have lists of their own (is_listed).
  bool sweeps = false;
  std::map<std::string, Value> given;  ///< by key, from the parameters' own options

  void add_to(CLI::App& app);
  /// The file's settings under --policy, without the parameters' own options.
  Settings base() const;
  /// The file's settings under the options: an option replaces the file's value; another policy than the file's keeps
  /// those of the file's values that it takes as well. Throws Error for an unknown policy, a parameter that the policy
  /// does not take, or an unreadable file.
  Settings settings() const;
  /// Whether a command that sweeps takes a list of values for it rather than one.
  static bool is_listed(const Parameter& parameter);
  /// Settings::check_against_model(), whose error names the file where a list of it is of another length.
  void check_layers(const Settings& settings, int32_t n_layer) const;

 private:
  /// In help; all are accepted.
  void show_parameters_of(CLI::App& app, const std::string& name) const;
};

}  // namespace reattend::cli
