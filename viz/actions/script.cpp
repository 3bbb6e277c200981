// Reads the whole script before its first line is run, then goes on frame by frame.
#include "viz/actions/script.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "viz/actions/state.h"

namespace reattend::viz {
namespace {

constexpr size_t kMostBytes = 1 << 22;
/// Frames between two calls: what is shown for the first time asks for its data while it is drawn.
constexpr int kQuiet = 2;

}  // namespace

Script::Script(const Actions& actions, std::string_view text, const std::string& where) : where_(where) {
  size_t number = 0;
  for (size_t from = 0; from < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', from), text.size());
    const std::string_view line = text.substr(from, end - from);
    from = end + 1;
    const size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos || line[begin] == '#') continue;
    try {
      lines_.push_back({number + 1, actions.parse(line)});
    } catch (const Error& error) {
      throw Error(fmt::format("{}:{}: {}", where, number + 1, error.what()), error.code());
    }
  }
}

Script Script::from_file(const Actions& actions, const std::filesystem::path& file) {
  const std::string text = read_text(
      file, {.where = file.string(), .expected = "a script of actions", .remedy = "see docs/view.md"}, kMostBytes);
  return {actions, text, file.string()};
}

void Script::advance(Workbench& bench, const std::function<void(const nlohmann::json&)>& answer) {
  if (done()) return;
  const Line& line = lines_[at_];
  std::optional<nlohmann::json> result;
  try {
    if (running_.busy()) {
      result = running_.poll(bench);
    } else {
      const std::string error = bench.session.open_error() + bench.files.error();
      if (!error.empty()) throw Error(error);
      if (!has_answered(bench) || ++n_quiet_ <= kQuiet) return;
      n_quiet_ = 0;
      result = running_.start(bench, line.call);
    }
  } catch (const Error& error) {
    throw Error(fmt::format("{}:{}: {}", where_, line.number, error.what()), error.code());
  }
  if (!result) return;
  if (!result->is_null()) answer(*result);
  ++at_;
}

}  // namespace reattend::viz
