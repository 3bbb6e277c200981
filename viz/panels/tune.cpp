// The tune panel: policy and parameters of the setting under trial, what the replay says of it, the button to keep it.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <imgui.h>
#include <imgui_stdlib.h>

#include "base/error.h"
#include "policies/policy.h"
#include "viz/panels/panel.h"
#include "viz/panels/panel_tables.h"
#include "viz/panels/parameter_widgets.h"
#include "viz/panels/range_bar.h"
#include "viz/render/elided_text.h"
#include "viz/render/theme.h"
#include "viz/session/baseline.h"
#include "viz/session/differences.h"
#include "viz/session/save_settings.h"

namespace reattend::viz {
namespace {

class Tune : public Panel {
 public:
  const char* name() const override { return "Tune"; }
  Dock dock() const override { return Dock::left_top; }
  const char* shows() const override {
    return "The policy under trial, its parameters, and what the replay says of them.";
  }
  std::vector<PanelTable> tables(const Session& session, const SharedView&) const override {
    return {{"layers", [&session] { return layers_table(session); }}};
  }
  void draw(Session& session, SharedView& view) override;

 private:
  void draw_policy(Session& session);
  void draw_results(const Session& session, const SharedView& view) const;
  void draw_save(const Session& session, SharedView& view);
  void save(const Session& session, SharedView& view, bool overwrite);

