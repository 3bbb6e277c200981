// Sets the pieces one after the other, in as many lines as the window's width makes of them.
#include "viz/panels/goal_strip.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <imgui.h>
#include <imgui_internal.h>

#include "base/error.h"
#include "viz/render/theme.h"
#include "viz/session/differences.h"
#include "viz/session/goal.h"

namespace reattend::viz {
namespace {

struct BoundWords {
  const char *label, *relation, *help;
};

BoundWords words_of(Bounded of) {
  switch (of) {
    case Bounded::kl:
      return {"KL", "\u2264",
              "the largest mean KL that you accept, in nats; predicted here, measured by `reattend verify`"};
    case Bounded::output_error:
      return {"output error p95", "\u2264", "held where no KL is predicted: 95th percentile over steps and heads"};
    case Bounded::lost_mass:
      return {"lost mass", "\u2264", "held where no KL is predicted: mean share of attention on what is left out"};
    case Bounded::ms:
      return {"ms", "\u2264", "the longest time of a token that you accept, as predicted"};
    case Bounded::agreement:
      break;
  }
  return {"top-1 agreement", "\u2265",
          "the least share of steps with full attention's first choice; a replay cannot tell it: `reattend verify` and "
          "`reattend tune --model` measure it"};
}

/// Where a bound that may be none has its limit; null for that on KL, which always has one.
std::optional<double>* optional_limit(TuneBounds& bounds, Bounded of) {
  switch (of) {
    case Bounded::kl:
      return nullptr;
    case Bounded::agreement:
      return &bounds.min_agreement;
    case Bounded::output_error:
      return &bounds.max_output_error;
    case Bounded::lost_mass:
      return &bounds.max_lost_mass;
    case Bounded::ms:
      break;
  }
  return &bounds.max_ms;
}

/// 0: there is none.
double limit_of(TuneBounds bounds, Bounded of) {
  const std::optional<double>* const limit = optional_limit(bounds, of);
  return limit != nullptr ? limit->value_or(0) : bounds.max_kl;
}

void set_limit(TuneBounds& bounds, Bounded of, double limit) {
  if (std::optional<double>* const at = optional_limit(bounds, of)) {
    *at = limit == 0 ? std::nullopt : std::optional(limit);
  } else {
    bounds.max_kl = limit;
  }
}

float text_width(const std::string& text) {
  return ImGui::CalcTextSize(text.c_str()).x;
}

}  // namespace

void GoalStrip::place(float width) {
  const float gap = 2 * ImGui::GetFontSize(), left = ImGui::GetStyle().WindowPadding.x;
  const bool fits = right_ + gap + width <= ImGui::GetWindowWidth() - left;
  if (right_ > 0 && fits) {
    ImGui::SameLine(right_ + gap);
    right_ += gap + width;
  } else {
    if (right_ > 0) ++line_;
    right_ = left + width;
  }
}

void GoalStrip::draw_text(const std::string& text, const std::string& help, const ImVec4& color) {
  place(text_width(text));
  ImGui::AlignTextToFramePadding();
  ImGui::TextColored(color, "%s", text.c_str());
  if (help.empty() || !ImGui::BeginItemTooltip()) return;
  ImGui::PushTextWrapPos(ImGui::GetFontSize() * 34);
  ImGui::TextUnformatted(help.c_str());
  ImGui::PopTextWrapPos();
  ImGui::EndTooltip();
}

bool GoalStrip::edit(const char* label, double& value) {
  ImGui::SetNextItemWidth(ImGui::GetFontSize() * 4);
  return ImGui::InputDouble(label, &value, 0, 0, value == 0 ? "none" : "%.4g", ImGuiInputTextFlags_AutoSelectAll);
}

void GoalStrip::draw_bounds(Session& session, const SharedView& view) {
  const Palette& colors = palette(view.light);
  const ImVec4 text = ImGui::GetStyleColorVec4(ImGuiCol_Text);
  const std::vector<GoalBound> held = bounds_of(session);
  for (const Bounded of : {Bounded::kl, Bounded::output_error, Bounded::lost_mass, Bounded::ms, Bounded::agreement}) {
    const auto at = std::ranges::find(held, of, [](const GoalBound& each) { return each.bound.of; });
    const bool holds = at != held.end();
    const bool stands_in = of == Bounded::output_error || of == Bounded::lost_mass;
    if (stands_in && !holds) continue;
    const BoundWords words = words_of(of);
    std::string label = words.label, verdict = "measured only";
    ImVec4 color = colors.dim;
    if (holds) {
      if (stands_in && !std::isnan(at->value)) label += fmt::format(" {:.3g}", at->value);
      verdict = at->verdict == Verdict::within ? "kept" : at->verdict == Verdict::beyond ? "exceeded" : "not known";
      if (at->verdict != Verdict::unknown) color = at->verdict == Verdict::within ? colors.kept : colors.error;
    } else if (of == Bounded::ms) {
      const bool calibrated = session.tuning()->calibrated;
      verdict = calibrated ? "" : "not known";
    }
    label += fmt::format(" {}", words.relation);
    const ImGuiStyle& style = ImGui::GetStyle();
    place(text_width(label) + text_width(verdict) + 4 * ImGui::GetFontSize() + 2 * style.ItemInnerSpacing.x);
    ImGui::AlignTextToFramePadding();
    ImGui::TextColored(text, "%s", label.c_str());
    ImGui::SetItemTooltip("%s", words.help);
    ImGui::SameLine(0, style.ItemInnerSpacing.x);
    double limit = holds ? at->bound.limit : limit_of(session.bounds(), of);
    ImGui::PushID(static_cast<int>(of));
    if (edit("##limit", limit)) {
      TuneBounds bounds = session.bounds();
      set_limit(bounds, of, limit);
      try {
        session.set_bounds(bounds);
        error_.clear();
      } catch (const Error& error) {
        error_ = error.what();
      }
    }
    ImGui::SetItemTooltip("%s", words.help);
    ImGui::PopID();
    if (verdict.empty()) continue;
    ImGui::SameLine(0, style.ItemInnerSpacing.x);
    ImGui::TextColored(color, "%s", verdict.c_str());
  }
  if (!error_.empty()) draw_text(error_, {}, colors.error);
}

void GoalStrip::draw(Session& session, const SharedView& view) {
  const ImGuiStyle& style = ImGui::GetStyle();
  const float line = ImGui::GetFrameHeight() + style.ItemSpacing.y;
  const float height = static_cast<float>(n_line_) * line - style.ItemSpacing.y + 2 * style.WindowPadding.y;
  constexpr ImGuiWindowFlags kFlags = ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoSavedSettings;
  right_ = 0, line_ = 1;
  if (ImGui::BeginViewportSideBar("##Goal", ImGui::GetMainViewport(), ImGuiDir_Up, height, kFlags)) {
    const Palette& colors = palette(view.light);
    const ImVec4 text = ImGui::GetStyleColorVec4(ImGuiCol_Text);
    if (session.tuning() == nullptr) {
      draw_text(session.trace() == nullptr ? "no trace" : "a trace without decode steps", {}, colors.dim);
    } else {
      const GoalText kl = kl_in_words(session), time = time_in_words(session);
      draw_text(kl.text, kl.help, kl.current ? text : colors.dim);
      if (!time.text.empty()) draw_text(time.text, time.help, time.current ? text : colors.dim);
      draw_bounds(session, view);
      const GoalText change = difference_in_words(session);
      if (!change.text.empty()) draw_text(change.text, change.help, change.current ? colors.full : colors.dim);
    }
    n_line_ = line_;
  }
  ImGui::End();
}

}  // namespace reattend::viz
