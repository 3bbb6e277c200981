// Compares states once a frame, and names the difference.
#include "viz/session/history.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "policies/policy.h"
#include "policies/value_text.h"

namespace reattend::viz {
namespace {

/// Steps of the wheel and repeated keys come faster than this.
constexpr double kOneMove = 1;

/// Selection and axes aside.
bool same_trial(const UndoState& a, const UndoState& b) {
  return a.settings == b.settings && a.bounds == b.bounds;
}

std::string bound_text(const std::optional<double>& limit) {
  return limit ? fmt::format("{:.4g}", *limit) : "none";
}

}  // namespace

ShownAxes shown_axes(const SharedView& view) {
  return {view.steps, view.heat_positions};
}

void show_axes(const ShownAxes& axes, SharedView& view) {
  view.steps = axes.steps, view.heat_positions = axes.heat_positions;
}

UndoState undo_state(const Session& session, const SharedView& view) {
  return {session.settings(), session.bounds(), session.selection(), shown_axes(view)};
}

void apply(const UndoState& state, Session& session, SharedView& view) {
  if (session.settings() != state.settings) session.set_settings(state.settings);
  if (session.bounds() != state.bounds) session.set_bounds(state.bounds);
  session.select_layer(state.selection.layer);
  session.select_kv_head(state.selection.kv_head);
  session.select_step(state.selection.step);
  session.select_position(state.selection.position);
  show_axes(state.axes, view);
}

std::string change_in_words(const UndoState& before, const UndoState& after) {
  std::vector<std::string> parts;
  const auto add = [&](const std::string& what, const std::string& from, const std::string& to) {
    if (from != to) parts.push_back(fmt::format("{} {} \u2192 {}", what, from, to));
  };
  const Settings &a = before.settings, &b = after.settings;
  if (a.policy() != b.policy()) {
    add("policy", a.policy(), b.policy());
  } else {
    for (const PolicyParameter& each : a.info().parameters) {
      const std::string key(each.parameter->key);
      if (a.get(key) == b.get(key)) continue;
      const std::string from = ends_text(a.get(key)), to = ends_text(b.get(key));
      from == to ? parts.push_back(key + " by layer") : add(key, from, to);
    }
  }
  const TuneBounds &old = before.bounds, &now = after.bounds;
  add("bound of KL", bound_text(old.max_kl), bound_text(now.max_kl));
  add("bound of ms", bound_text(old.max_ms), bound_text(now.max_ms));
  add("bound of output error", bound_text(old.max_output_error), bound_text(now.max_output_error));
  add("bound of lost mass", bound_text(old.max_lost_mass), bound_text(now.max_lost_mass));
  add("bound of agreement", bound_text(old.min_agreement), bound_text(now.min_agreement));
  const Selection &from = before.selection, &to = after.selection;
  add("layer", std::to_string(from.layer), std::to_string(to.layer));
  add("KV head", std::to_string(from.kv_head), std::to_string(to.kv_head));
  add("step", std::to_string(from.step), std::to_string(to.step));
  const auto position = [](int32_t at) { return at < 0 ? std::string("none") : std::to_string(at); };
  add("position", position(from.position), position(to.position));
  if (before.axes != after.axes) parts.emplace_back("part in view");
  constexpr size_t kNamed = 3;
  if (parts.size() > kNamed) {
    const size_t more = parts.size() - kNamed;
    parts.resize(kNamed);
    parts.push_back(fmt::format("and {} more", more));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

void History::enter(std::shared_ptr<Replayer>) {
  seen_ = just_moved_ = false;
  entered_ = true;
}

void History::update(const Session& session) {
  if (!std::exchange(entered_, false)) return;
  grown_ = path_ == session.path();
  if (grown_) return;
  path_ = session.path();
  entries_.clear();
  place_ = 0;
}

void History::observe(const UndoState& now, bool at_rest, double seconds) {
  const bool stayed = seen_ && last_ == now;
  last_ = now, seen_ = true;
  if (!at_rest || !stayed) return;
  if (entries_.empty()) {
    entries_.push_back({now, {}});
    return;
  }
  UndoState& here = entries_[place_].state;
  const bool rounded = just_moved_ && same_trial(here, now) && here.selection == now.selection;
  just_moved_ = false;
  if (rounded || (std::exchange(grown_, false) && same_trial(here, now))) {
    here.axes = now.axes, here.selection = now.selection;
  } else if (here != now) {
    record(now, seconds);
  }
}

void History::record(const UndoState& now, double seconds) {
  const bool again = std::exchange(changed_, seconds) + kOneMove > seconds;
  const bool moves_on = place_ > 0 && again && same_trial(entries_[place_].state, now) &&
                        same_trial(entries_[place_ - 1].state, now) && place_ + 1 == entries_.size();
  entries_.erase(entries_.begin() + static_cast<long>(place_ + (moves_on ? 0 : 1)), entries_.end());
  const UndoState& before = entries_.back().state;
  if (before != now) entries_.push_back({now, change_in_words(before, now)});
  place_ = entries_.size() - 1;
  trim();
}

/// Of too many, moves between settings that stay are forgotten before any setting is.
void History::trim() {
  while (entries_.size() > kMost) {
    size_t out = 1;
    while (out + 1 < entries_.size() && !same_trial(entries_[out].state, entries_[out - 1].state) &&
           !same_trial(entries_[out].state, entries_[out + 1].state)) {
      ++out;
    }
    if (out + 1 >= entries_.size()) out = 0;
    entries_.erase(entries_.begin() + static_cast<long>(out));
    Entry& next = entries_[out];
    next.change = out == 0 ? std::string() : change_in_words(entries_[out - 1].state, next.state);
    --place_;
  }
}

const UndoState* History::undo(const UndoState& now) {
  if (entries_.empty()) return nullptr;
  if (entries_[place_].state != now) record(now, changed_);
  return place_ == 0 ? nullptr : &go_to(place_ - 1);
}

const UndoState* History::redo(const UndoState& now) {
  if (entries_.empty()) return nullptr;
  if (entries_[place_].state != now) record(now, changed_);
  return place_ + 1 == entries_.size() ? nullptr : &go_to(place_ + 1);
}

const UndoState& History::go_to(size_t entry) {
  place_ = entry;
  just_moved_ = true;
  return entries_[place_].state;
}

}  // namespace reattend::viz
