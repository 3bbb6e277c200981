// A line of text over a bar.
#include "viz/panels/waiting.h"

#include <algorithm>

#include <fmt/format.h>
#include <imgui.h>

#include "base/utf8.h"
#include "traces/read/reader.h"

namespace reattend::viz {

bool lacks_steps(const Session& session) {
  if (session.trace()->info.n_step > 0) return false;
  ImGui::TextWrapped("This trace holds no decode steps: %s.", kNoStepRemedy);
  return true;
}

void draw_waiting(const Session& session, const char* what) {
  ImGui::PushTextWrapPos(0);
  ImGui::TextDisabled("%s", what);
  ImGui::PopTextWrapPos();
  const BackgroundTasks::Activity activity = session.activity();
  if (!activity.busy) return;
  const std::string doing = visible(activity.what.empty() ? "working" : activity.what) + " \u2026";
  const float width = std::min(ImGui::GetContentRegionAvail().x, ImGui::GetFontSize() * 20);
  const bool known = activity.total > 0;
  ImGui::TextDisabled("%s", doing.c_str());
  if (known) ImGui::ProgressBar(static_cast<float>(activity.done / activity.total), ImVec2(width, 0));
}

}  // namespace reattend::viz
