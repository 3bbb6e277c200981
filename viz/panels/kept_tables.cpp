// Tables of what the session keeps and what was written: tokens, both texts, jobs, notes, history.
#include <algorithm>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "base/error.h"
#include "base/utf8.h"
#include "viz/panels/panel_tables.h"
#include "viz/panels/token_colors.h"
#include "viz/session/engine.h"
#include "viz/session/history.h"
#include "viz/session/loss_sums.h"
#include "viz/session/project.h"
#include "viz/session/token_text.h"

namespace reattend::viz {
namespace {

using TableCell = reattend::Cell;  // a Cell of the view is another thing

/// Nothing where there is none.
TableCell place(int32_t at) {
  return at < 0 ? TableCell() : TableCell(int64_t{at});
}

}  // namespace

reattend::Table tokens_table(const Session& session, int32_t step, const PositionLosses* losses) {
  reattend::Table out = {.name = fmt::format("step {}", step),
                         .columns = {{.key = "position"},
                                     {.key = "token", .left = true},
                                     {.key = "id"},
                                     {.key = "weight", .digits = 9},
                                     {.key = "attended", .left = true},
                                     {.key = "lost_over_steps", .digits = 6},
                                     {.key = "logprob", .digits = 4}}};
  const OpenedTrace& trace = *session.trace();
  for (size_t i = 0; i < trace.token_texts.size(); ++i) {
    const auto p = static_cast<int32_t>(i);
    const std::optional<float> weight = session.weight(step, p), logprob = logprob_of(session, p);
    const std::optional<bool> attended = session.attended(step, p);
    const auto number = [](const std::optional<float>& value) {
      return value ? TableCell(double{*value}) : TableCell();
    };
    const bool summed = losses != nullptr && i < losses->sums.size();
    out.rows.push_back({int64_t{p}, session.token_text(p),
                        i < trace.token_ids.size() ? TableCell(int64_t{trace.token_ids[i]}) : TableCell(),
                        number(weight), attended ? TableCell(std::string(*attended ? "yes" : "no")) : TableCell(),
                        summed ? TableCell(double{losses->sums[i]}) : TableCell(), number(logprob)});
  }
  return out;
}

reattend::Table two_texts_table(const Session& session) {
  const TwoTexts* const texts = session.data<Engine>().texts();
  if (texts == nullptr) {
    fail({"Texts", "two texts", "none yet", "start `Read it` in the panel Engine, and wait for its end"});
  }
  reattend::Table out = {.name = texts->settings.summary(),
                         .columns = {{.key = "token"},
                                     {.key = "full_id"},
                                     {.key = "full", .left = true},
                                     {.key = "setting_id"},
                                     {.key = "setting", .left = true}}};
  const auto add = [](std::vector<TableCell>& row, const Written& text, size_t i) {
    if (i >= text.tokens.size() || i >= text.ends.size()) return row.insert(row.end(), 2, TableCell()), void();
    const size_t begin = i > 0 ? text.ends[i - 1] : 0;
    row.emplace_back(int64_t{text.tokens[i]});
    row.emplace_back(drawable(std::string_view(text.text).substr(begin, text.ends[i] - begin)));
  };
  for (size_t i = 0; i < std::max(texts->full.tokens.size(), texts->policy.tokens.size()); ++i) {
    std::vector<TableCell> row = {static_cast<int64_t>(i) + 1};
    add(row, texts->full, i), add(row, texts->policy, i);
    out.rows.push_back(std::move(row));
  }
  return out;
}

reattend::Table jobs_table(const Session& session) {
  reattend::Table out = {.name = "jobs", .columns = {}};
  for (const char* const key : {"begun", "job", "result", "setting", "trace", "outcome"}) {
    out.columns.push_back({.key = key, .left = true});
  }
  for (const auto& run : session.data<Engine>().runs()) {
    const std::time_t begun = std::chrono::system_clock::to_time_t(run->begun());
    std::tm local{};
    ::localtime_r(&begun, &local);
    out.rows.push_back({fmt::format("{:%Y-%m-%d %H:%M:%S}", local), std::string(name_of(run->plan().job)),
                        std::string(word_of(run->state())), run->plan().settings.summary(),
                        visible(run->plan().trace.string()), visible(run->outcome())});
  }
  return out;
}

reattend::Table log_table(const EngineRun* run) {
  reattend::Table out = {.name = "log", .columns = {{.key = "line"}, {.key = "text", .left = true}}};
  if (run == nullptr) return out;
  run->look_at_log([&](const std::deque<std::string>& lines, size_t n_gone) {
    auto number = static_cast<int64_t>(n_gone);
    for (const std::string& each : lines) out.rows.push_back({++number, each});
  });
  return out;
}

reattend::Table notes_table(const Session& session) {
  reattend::Table out = {.name = "notes", .columns = {}};
  for (const char* const key : {"layer", "first_step", "last_step", "first_position", "last_position"}) {
    out.columns.push_back({.key = key});
  }
  out.columns.push_back({.key = "note", .left = true});
  for (const Note& each : session.data<Project>().notes()) {
    out.rows.push_back({place(each.layer), int64_t{each.steps.first}, int64_t{each.steps.last},
                        place(each.first_position), place(each.last_position), each.text});
  }
  return out;
}

reattend::Table bookmarks_table(const Session& session) {
  reattend::Table out = {
      .name = "bookmarks",
      .columns = {{.key = "key"}, {.key = "layer"}, {.key = "kv_head"}, {.key = "step"}, {.key = "position"}}};
  const auto& marks = session.data<Project>().bookmarks();
  for (size_t i = 0; i < marks.size(); ++i) {
    if (!marks[i]) continue;
    const Selection& at = marks[i]->selection;
    out.rows.push_back(
        {static_cast<int64_t>(i) + 1, int64_t{at.layer}, int64_t{at.kv_head}, int64_t{at.step}, place(at.position)});
  }
  return out;
}

reattend::Table history_table(const Session& session) {
  const History& history = session.data<History>();
  reattend::Table out = {.name = "history",
                         .columns = {{.key = "entry"},
                                     {.key = "change", .left = true},
                                     {.key = "setting", .left = true},
                                     {.key = "layer"},
                                     {.key = "kv_head"},
                                     {.key = "step"},
                                     {.key = "position"}}};
  for (size_t i = 0; i < history.entries().size(); ++i) {
    const History::Entry& each = history.entries()[i];
    const Selection& at = each.state.selection;
    out.rows.push_back({static_cast<int64_t>(i) + 1, each.change, each.state.settings.summary(), int64_t{at.layer},
                        int64_t{at.kv_head}, int64_t{at.step}, place(at.position)});
    if (i == history.place()) out.marked.insert(i);
  }
  return out;
}

}  // namespace reattend::viz
