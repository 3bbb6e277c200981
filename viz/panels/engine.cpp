// The engine panel: jobs with their command lines, how far the running one is, what it said, and what became of those
// before it.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <imgui.h>
#include <imgui_stdlib.h>

#include "base/error.h"
#include "base/utf8.h"
#include "viz/panels/panel.h"
#include "viz/panels/panel_tables.h"
#include "viz/panels/waiting.h"
#include "viz/render/flow.h"
#include "viz/render/theme.h"
#include "viz/session/engine.h"
#include "viz/session/measured.h"

namespace reattend::viz {
namespace {

const char* help_of(EngineJob job) {
  switch (job) {
    case EngineJob::verify:
      return "the setting under trial along the recorded tokens: its KL, agreement and time, measured; predictions are "
             "corrected by it";
    case EngineJob::tune:
      return "the settings of this policy by replay, the best measured; the landscape has them all";
    case EngineJob::compare:
      return "the setting beside other policies with as many positions, along the recorded tokens";
    case EngineJob::generate:
      break;
  }
  return "what the model writes under the setting and under full attention, from the recorded prompt, always the "
         "likeliest token (panel Texts)";
}

/// What command lines are made for: they are made again when it changes, and edits are lost.
struct MadeFor {
  EngineJob job = EngineJob::verify;
  Settings settings;
  TuneBounds bounds;
  std::string model;
  uint64_t trace = 0, measured = 0;  ///< versions
  bool operator==(const MadeFor&) const = default;
};

class EnginePanel : public Panel {
 public:
  const char* name() const override { return "Engine"; }
  Dock dock() const override { return Dock::centre_bottom; }
  const char* shows() const override {
    return "Runs the engine on the setting under trial: verify, tune, compare, generate.";
  }
  std::vector<PanelTable> tables(const Session& session, const SharedView&) const override {
    return {{"jobs", [&session] { return jobs_table(session); }},
            {"log", [this, &session] { return log_table(shown_run(session.data<Engine>())); }}};
  }
  void draw(Session& session, SharedView& view) override;

 private:
  void draw_jobs(const Session& session, Engine& engine);
  void draw_command(const Session& session, const SharedView& view, Engine& engine);
  void draw_progress(const SharedView& view, Engine& engine);
  void draw_history(const SharedView& view, const Engine& engine);
  void draw_log(const EngineRun& run);
  /// The one that was chosen, else the newest; null where there is none.
  const EngineRun* shown_run(const Engine& engine) const;

