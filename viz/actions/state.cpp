// Reads everything from where the panels have it: numbers are the same bits.
#include "viz/actions/state.h"

#include <fmt/format.h>

#include "base/json_number.h"
#include "viz/session/baseline.h"
#include "viz/session/differences.h"
#include "viz/session/goal.h"
#include "viz/session/state_keeping.h"
#include "viz/session/tried.h"

namespace reattend::viz {
namespace {

using nlohmann::json;

const Judged* current_judgement(const Session& session) {
  if (session.tuning() == nullptr || !session.setting_error().empty()) return nullptr;
  const Judged* const judged = session.data<Goal>().judged();
  return judged != nullptr && judged->settings == session.settings() ? judged : nullptr;
}

json trace_json(const Session& session) {
  if (session.trace() == nullptr) return nullptr;
  const TraceInfo& info = session.trace()->info;
  return {{"file", session.path().string()}, {"n_prompt", info.n_prompt},   {"n_step", info.n_step},
          {"n_layer", info.n_layer},         {"n_kv_head", info.n_kv_head}, {"has_values", info.has_values}};
}

json goal_json(const Session& session) {
  const Judged* const judged = current_judgement(session);
  const bool replayed = session.total() != nullptr && session.total_is_current();
  const GoalText kl = kl_in_words(session), time = time_in_words(session);
  json out = {{"kl", nullptr},
              {"estimate", nullptr},
              {"ms_per_token", nullptr},
              {"ms_per_token_full", nullptr},
              {"kl_in_words", kl.current ? json(kl.text) : json(nullptr)},
              {"time_in_words", time.current ? json(time.text) : json(nullptr)}};
  if (judged != nullptr) {
    out["kl"] = json_number(judged->metrics.predicted_kl);
    out["estimate"] = json_number(judged->metrics.estimate);
  }
  if (replayed) {
    const ReplaySummary& total = *session.total();
    const auto ms = [](double x) { return x > 0 ? json_number(x) : json(nullptr); };
    out["ms_per_token"] = ms(total.ms_per_token), out["ms_per_token_full"] = ms(total.ms_per_token_full);
  }
  return out;
}

json verdict_json(Verdict verdict) {
  return verdict == Verdict::unknown ? json(nullptr) : json(verdict == Verdict::within);
}

json bounds_json(const Session& session) {
  const TuneBounds& bounds = session.bounds();
  json out = {{"kl", bounds.max_kl},
              {"ms", json_number(bounds.max_ms)},
              {"agreement", json_number(bounds.min_agreement)},
              {"output_error", json_number(bounds.max_output_error)},
              {"lost_mass", json_number(bounds.max_lost_mass)},
              {"kept", json::object()}};
  for (const GoalBound& each : bounds_of(session)) {
    const char* const names[] = {"kl", "agreement", "output_error", "lost_mass", "ms"};
    out["kept"][names[static_cast<size_t>(each.bound.of)]] = verdict_json(each.verdict);
  }
  return out;
}

/// What the setting under trial is held against, and how it differs.
json baseline_json(const Session& session) {
  const Baseline& baseline = session.data<Baseline>();
  if (!baseline.pinned()) return nullptr;
  json out = {{"setting", baseline.pinned()->settings.to_json()},
              {"trace", baseline.pinned()->trace.string()},
              {"error", baseline.error()},
              {"kl", nullptr},
              {"cost", nullptr}};
  if (baseline.judged() != nullptr) {
    out["kl"] = json_number(baseline.judged()->metrics.predicted_kl);
    out["cost"] = json_number(baseline.judged()->metrics.cost);
  }
  const GoalText difference = difference_in_words(session);
  out["difference_in_words"] = difference.current ? json(difference.text) : json(nullptr);
  return out;
}

/// What undo would take back, notes and the steps of bookmarks.
json project_json(const Session& session) {
  const Project& project = session.data<Project>();
  json notes = json::array(), bookmarks = json::array();
  for (const Note& note : project.notes()) {
    notes.push_back({{"text", note.text}, {"first_step", note.steps.first}, {"position", note.first_position}});
  }
  for (const std::optional<Bookmark>& mark : project.bookmarks()) {
    bookmarks.push_back(mark ? json(mark->selection.step) : json(nullptr));
  }
  return {{"undo", undo_name(session)},
          {"redo", redo_name(session)},
          {"tried", session.data<Tried>().settings().size()},
          {"notes", std::move(notes)},
          {"bookmarks", std::move(bookmarks)},
          {"problem", project.message()}};
}

json limits_json(const Limits& limits) {
  return {limits.low, limits.high};
}

json view_json(const Workbench& bench) {
  const SharedView& view = bench.view;
  json panels = json::array();
  for (const auto& each : bench.panels) {
    if (each->open) panels.push_back(each->name());
  }
  return {{"panels", panels},
          {"light", view.light},
          {"marks", view.marks},
          {"logarithmic", view.logarithmic},
          {"text", ImGui::GetStyle().FontScaleMain},
          {"plot", view.focus == Focus::timeline ? "timeline" : "heat map"},
          {"steps", limits_json(view.steps)},
          {"heat_positions", limits_json(view.heat_positions)},
          {"keys", bench.keys_shown},
          {"palette", bench.palette_shown},
          {"last_call", bench.last_call}};
}

}  // namespace

bool is_opening(const Workbench& bench) {
  return !bench.files.idle() || !bench.session.opening().empty();
}

bool has_settled(const Workbench& bench) {
  return !is_opening(bench) && bench.session.idle();
}

bool has_answered(const Workbench& bench) {
  const Session& session = bench.session;
  if (is_opening(bench) || !session.answered()) return false;
  return session.tuning() == nullptr || !session.replay_error().empty() || current_judgement(session) != nullptr;
}

json state_of(const Workbench& bench) {
  const Session& session = bench.session;
  const Selection& at = session.selection();
  const BackgroundTasks::Activity activity = session.activity();
  json setting = session.settings().to_json();
  return {{"trace", trace_json(session)},
          {"setting", std::move(setting)},
          {"setting_in_words", session.settings().summary()},
          {"selection", {{"layer", at.layer}, {"head", at.kv_head}, {"step", at.step}, {"position", at.position}}},
          {"goal", goal_json(session)},
          {"bounds", bounds_json(session)},
          {"baseline", baseline_json(session)},
          {"project", project_json(session)},
          {"tasks",
           {{"busy", activity.busy},
            {"what", activity.what},
            {"answered", has_answered(bench)},
            {"settled", has_settled(bench)},
            {"open_error", session.open_error()},
            {"replay_error", session.replay_error()}}},
          {"view", view_json(bench)}};
}

}  // namespace reattend::viz
