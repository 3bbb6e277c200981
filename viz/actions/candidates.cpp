// Matches what was typed against titles and names; what begins with a name is taken as the call that it is.
#include "viz/actions/candidates.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/error.h"
#include "viz/actions/fuzzy.h"
#include "viz/actions/workbench.h"

namespace reattend::viz {
namespace {

constexpr size_t kLeastOfToken = 3;  ///< letters, for shorter ones nearly every token holds
constexpr int kMostTokens = 5;

struct Typed {
  std::string words, arguments;
};

Typed split(const std::string& typed) {
  Typed out;
  for (size_t from = 0; from < typed.size();) {
    const size_t end = std::min(typed.find(' ', from), typed.size());
    const std::string word = typed.substr(from, end - from);
    const bool number = !word.empty() && (word[0] == '-' || word[0] == '.' || (word[0] >= '0' && word[0] <= '9'));
    if (!out.arguments.empty() || (number && from > 0) || word.find('=') != std::string::npos) {
      out.arguments = typed.substr(from);
      break;
    }
    out.words += word + " ";
    from = end + 1;
  }
  return out;
}

Candidate candidate(const Actions& actions, const Action& action, const std::string& title,
                    const std::string& arguments) {
  Candidate out{&action, title, action.name, {}};
  if (!arguments.empty()) out.line += " " + arguments;
  try {
    actions.parse(action, arguments);
  } catch (const Error& error) {
    out.problem = error.what();
  }
  return out;
}

struct Scored {
  int score;
  Candidate candidate;
};

/// An action once, and once for each choice of the argument that it needs.
void add(std::vector<Scored>& out, const Actions& actions, const Workbench& bench, const Action& action,
         const Typed& typed) {
  if (!typed.arguments.empty() && action.arguments.empty() && action.further.empty()) return;
  if (const int score = fuzzy_score(typed.words, action.title + " " + action.name)) {
    out.push_back({score, candidate(actions, action, action.title, typed.arguments)});
  }
  if (!typed.arguments.empty() || action.arguments.empty() || !action.arguments.front().choices) return;
  for (const std::string& choice : action.arguments.front().choices(bench)) {
    const std::string title = fmt::format("{}: {}", action.title, choice);
    const int score = fuzzy_score(typed.words, title + " " + action.name);
    if (score > 0) out.push_back({score, candidate(actions, action, title, "\"" + choice + "\"")});
  }
}

/// Positions whose token holds what was typed, from the selected one on.
void add_tokens(std::vector<Scored>& out, const Actions& actions, const Workbench& bench, const std::string& typed) {
  const OpenedTrace* const trace = bench.session.trace();
  const Action* const select = actions.find("position.set");
  if (typed.size() < kLeastOfToken || trace == nullptr || select == nullptr) return;
  const std::string wanted = ascii_lower(typed);
  const auto n = static_cast<int32_t>(trace->token_texts.size());
  const int32_t from = bench.session.selection().position + 1;
  int n_found = 0;
  for (int32_t i = 0; i < n && n_found < kMostTokens; ++i) {
    const int32_t position = (from + i) % n;
    if (ascii_lower(trace->token_texts[static_cast<size_t>(position)]).find(wanted) == std::string::npos) continue;
    const std::string title =
        fmt::format("token \u201c{}\u201d at position {}", bench.session.token_text(position), position);
    out.push_back({1, candidate(actions, *select, title, std::to_string(position))});
    ++n_found;
  }
}

}  // namespace

std::vector<Candidate> candidates(const Actions& actions, const Workbench& bench, const std::string& typed) {
  std::vector<Candidate> out;
  const size_t end = typed.find(' ');
  if (end != std::string::npos) {
    if (const Action* const action = actions.find(typed.substr(0, end))) {
      return {candidate(actions, *action, action->title, typed.substr(end + 1))};
    }
  }
  std::vector<Scored> scored;
  for (const Action& action : actions.all()) add(scored, actions, bench, action, split(typed));
  add_tokens(scored, actions, bench, typed);
  if (!typed.empty()) std::ranges::stable_sort(scored, std::greater(), &Scored::score);
  for (Scored& each : scored) out.push_back(std::move(each.candidate));
  return out;
}

}  // namespace reattend::viz
