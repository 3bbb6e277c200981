// A child window over the similarity's plot.
#include "viz/panels/gate_inset.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <imgui.h>

#include "policies/shared_parameters.h"
#include "viz/render/theme.h"
#include "viz/session/ledger.h"

namespace reattend::viz {
namespace {

/// The curve from (0, 0) to (1, 1) in a square, with its best point.
void draw_curve(ImDrawList& list, ImVec2 corner, float side, const GateCurve& curve, ImU32 color) {
  if (!curve.has_both()) return;
  const auto at = [&](const GateScore& score) {
    return ImVec2(corner.x + static_cast<float>(score.false_alarm_rate()) * side,
                  corner.y + side - static_cast<float>(score.recall()) * side);
  };
  // No more points than there are pixels; the ends are always among them.
  const size_t every = std::max<size_t>(1, curve.points.size() / std::max<size_t>(2, static_cast<size_t>(2 * side)));
  for (size_t i = 0; i < curve.points.size(); i += every) list.PathLineTo(at(curve.points[i]));
  list.PathLineTo(at(curve.points.back()));
  list.PathStroke(color, 1.5F);
  list.AddCircleFilled(at(curve.points[curve.best]), ImGui::GetFontSize() * 0.22F, color);
}

std::string area_text(double auc) {
  return std::isnan(auc) ? std::string("\u2013") : fmt::format("{:.2f}", auc);
}

}  // namespace

Settings with_threshold(const Settings& settings, double threshold, std::optional<int32_t> layer, int32_t n_layer) {
  Settings out = settings;
  if (layer) {
    out = with_value(settings, std::string(kThreshold.key), threshold, {*layer}, n_layer);
  } else {
    out.set(kThreshold.key, threshold);
  }
  // A fixed schedule ignores the threshold; who sets it wants it to decide.
  out.let_decide(kThreshold.key);
  return out;
}

void GateInset::draw_texts(Session& session, const GatePage& page) {
  const int32_t layer = session.selection().layer, n_layer = session.trace()->info.n_layer;
  ImGui::TextUnformatted("tells steps that lose");
  ImGui::SetNextItemWidth(ImGui::GetFontSize() * 6);
  ImGui::DragFloat("##loss", &loss_, 0.002F, 0.001F, 0.9F, "> %.3f", ImGuiSliderFlags_AlwaysClamp);
  ImGui::SetItemTooltip(
      "of the mass that as many positions could hold, with a kept set that is S steps old;\n"
      "as `reattend analyse --what gate --rho %.3f` has it",
      1.0 - static_cast<double>(loss_));
  const auto line = [&](const char* name, const GateCurve& curve, std::optional<int32_t> of) {
    if (!curve.has_both()) return ImGui::TextDisabled("%s: none, or all do", name);
    const double best = curve.points[curve.best].threshold;
    ImGui::PushID(name);
    if (ImGui::SmallButton(fmt::format("{:.4g}", best).c_str())) {
      session.set_settings(with_threshold(session.settings(), best, of, n_layer));
    }
    const GateScore& score = curve.points[curve.best];
    ImGui::SetItemTooltip(
        "takes it: refreshes %.0f %% of the cases, %.0f %% of those that lose more, %.0f %% of the others",
        100 * score.refreshed(), 100 * score.recall(), 100 * score.false_alarm_rate());
    ImGui::PopID();
    ImGui::SameLine(0, ImGui::GetStyle().ItemInnerSpacing.x);
    ImGui::TextUnformatted(fmt::format("{}, area {}", name, area_text(curve.auc)).c_str());
    ImGui::SetItemTooltip("the chance that a step that loses more has the lower similarity; 0.5 is a guess");
  };
  line(fmt::format("layer {}", layer).c_str(), page.layer == layer ? page.own : GateCurve{}, layer);
  line(page.n_done < page.n_layer ? fmt::format("{} of {} layers", page.n_done, page.n_layer).c_str() : "all layers",
       page.all, std::nullopt);
}

void GateInset::draw(Session& session, const SharedView& view, ImVec2 corner, ImVec2 size) {
  if (!shown) return;
  const float em = ImGui::GetFontSize();
  const ImVec2 own(std::min(size.x * 0.7F, em * 19), std::max(em * 4, std::min(size.y - em * 0.6F, em * 8)));
  ImGui::SetCursorScreenPos(ImVec2(corner.x + em * 0.3F, corner.y + size.y - own.y - em * 0.3F));
  ImGui::PushStyleColor(ImGuiCol_ChildBg, ImGui::GetColorU32(ImGuiCol_PopupBg, 0.94F));
  if (ImGui::BeginChild("gate", own, ImGuiChildFlags_Borders, ImGuiWindowFlags_NoScrollbar)) {
    const std::string why = why_no_gate_page(session.settings());
    const GatePage* const page =
        why.empty() ? session.data<GatePages>().ask(1.0 - static_cast<double>(loss_)) : nullptr;
    if (page == nullptr) {
      ImGui::PushTextWrapPos(0);
      ImGui::TextDisabled("%s", why.empty() ? "how well similarity tells steps that lose \u2026" : why.c_str());
      ImGui::PopTextWrapPos();
    } else {
      const float side = ImGui::GetContentRegionAvail().y;
      const ImVec2 at = ImGui::GetCursorScreenPos();
      ImGui::Dummy(ImVec2(side, side));
      ImGui::SetItemTooltip(
          "across: the share of steps that would be refreshed without need;\nupwards: that of steps that "
          "lose more; each dot: where they differ most");
      ImDrawList& list = *ImGui::GetWindowDrawList();
      const ImU32 dim = ImGui::ColorConvertFloat4ToU32(palette(view.light).dim);
      list.AddRect(at, ImVec2(at.x + side, at.y + side), dim);
      list.AddLine(ImVec2(at.x, at.y + side), ImVec2(at.x + side, at.y), ImGui::GetColorU32(ImGuiCol_Border));
      draw_curve(list, at, side, page->all, dim);
      if (page->layer == session.selection().layer) {
        draw_curve(list, at, side, page->own, ImGui::ColorConvertFloat4ToU32(palette(view.light).kept));
      }
      ImGui::SameLine();
      ImGui::BeginGroup();
      draw_texts(session, *page);
      ImGui::EndGroup();
    }
  }
  ImGui::EndChild();
  ImGui::PopStyleColor();
}

}  // namespace reattend::viz
