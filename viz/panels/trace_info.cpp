// The trace panel: model, policy, prompt, the machine it was recorded on, and every attribute of the file.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <imgui.h>

#include "base/utf8.h"
#include "viz/panels/panel.h"
#include "viz/render/theme.h"

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

class TraceInfoPanel : public Panel {
 public:
  const char* name() const override { return "Trace"; }
  Dock dock() const override { return Dock::left_bottom; }
  const char* shows() const override { return "What was recorded, and on what machine."; }
  void draw(Session& session, SharedView& view) override;
};

void TraceInfoPanel::draw(Session& session, SharedView& view) {
  const OpenedTrace& trace = *session.trace();
  const TraceInfo& info = trace.info;
  if (!info.warning.empty()) {
    ImGui::PushTextWrapPos(0);
    ImGui::TextColored(palette(view.light).error, "%s", visible(info.warning).c_str());
    ImGui::PopTextWrapPos();
  }
  constexpr ImGuiTableFlags kTable = ImGuiTableFlags_RowBg | ImGuiTableFlags_SizingFixedFit;
  if (ImGui::BeginTable("facts", 2, kTable)) {
    ImGui::TableSetupColumn("name");
    ImGui::TableSetupColumn("value", ImGuiTableColumnFlags_WidthStretch);
    row("file", session.path().filename().string());
    row("recorded", info.policy_text() + (info.shadow ? " (shadow: output is full attention's)" : ""));
    row("length", fmt::format("{} prompt tokens, {} steps", info.n_prompt, info.n_step));
    row("heads", fmt::format("{} layers, {} query heads on {} KV heads of {}", info.n_layer, info.n_head,
                             info.n_kv_head, info.d_head));
    if (info.n_acting() < info.n_layer) {
      row("windows", fmt::format("{} layers look back {} positions; policies act on {}", info.n_layer - info.n_acting(),
                                 *std::ranges::max_element(info.windows), fmt::join(info.acting_layers(), ", ")));
    }
    row("cache", fmt::format("{}{}", name_of(info.kv_type), info.has_values ? "" : ", no values"));
    double ms = 0;
    for (const double step : trace.steps.ms) ms += step;
    if (!trace.steps.ms.empty())
      row("measured", fmt::format("{:.2f} ms/token", ms / static_cast<double>(trace.steps.ms.size())));
    const Calibration& machine = info.calibration;
    const std::string weights =
        machine.weights_ms > 0 ? fmt::format("{:.2f} ms/token", machine.weights_ms) : std::string("unmeasured");
    row("machine", fmt::format("weights {}; stream {}, attending {} in runs and {} kept, scoring {}", weights,
                               rate(machine.stream_gbps), rate(machine.attend_stream_gbps),
                               rate(machine.attend_gather_gbps), rate(machine.score_gbps)));
    ImGui::EndTable();
  }
  if (!ImGui::CollapsingHeader("all attributes")) return;
  if (!ImGui::BeginTable("attributes", 2, kTable)) return;
  ImGui::TableSetupColumn("name");
  ImGui::TableSetupColumn("value", ImGuiTableColumnFlags_WidthStretch);
  for (const auto& [name, value] : info.attributes) row(visible(name).c_str(), visible(value));
  ImGui::EndTable();
}

}  // namespace

std::unique_ptr<Panel> make_trace_info() {
  return std::make_unique<TraceInfoPanel>();
}

}  // namespace reattend::viz