  EngineJob job_ = EngineJob::verify;
  MadeFor made_for_;
  std::string made_, commands_;       ///< as they were made, and as they are
  std::string error_;                 ///< of the last start
  const EngineRun* shown_ = nullptr;  ///< whose log; null: the newest's
  std::string filter_, copied_filter_;
  const EngineRun* copied_ = nullptr;  ///< of whose log lines_ are, as long as it was
  size_t n_copied_ = 0;
  std::vector<std::string> lines_;
};

void EnginePanel::draw_jobs(const Session& session, Engine& engine) {
  for (const EngineJob job : kEngineJobs) {
    const std::string label(name_of(job));
    if (job != kEngineJobs[0]) flow(checkbox_width(label.c_str()));
    if (ImGui::RadioButton(label.c_str(), job_ == job)) job_ = job;
    ImGui::SetItemTooltip("%s", help_of(job));
  }
  MadeFor now = {.job = job_,
                 .settings = session.settings(),
                 .bounds = session.bounds(),
                 .model = engine.model().path,
                 .trace = session.trace_version(),
                 .measured = session.data<Measured>().version()};
  if (now == made_for_) return;
  made_for_ = std::move(now);
  made_ = commands_ = engine.command_text(session, job_);
  error_.clear();
}

void EnginePanel::draw_command(const Session& session, const SharedView& view, Engine& engine) {
  const Palette& colors = palette(view.light);
  const float em = ImGui::GetFontSize();
  const std::filesystem::path program = engine.program();
  std::string model = engine.model().path;
  ImGui::SetNextItemWidth(std::max(8 * em, ImGui::GetContentRegionAvail().x - 4 * em));
  if (ImGui::InputText("model", &model)) engine.set_model(model);
  ImGui::SetItemTooltip("the file of the trace's model, or its name in the model store");
  if (!engine.model().found) {
    const std::string name = session.trace()->info.attribute("model");
    ImGui::PushTextWrapPos(0);
    ImGui::TextColored(
        colors.error,
        "no such file; the trace was recorded from %s: type where it is, or get it by `reattend get-model`",
        name.empty() ? "a model that it does not name" : visible(name).c_str());
    ImGui::PopTextWrapPos();
  }
  const ImGuiStyle& style = ImGui::GetStyle();
  const float inner = ImGui::GetContentRegionAvail().x - 2 * style.FramePadding.x - style.ScrollbarSize;
  const float height = ImGui::CalcTextSize(commands_.c_str(), nullptr, false, std::max(inner, em)).y +
                       ImGui::GetTextLineHeight() + 2 * style.FramePadding.y;
  ImGui::InputTextMultiline("##commands", &commands_, ImVec2(-1, height), ImGuiInputTextFlags_WordWrap);
  ImGui::SetItemTooltip("%s %s\nbegins each line, %s stands behind it; no shell takes part", program.string().c_str(),
                        "(arguments to be edited)", "--json --progress json");
  const bool runs = engine.running();
  ImGui::BeginDisabled(runs || program.empty());
  if (ImGui::Button(fmt::format("start {}###start", name_of(job_)).c_str())) {
    try {
      engine.start(session, job_, commands_);
      error_.clear(), shown_ = nullptr;
    } catch (const Error& error) {
      error_ = error.what();
    }
  }
  ImGui::EndDisabled();
  flow(button_width("stop"));
  ImGui::BeginDisabled(!runs);
  if (ImGui::Button("stop")) engine.stop();
  ImGui::EndDisabled();
  flow(button_width("copy command"));
  if (ImGui::Button("copy command")) {
    std::string all;
    for (size_t begin = 0; begin < commands_.size();) {
      const size_t end = std::min(commands_.find('\n', begin), commands_.size());
      if (end > begin) all += program.string() + " " + commands_.substr(begin, end - begin) + "\n";
      begin = end + 1;
    }
    ImGui::SetClipboardText(all.c_str());
  }
  flow(button_width("as it was"));
  ImGui::BeginDisabled(commands_ == made_);
  if (ImGui::Button("as it was")) commands_ = made_;
  ImGui::EndDisabled();
  ImGui::PushTextWrapPos(0);
  if (program.empty())
    ImGui::TextColored(colors.error, "no program `reattend` beside this one: build it, or name it by --reattend");
  if (!error_.empty()) ImGui::TextColored(colors.error, "%s", visible(error_).c_str());
  ImGui::PopTextWrapPos();
}

void EnginePanel::draw_progress(const SharedView& view, Engine& engine) {
  if (engine.runs().empty()) return;
  const EngineRun& run = *engine.runs().back();
  const RunProgress at = run.progress();
  if (run.state() == RunState::running) {
    std::string text = at.what.empty() ? "starting \u2026" : visible(at.what);
    if (!at.what.empty()) text += fmt::format(": {:.0f}", at.done);
    if (at.total > 0) text += fmt::format(" of {:.0f}", at.total);
    if (!at.unit.empty()) text += fmt::format(" {}, {:.0f} s", visible(at.unit), at.seconds);
    const bool known = at.total > 0 && std::isfinite(at.done / at.total);
    ImGui::ProgressBar(known ? static_cast<float>(at.done / at.total) : 0, ImVec2(-1, 0), text.c_str());
    return;
  }
  const Palette& colors = palette(view.light);
  const bool well = run.state() == RunState::done;
  ImGui::PushTextWrapPos(0);
  ImGui::TextColored(well ? colors.kept : colors.error, "%s: %s", std::string(name_of(run.plan().job)).c_str(),
                     visible(run.outcome()).c_str());
  ImGui::PopTextWrapPos();
}

void EnginePanel::draw_history(const SharedView& view, const Engine& engine) {
  const float line = ImGui::GetTextLineHeightWithSpacing();
  const auto n = static_cast<float>(std::min<size_t>(engine.runs().size(), 4));
  constexpr ImGuiTableFlags kFlags = ImGuiTableFlags_RowBg | ImGuiTableFlags_ScrollY | ImGuiTableFlags_SizingFixedFit;
  if (!ImGui::BeginTable("history", 4, kFlags, ImVec2(0, (n + 1.5F) * line))) return;
  ImGui::TableSetupScrollFreeze(0, 1);
  for (const char* const title : {"at", "job", "result"}) ImGui::TableSetupColumn(title);
  ImGui::TableSetupColumn("setting", ImGuiTableColumnFlags_WidthStretch);
  ImGui::TableHeadersRow();
  const Palette& colors = palette(view.light);
  for (size_t i = engine.runs().size(); i-- > 0;) {
    const EngineRun& run = *engine.runs()[i];
    const bool newest = i + 1 == engine.runs().size();
    ImGui::PushID(&run);
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    const std::time_t begun = std::chrono::system_clock::to_time_t(run.begun());
    std::tm local{};
    ::localtime_r(&begun, &local);
    const bool shown = shown_ == &run || (shown_ == nullptr && newest);
    if (ImGui::Selectable(fmt::format("{:%H:%M:%S}", local).c_str(), shown, ImGuiSelectableFlags_SpanAllColumns))
      shown_ = newest ? nullptr : &run;
    const std::string outcome = visible(run.outcome());
    ImGui::SetItemTooltip("%s\n%s\nclick: its log", visible(run.plan().trace.string()).c_str(), outcome.c_str());
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(std::string(name_of(run.plan().job)).c_str());
    ImGui::TableNextColumn();
    const RunState state = run.state();
    ImGui::TextColored(state == RunState::done      ? colors.kept
                       : state == RunState::running ? colors.dim
                                                    : colors.error,
                       "%s", word_of(state));
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(run.plan().settings.summary().c_str());
    ImGui::PopID();
  }
  ImGui::EndTable();
}

bool holds(const std::string& line, const std::string& what) {
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
  };
  return what.empty() || std::search(line.begin(), line.end(), what.begin(), what.end(), same) != line.end();
}

void EnginePanel::draw_log(const EngineRun& run) {
  const float em = ImGui::GetFontSize();
  size_t n_gone = 0, n_all = 0;
  run.look_at_log([&](const std::deque<std::string>& all, size_t gone) {
    n_gone = gone, n_all = all.size();
    if (copied_ == &run && n_copied_ == n_gone + n_all && copied_filter_ == filter_) return;
    copied_ = &run, n_copied_ = n_gone + n_all, copied_filter_ = filter_;
    lines_.clear();
    std::ranges::copy_if(all, std::back_inserter(lines_),
                         [&](const std::string& each) { return holds(each, filter_); });
  });
  ImGui::SetNextItemWidth(12 * em);
  ImGui::InputTextWithHint("##filter", "lines with \u2026", &filter_);
  flow(button_width("copy log"));
  if (ImGui::Button("copy log")) ImGui::SetClipboardText(fmt::format("{}\n", fmt::join(lines_, "\n")).c_str());
  std::string counted = fmt::format("{} of {} lines", lines_.size(), n_all);
  if (n_gone > 0) counted += fmt::format(", {} older ones are gone", n_gone);
  flow(text_width(counted.c_str()));
  ImGui::TextDisabled("%s", counted.c_str());
  if (ImGui::BeginChild("log", ImVec2(0, 0), ImGuiChildFlags_Borders, ImGuiWindowFlags_HorizontalScrollbar)) {
    ImGuiListClipper clipper;
    clipper.Begin(static_cast<int>(lines_.size()));
    while (clipper.Step()) {
      for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i)
        ImGui::TextUnformatted(lines_[static_cast<size_t>(i)].c_str());
    }
    if (ImGui::GetScrollY() >= ImGui::GetScrollMaxY()) ImGui::SetScrollHereY(1);  // follows what comes
  }
  ImGui::EndChild();
}

const EngineRun* EnginePanel::shown_run(const Engine& engine) const {
  if (engine.runs().empty()) return nullptr;
  const auto at = std::ranges::find(engine.runs(), shown_, &std::unique_ptr<EngineRun>::get);
  return at != engine.runs().end() ? at->get() : engine.runs().back().get();
}

void EnginePanel::draw(Session& session, SharedView& view) {
  if (lacks_steps(session)) return;
  Engine& engine = session.data<Engine>();
  draw_jobs(session, engine);
  draw_command(session, view, engine);
  draw_progress(view, engine);
  if (engine.runs().empty()) return;
  draw_history(view, engine);
  draw_log(*shown_run(engine));
}

}  // namespace

std::unique_ptr<Panel> make_engine() {
  return std::make_unique<EnginePanel>();
}

}  // namespace reattend::viz
