// One policy with its parameters: what a settings file, a case file and a trace's attributes hold.
#pragma once
#include <filesystem>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "policies/params.h"

namespace reattend {

struct PolicyInfo;
struct PolicyParameter;

/// Attends to everything: what other policies are held against.
inline constexpr std::string_view kFullAttention = "full";
/// Taken by commands that try a policy where nobody names one.
inline constexpr std::string_view kDefaultPolicy = "recycled";

/// A policy's name and the parameters that differ from their defaults. Values are always within their ranges.
class Settings {
 public:
  explicit Settings(std::string_view policy = kFullAttention) : policy_(policy) {}

  const std::string& policy() const { return policy_; }
  bool is_full() const { return policy_ == kFullAttention; }
  /// The policy's row of the registry. Throws Error (usage), listing the known ones, where there is none.
  const PolicyInfo& info() const;
  bool takes(std::string_view key) const;
  /// Whether the policy takes `key` and another parameter does not keep it from deciding anything, as schedule = fixed
  /// keeps recycled's threshold.
  bool decides(std::string_view key) const;
  /// Sets that other parameter, so that `key`, which the policy takes, decides.
  void let_decide(std::string_view key);
  /// A line for each parameter that is set and decides nothing, with what it would take.
  std::vector<std::string> without_effect() const;
  /// These values under another policy, as far as that takes them; its defaults otherwise.
  Settings under(std::string_view policy) const;

  /// Sets a checked value. Throws Error (usage) when the policy does not take `key` or the value is out of range.
  void set(std::string_view key, const Value& value);
  /// The set value, or the parameter's default.
  const Value& get(std::string_view key) const;
  /// Whether the value differs from the default.
  bool is_set(std::string_view key) const { return values_.contains(key); }

  /// Typed reads, resolved for a layer and a prompt of n_prompt tokens (fractions rounded down; lists give their
  /// layer's value). A list may mix counts and fractions. Throws Error (usage) for a fraction that is 0 of the prompt's
  /// tokens.
  int64_t count(std::string_view key, int layer, int64_t n_prompt) const;
  /// S: nothing stands for `never`.
  std::optional<int64_t> count_or_never(std::string_view key, int layer) const;
  double real(std::string_view key, int layer) const;
  /// Whether the value follows from other parameters.
  bool is_auto(std::string_view key) const;
  const std::string& choice(std::string_view key) const;
  std::vector<int64_t> layers(std::string_view key) const;
  /// Lists must have n_layer entries, layer indices must exist: throws Error (usage) otherwise.
  void check_against_model(int n_layer) const;

  /// "recycled S=16 K=512 schedule=query threshold=0.85": only what differs from the defaults, plus S, K and what such
  /// a value makes decide, as the threshold here. Of lists for many layers the ends alone: "K=L/64..L/2 by layer".
  /// `without`: keys that it leaves out.
  std::string summary(std::initializer_list<std::string_view> without = {}) const;

  /// {"name": "recycled", "K": 64, "S": null, ...} as in case files. Unknown keys are errors naming `where`.
  static Settings from_json(const nlohmann::json& object, const std::string& where);
  /// Every parameter the policy takes, so that a file means the same under other defaults.
  nlohmann::json to_json() const;
  /// A settings file: [policy] name = "recycled", K = 512, ... ; other tables (evidence) are left alone.
  static Settings from_toml_file(const std::filesystem::path& path);
  static Settings from_toml(std::string_view text, const std::string& where);
  /// The [policy] table as TOML text, every parameter that the policy takes in it.
  std::string to_toml() const;

  bool operator==(const Settings&) const = default;

 private:
  void store(const PolicyParameter& taken, const Value& value, const std::string& where);
  std::string policy_;
  std::map<std::string, Value, std::less<>> values_;
};

}  // namespace reattend