  ParameterWidgets parameters_;
  std::string save_path_, save_message_;
  bool save_failed_ = false;
  std::filesystem::path trace_;  ///< that save_path_ lies beside
};

void Tune::draw_policy(Session& session) {
  ImGui::SetNextItemWidth(-ImGui::CalcTextSize("policy").x - ImGui::GetStyle().ItemInnerSpacing.x);
  const std::string current = session.settings().policy();
  if (!ImGui::BeginCombo("policy", current.c_str())) return;
  for (const PolicyInfo& policy : policy_registry()) {
    const std::string name(policy.name);
    if (ImGui::Selectable(name.c_str(), name == current) && name != current) {
      session.set_settings(session.settings().under(name));
    }
    ImGui::SetItemTooltip("%s\nkeeps %s\nreads %s", std::string(policy.source).c_str(),
                          std::string(policy.keeps).c_str(), std::string(policy.reads).c_str());
  }
  ImGui::EndCombo();
}

/// Why a mean over steps and heads is no number, or infinite.
std::string why_none(const Session& session, double ReplaySummary::*field) {
  if (field == &ReplaySummary::overlap) {
    return "the policy keeps no set that could be held against the step's best: it has no top-K to overlap with";
  }
  if (field == &ReplaySummary::effective_stride) return "no step chooses anew";
  const bool of_errors = field == &ReplaySummary::output_error_mean || field == &ReplaySummary::output_error_p95;
  if (!of_errors) return "no step has a value";
  return session.trace()->info.has_values ? "output errors take longest, and are being computed"
                                          : "the trace was recorded without values, of which outputs are made";
}

std::string shown(double x, const char* format) {
  if (std::isnan(x)) return "\u2013";
  if (std::isinf(x)) return "\u221e";
  char text[32];
  std::snprintf(text, sizeof text, format, x);
  return text;
}

void Tune::draw_results(const Session& session, const SharedView& view) const {
  const ReplaySummary* layer = session.layer_summary();
  const ReplaySummary* all = session.total();
  const int32_t at_layer = session.selection().layer;
  const bool stale_layer = !session.layer_is_current(), stale_all = !session.total_is_current();
  struct Row {
    const char* name;
    double ReplaySummary::*field;
    const char* format;
    const char* help;
    const char* change = "{:.4f}";  ///< of a difference
  };
  static constexpr Row kRows[] = {
      {"recovered mass", &ReplaySummary::recovered, "%.4f",
       "attention of the full row that the attended positions hold"},
      {"oracle mass", &ReplaySummary::oracle, "%.4f", "the most that as many positions could hold"},
      {"normalised mass", &ReplaySummary::normalised, "%.4f", "recovered / oracle"},
      {"top-K overlap", &ReplaySummary::overlap, "%.4f", "share of this step's own top-K that the kept set holds"},
      {"output error, mean", &ReplaySummary::output_error_mean, "%.4f",
       "relative to full attention's output, per head"},
      {"output error, p95", &ReplaySummary::output_error_p95, "%.4f", "95th percentile over steps and heads"},
      {"effective stride", &ReplaySummary::effective_stride, "%.2f",
       "steps per step that chooses anew (a full step, of most policies)", "{:.2f}"},
      {"positions", &ReplaySummary::positions, "%.1f", "attended to, per step and KV head", "{:.1f}"},
  };
  const ReplaySummary *const base = baseline_total(session), *const base_layer = baseline_layer(session, at_layer);
  const bool compares = session.data<Baseline>().pinned().has_value();
  if (!ImGui::BeginTable("results", compares ? 4 : 3, ImGuiTableFlags_RowBg | ImGuiTableFlags_SizingStretchProp))
    return;
  ImGui::TableSetupColumn("means over steps", 0, 2.0F);
  ImGui::TableSetupColumn(fmt::format("layer {}###layer", at_layer).c_str(), 0, 1.2F);
  ImGui::TableSetupColumn("all layers", 0, 1.2F);
  if (compares) ImGui::TableSetupColumn("\u0394", 0, 1.2F);
  ImGui::TableHeadersRow();
  const ImVec4 text = ImGui::GetStyleColorVec4(ImGuiCol_Text), dim = palette(view.light).dim;
  for (const Row& row : kRows) {
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(elided(row.name, ImGui::GetContentRegionAvail().x).c_str());
    ImGui::SetItemTooltip("%s: %s", row.name, row.help);
    const auto describe = [&](const ReplaySummary& now, const ReplaySummary* before) {
      if (!std::isfinite(now.*row.field)) return ImGui::SetItemTooltip("%s", why_none(session, row.field).c_str());
      if (before == nullptr) return;
      const std::string change = than_baseline(session, now.*row.field, before->*row.field, "{:.4g}");
      if (!change.empty()) ImGui::SetItemTooltip("%s", change.c_str());
    };
    ImGui::TableNextColumn();
    if (layer != nullptr) {
      ImGui::TextColored(stale_layer ? dim : text, "%s", shown(layer->*row.field, row.format).c_str());
      describe(*layer, base_layer);
    }
    ImGui::TableNextColumn();
    if (all == nullptr) continue;
    ImGui::TextColored(stale_all ? dim : text, "%s", shown(all->*row.field, row.format).c_str());
    describe(*all, base);
    if (!compares) continue;
    ImGui::TableNextColumn();
    if (base == nullptr) continue;
    ImGui::TextColored(stale_all ? dim : text, "%s",
                       signed_difference(all->*row.field, base->*row.field, row.change).c_str());
    describe(*all, base);
  }
  ImGui::EndTable();
}

void Tune::save(const Session& session, SharedView& view, bool overwrite) {
  try {
    save_settings(session, save_path_, overwrite);
    save_message_ = "saved " + save_path_;
    save_failed_ = false;
    ++view.n_saved;
  } catch (const Error& error) {
    save_message_ = error.what();
    save_failed_ = true;
  }
}

void Tune::draw_save(const Session& session, SharedView& view) {
  if (trace_ != session.path()) {
    trace_ = session.path();
    save_path_ = (session.path().parent_path() / "reattend.toml").string();
    save_message_.clear();
  }
  ImGui::SetNextItemWidth(-1);
  ImGui::InputTextWithHint("##path", "file to save the settings to", &save_path_);
  if (ImGui::Button("save settings", ImVec2(-1, 0)) && !save_path_.empty()) {
    std::error_code error;
    if (std::filesystem::exists(save_path_, error)) {
      ImGui::OpenPopup("overwrite?");
    } else {
      save(session, view, false);
    }
  }
  if (ImGui::BeginPopupModal("overwrite?", nullptr, ImGuiWindowFlags_AlwaysAutoResize)) {
    ImGui::Text("%s exists.", save_path_.c_str());
    if (ImGui::Button("overwrite")) save(session, view, true), ImGui::CloseCurrentPopup();
    ImGui::SameLine();
    if (ImGui::Button("keep it") || ImGui::IsKeyPressed(ImGuiKey_Escape)) ImGui::CloseCurrentPopup();
    ImGui::EndPopup();
  }
  if (save_message_.empty()) return;
  ImGui::PushTextWrapPos(0);
  ImGui::TextColored(save_failed_ ? palette(view.light).error : palette(view.light).dim, "%s", save_message_.c_str());
  ImGui::PopTextWrapPos();
}

void Tune::draw(Session& session, SharedView& view) {
  draw_policy(session);
  parameters_.draw(session, view);
  if (!session.replay_error().empty()) {
    ImGui::PushTextWrapPos(0);
    ImGui::TextColored(palette(view.light).error, "%s", session.replay_error().c_str());
    ImGui::PopTextWrapPos();
  }
  ImGui::Spacing();
  draw_results(session, view);
  draw_range_table(session, view);
  ImGui::Spacing();
  draw_save(session, view);
}

}  // namespace

std::unique_ptr<Panel> make_tune() {
  return std::make_unique<Tune>();
}

}  // namespace reattend::viz
