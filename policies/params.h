// What a parameter of a policy is: names, type, range and help; and its values as text.
#pragma once
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
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

/// Counts stay below 2^30 so that sums of two of them and a position fit 32 bits.
inline constexpr double kMostCount = 1 << 30;
/// Entries of a list: more layers than any model has, so a longer one is a mistake.
inline constexpr size_t kMostEntries = 4096;

/// One parameter, declared once: those that policies share in policies/shared_parameters.h, a policy's own in its file.
/// `key` is its name in settings files, case files and traces; `flag` the long option of the command line without its
/// dashes ("budget" for K), `--key` works as well. Values are texts, as a user would type them.
struct Parameter {
  std::string_view key, flag;
  ParamType type = ParamType::count;
  std::string_view initial;                                    ///< default; a policy may have another
  double low = 0, high = kMostCount;                           ///< inclusive range of numbers
  double off_above = std::numeric_limits<double>::infinity();  ///< a number above it switches off what it is for
  bool per_layer = false, allows_fraction = false, allows_never = false, allows_auto = false, odd = false;
  bool decades = false;  ///< what is worth trying of it spans decades: a slider goes by its logarithm
  std::span<const std::string_view> choices = {};
  std::span<const std::string_view> tried = {};  ///< what a tuner tries of it; none: it is left as it is
  std::string_view unit = {};
  std::string_view help = {};
};

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
