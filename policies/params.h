// The parameter table: every knob of the program, declared once.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace reattend {

/// A parameter's value. std::monostate is `never` (S = infinity; null in JSON, "never" in text and TOML).
/// A string may hold the fraction "L/8", or "auto" (it follows from others), where the parameter allows it. Lists hold
/// a value per layer, or layer indices; a list of texts is one of counts where some entry is "L/8" or "never".
using Value = std::variant<std::monostate, bool, int64_t, double, std::string, std::vector<int64_t>,
                           std::vector<double>, std::vector<std::string>>;

enum class ParamType {
  count,       ///< integer; K also "L/n", S also never; with `per_layer` also a list
  real,        ///< double; with `per_layer` also a list
  choice,      ///< one of `choices`
  layer_list,  ///< list of layer indices
};

/// One row of the table. `key` is the canonical name of SEMANTICS (settings file, case files, trace attributes);
/// `flag` the long option of the command line without its dashes ("budget" for K), `--key` works as well.
struct Parameter {
  std::string_view key, flag;
  ParamType type = ParamType::count;
  Value initial;
  double low = 0, high = 0;  ///< inclusive range of numbers
  bool per_layer = false, allows_fraction = false, allows_never = false, allows_auto = false, odd = false;
  std::span<const std::string_view> choices = {};
  std::string_view unit = {};
  std::span<const std::string_view> policies;  ///< names of the policies that take it
  std::string_view help;
  /// Where a policy's default differs from `initial`.
  std::vector<std::pair<std::string_view, Value>> initial_of_policy = {};

  /// The default under a policy.
  const Value& initial_for(std::string_view policy) const;
  bool taken_by(std::string_view policy) const;
};

/// All parameters, in the order help and documentation show them.
std::span<const Parameter> parameters();
/// nullptr when there is none of that key or flag.
const Parameter* find_parameter(std::string_view key_or_flag);

/// Text as typed by a user -> value of that parameter, range-checked. Throws Error (usage) naming the range.
Value parse_value(const Parameter& parameter, std::string_view text);
/// An entry of a list of texts, as a value of its own: a count, a fraction ("L/8") or never.
Value list_entry(const std::string& text);
/// Range and type check of a value; `where` names file and line for the message. Empty: it came from an argument or a
/// caller, and the error is a usage error.
void check_value(const Parameter& parameter, const Value& value, const std::string& where);
/// "512", "L/8", "never", "0.85", "[1, 2]", "max": what parse_value accepts again.
std::string to_text(const Value& value);

}  // namespace reattend
