// The trace panel: model, policy, prompt, the machine it was recorded on, and every attribute of the file.
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <imgui.h>

#include "base/utf8.h"
#include "viz/panels/panel.h"
#include "viz/render/theme.h"
#include "viz/session/layer_windows.h"

namespace reattend::viz {
namespace {

void row(const char* name, const std::string& value) {
  ImGui::TableNextRow();
  ImGui::TableNextColumn();
  ImGui::TextDisabled("%s", name);
  ImGui::TableNextColumn();
  ImGui::PushTextWrapPos(0);
  ImGui::TextUnformatted(value.c_str());
  ImGui::PopTextWrapPos();
}

std::string rate(double gbps) {
  return gbps > 0 ? fmt::format("{:.1f} GB/s", gbps) : std::string("unmeasured");
}

using Facts = std::vector<std::pair<std::string, std::string>>;

/// What is told of the trace, by name.
Facts facts_of(const Session& session) {
  const OpenedTrace& trace = *session.trace();
  const TraceInfo& info = trace.info;
  Facts out = {{"file", session.path().filename().string()},
               {"recorded", info.policy_text() + (info.shadow ? " (shadow: output is full attention's)" : "")},
               {"length", fmt::format("{} prompt tokens, {} steps", info.n_prompt, info.n_step)},
               {"heads", fmt::format("{} layers, {} query heads on {} KV heads of {}", info.n_layer, info.n_head,
                                     info.n_kv_head, info.d_head)}};
  const std::string windows = windows_in_words(info);
  if (!windows.empty()) {
    out.emplace_back("windows", fmt::format("{}; policies act on {}", windows, fmt::join(info.acting_layers(), ", ")));
  }
  out.emplace_back("cache", fmt::format("{}{}", name_of(info.kv_type), info.has_values ? "" : ", no values"));
  double ms = 0;
  for (const double step : trace.steps.ms) ms += step;
  if (!trace.steps.ms.empty())
    out.emplace_back("measured", fmt::format("{:.2f} ms/token", ms / static_cast<double>(trace.steps.ms.size())));
  const Calibration& machine = info.calibration;
  const std::string weights =
      machine.weights_ms > 0 ? fmt::format("{:.2f} ms/token", machine.weights_ms) : std::string("unmeasured");
  out.emplace_back("machine", fmt::format("weights {}; stream {}, attending {} in runs and {} kept, scoring {}",
                                          weights, rate(machine.stream_gbps), rate(machine.attend_stream_gbps),
                                          rate(machine.attend_gather_gbps), rate(machine.score_gbps)));
  return out;
}

reattend::Table table_of(const char* name, const Facts& facts) {
  reattend::Table out = {.name = name, .columns = {{.key = "name", .left = true}, {.key = "value", .left = true}}};
  for (const auto& [key, value] : facts) out.rows.push_back({key, value});
  return out;
}

Facts attributes_of(const Session& session) {
  Facts out;
  for (const auto& [name, value] : session.trace()->info.attributes) out.emplace_back(visible(name), visible(value));
  return out;
}

class TraceInfoPanel : public Panel {
 public:
  const char* name() const override { return "Trace"; }
  Dock dock() const override { return Dock::left_bottom; }
  const char* shows() const override { return "What was recorded, and on what machine."; }
  std::vector<PanelTable> tables(const Session& session, const SharedView&) const override {
    return {{"trace", [&session] { return table_of("trace", facts_of(session)); }},
            {"attributes", [&session] { return table_of("attributes", attributes_of(session)); }}};
  }
  void draw(Session& session, SharedView& view) override;
};

void TraceInfoPanel::draw(Session& session, SharedView& view) {
  const TraceInfo& info = session.trace()->info;
  if (!info.warning.empty()) {
    ImGui::PushTextWrapPos(0);
    ImGui::TextColored(palette(view.light).error, "%s", visible(info.warning).c_str());
    ImGui::PopTextWrapPos();
  }
  constexpr ImGuiTableFlags kTable = ImGuiTableFlags_RowBg | ImGuiTableFlags_SizingFixedFit;
  if (ImGui::BeginTable("facts", 2, kTable)) {
    ImGui::TableSetupColumn("name");
    ImGui::TableSetupColumn("value", ImGuiTableColumnFlags_WidthStretch);
    for (const auto& [name, value] : facts_of(session)) row(name.c_str(), value);
    ImGui::EndTable();
  }
  if (!ImGui::CollapsingHeader("all attributes")) return;
  if (!ImGui::BeginTable("attributes", 2, kTable)) return;
  ImGui::TableSetupColumn("name");
  ImGui::TableSetupColumn("value", ImGuiTableColumnFlags_WidthStretch);
  for (const auto& [name, value] : attributes_of(session)) row(name.c_str(), value);
  ImGui::EndTable();
}

}  // namespace

std::unique_ptr<Panel> make_trace_info() {
  return std::make_unique<TraceInfoPanel>();
}

}  // namespace reattend::viz
