// What an action is: a name, what it is called on the screen, its keys, its arguments and what it does.
#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

namespace reattend::viz {

struct Workbench;

enum class ArgumentType : uint8_t { whole, number, flag, text };

struct Argument {
  std::string name;
  ArgumentType type = ArgumentType::text;
  std::string help;
  bool required = true;
  double low = -std::numeric_limits<double>::infinity(),
         high = std::numeric_limits<double>::infinity();  ///< of numbers
  /// What a text may be, where that is a list; the palette offers each.
  std::function<std::vector<std::string>(const Workbench&)> choices = {};
};

using ArgumentValue = std::variant<bool, int64_t, double, std::string>;

/// The arguments of one call, each of its argument's type.
class Arguments {
 public:
  void set(const std::string& name, ArgumentValue value) { values_[name] = std::move(value); }
  bool has(const std::string& name) const { return values_.contains(name); }
  bool empty() const { return values_.empty(); }
  /// These are for arguments that are required, or of which has() holds.
  int64_t whole(const std::string& name) const { return std::get<int64_t>(values_.at(name)); }
  double number(const std::string& name) const { return std::get<double>(values_.at(name)); }
  const std::string& text(const std::string& name) const { return std::get<std::string>(values_.at(name)); }
  bool flag(const std::string& name, bool otherwise) const {
    return has(name) ? std::get<bool>(values_.at(name)) : otherwise;
  }
  const std::map<std::string, ArgumentValue>& all() const { return values_; }
  bool operator==(const Arguments&) const = default;

 private:
  std::map<std::string, ArgumentValue> values_;
};

/// Called once a frame until it gives a result, or throws Error.
using Later = std::function<std::optional<nlohmann::json>(Workbench&)>;

/// What an action answers, now or later.
struct Outcome {
  nlohmann::json result = nullptr;  ///< null: done, and there is nothing to say
  Later later = {};
};

/// A key, or several held down together, and the arguments it gives: {"Ctrl+1", "n=1"}.
struct DefaultKey {
  std::string chord, arguments = {};
};

struct Action {
  std::string name;   ///< "step.next": of scripts, sockets and key files
  std::string title;  ///< "next step": on the screen
  std::string group;  ///< where the key sheet has it
  std::function<Outcome(Workbench&, const Arguments&)> run;
  std::vector<DefaultKey> keys = {};
  std::vector<Argument> arguments = {};
  std::string further = {};  ///< what arguments of other names are, whose values are texts; empty: there are none
  bool repeats = false;      ///< while the key is held down
  std::string menu = {};     ///< that has it; empty: none
  std::function<bool(const Workbench&)> checked = {};  ///< whether a menu shows a tick before it
  /// What a menu says behind the title, for an action that cannot always be taken: nothing where it cannot.
  std::function<std::string(const Workbench&)> what = {};
};

/// Of an action that answers nothing: `act` takes a Workbench, or that and Arguments.
template <class Act>
std::function<Outcome(Workbench&, const Arguments&)> does(Act act) {
  return [act = std::move(act)](Workbench& bench, const Arguments& arguments) {
    if constexpr (std::is_invocable_v<const Act&, Workbench&, const Arguments&>) {
      act(bench, arguments);
    } else {
      act(bench);
    }
    return Outcome{};
  };
}

}  // namespace reattend::viz
