// Asks the session and the sums of losses for a token's numbers, and makes colours and words of them.
#include "viz/panels/token_colors.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "viz/render/colormap.h"
#include "viz/render/theme.h"

namespace reattend::viz {
namespace {

constexpr float kLeastLogprob = -8;  ///< full colour: one in 3,000
constexpr float kDecades = 1e-3F;    ///< of the largest loss, from which on a loss has a colour

ColorScale weights_on(const SharedView& view) {
  return {
      .low = view.logarithmic ? 1e-5F : 0.0F, .high = view.logarithmic ? 0.1F : 1.0F, .logarithmic = view.logarithmic};
}

ImU32 with_alpha(ImVec4 color, float alpha) {
  color.w = alpha;
  return alpha > 0 ? ImGui::ColorConvertFloat4ToU32(color) : 0;
}

}  // namespace

std::optional<float> logprob_of(const Session& session, int32_t position) {
  const std::vector<float>& all = session.trace()->steps.logprob;
  const int32_t t = position - session.trace()->info.n_prompt;
  if (t < 0 || t >= static_cast<int32_t>(all.size())) return {};
  return all[static_cast<size_t>(t)];
}

const PositionLosses* TokenColors::losses() const {
  return current_ ? losses_.get() : nullptr;
}

float TokenColors::loss_place(const Session& session, const SharedView& view, int32_t position, int32_t step) const {
  const auto place = [](float loss, float most) {
    return most > 0 ? ColorScale{.low = kDecades * most, .high = most, .logarithmic = true}.place(loss) : 0;
  };
  if (view.text_colors == TextColors::loss) {
    const PositionLosses* const sums = losses();
    const bool known = sums != nullptr && position < static_cast<int32_t>(sums->sums.size());
    return known ? place(sums->sums[static_cast<size_t>(position)], sums->largest) : 0;
  }
  if (session.attended(step, position).value_or(true)) return 0;
  return place(session.weight(step, position).value_or(0), 0.1F);
}

TokenColor TokenColors::of(const Session& session, const SharedView& view, int32_t position, int32_t step) const {
  constexpr float kStrongest = 0.58F;  // text on it has a contrast of 4.5 or more in both themes
  const Palette& colors = palette(view.light);
  switch (view.text_colors) {
    case TextColors::loss:
      return {.behind = with_alpha(colors.lost, kStrongest * loss_place(session, view, position, step))};
    case TextColors::logprob: {
      const std::optional<float> logprob = logprob_of(session, position);
      if (!logprob) return {};
      return {.behind = with_alpha(colors.threshold, kStrongest * std::clamp(*logprob / kLeastLogprob, 0.0F, 1.0F))};
    }
    case TextColors::weight:
      break;
  }
  const std::optional<float> weight = session.weight(step, position);
  const std::optional<bool> attended = session.attended(step, position);
  const ImVec4 color = view.marks && attended && !*attended ? colors.lost : colors.kept;
  return {.behind = weight ? with_alpha(color, kStrongest * weights_on(view).place(*weight)) : 0,
          .line = view.marks && attended.value_or(false) ? with_alpha(color, 1) : 0};
}

std::string TokenColors::describe(const Session& session, int32_t position, int32_t step) const {
  const OpenedTrace& trace = *session.trace();
  std::string text = fmt::format("position {}, token \u201c{}\u201d", position, session.token_text(position));
  const auto at = static_cast<size_t>(position);
  if (at < trace.token_ids.size()) text += fmt::format(", id {}", trace.token_ids[at]);
  text += "\nbytes";
  constexpr size_t kMost = 24;
  const std::string& bytes = trace.token_texts[at];
  for (size_t i = 0; i < std::min(bytes.size(), kMost); ++i)
    text += fmt::format(" {:02X}", static_cast<uint8_t>(bytes[i]));
  if (bytes.size() > kMost) text += fmt::format(" \u2026 ({} in all)", bytes.size());
  if (const std::optional<float> weight = session.weight(step, position)) {
    text += fmt::format("\nweight {:.9g} at step {}", *weight, step);
  }
  if (const std::optional<bool> attended = session.attended(step, position)) {
    text += *attended ? ", attended to" : ", not attended to";
  }
  if (const PositionLosses* const sums = losses(); sums != nullptr && at < sums->sums.size()) {
    text += fmt::format("\nlost {:.6g} over steps {} to {}", sums->sums[at], sums->steps.first, sums->steps.last);
  }
  if (const std::optional<float> logprob = logprob_of(session, position)) {
    text += fmt::format("\nlog-probability {:.4f}", *logprob);
  }
  return text;
}

std::string TokenColors::legend(const Session& session, const SharedView& view, int32_t step) const {
  switch (view.text_colors) {
    case TextColors::weight:
      return fmt::format("blue: attended to at step {}; orange: lost", step);
    case TextColors::loss: {
      const PositionLosses* const sums = losses();
      if (sums == nullptr) return "sums of losses \u2026";
      if (sums->largest <= 0)
        return fmt::format("nothing is lost over steps {} to {}", sums->steps.first, sums->steps.last);
      return fmt::format("weight lost over steps {} to {}, at most {:.3g}", sums->steps.first, sums->steps.last,
                         sums->largest);
    }
    case TextColors::logprob:
      break;
  }
  if (session.trace()->steps.logprob.empty()) return "the trace has no log-probabilities";
  return fmt::format("generated tokens, {:.0f} and below the strongest; not recorded of the prompt", kLeastLogprob);
}

void TokenColors::draw_choice(const Session& session, SharedView& view, int32_t step) {
  const int32_t n_step = session.trace()->info.n_step;
  losses_ = n_step > 0 ? session.data<LossSums>().ask(view.range.value_or(Steps{1, n_step})) : nullptr;
  const Selection& at = session.selection();
  current_ = losses_ && losses_->settings == session.settings() && losses_->layer == at.layer &&
             losses_->kv_head == at.kv_head;
  ImGui::SetNextItemWidth(ImGui::GetFontSize() * 9);
  int by = static_cast<int>(view.text_colors);
  if (ImGui::Combo("##colour", &by, kTextColors.data(), static_cast<int>(kTextColors.size())))
    view.text_colors = static_cast<TextColors>(by);
  ImGui::SetItemTooltip("what the colours of the text are by");
  ImGui::SameLine();
  ImGui::PushTextWrapPos(0);
  ImGui::TextDisabled("%s", legend(session, view, step).c_str());
  ImGui::PopTextWrapPos();
}

}  // namespace reattend::viz
