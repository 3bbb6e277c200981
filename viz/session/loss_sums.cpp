// Replays the layer, and adds up rows without what was attended to as its steps are done.
#include "viz/session/loss_sums.h"

#include <algorithm>
#include <utility>

#include "viz/session/session.h"

namespace reattend::viz {
namespace {

void add_up(Replayer& replayer, PositionLosses& out, const Cancel& cancel) {
  const TraceInfo& info = replayer.info();
  std::vector<double> sums(static_cast<size_t>(info.n_prompt) + static_cast<size_t>(info.n_step), 0.0);
  std::vector<float> row(sums.size());
  const ReplayRequest request = {.settings = out.settings, .layers = {out.layer}, .output_error = false};
  replayer.run(request, {}, cancel, {}, [&](const PreparedLayer& prepared, Steps part, const LayerReplay& replay) {
    for (int32_t t = std::max(part.first, out.steps.first); t <= std::min(part.last, out.steps.last); ++t) {
      cancel.check();
      prepared.copy_row(out.kv_head, t, row.data());
      for (const auto [begin, end] : replay.sets[static_cast<size_t>(t - 1) * info.n_kv_head + out.kv_head].runs()) {
        std::fill(row.begin() + begin, row.begin() + end, 0.0F);
      }
      for (int32_t j = 0; j < prepared.n_row(t); ++j) sums[static_cast<size_t>(j)] += row[static_cast<size_t>(j)];
    }
  });
  out.sums.assign(sums.begin(), sums.end());
  out.largest = *std::ranges::max_element(out.sums);
}

}  // namespace

LossSums::~LossSums() {
  tasks_.drop(kind_);
}

void LossSums::enter(std::shared_ptr<Replayer> replayer) {
  tasks_.drop(kind_);
  replayer_ = std::move(replayer);
  job_.reset(), losses_.reset(), found_ = std::make_shared<Found>();
  asked_ = false;
}

std::shared_ptr<const PositionLosses> LossSums::ask(Steps steps) {
  asked_ = true, wanted_ = steps;
  return losses_;
}

void LossSums::update(const Session& session) {
  if (!replayer_) return;
  Found found;
  tasks_.locked([&] { found = std::exchange(*found_, nullptr); });
  if (found) losses_ = std::move(found);
  if (!std::exchange(asked_, false) || !session.layer_is_current()) return;
  const Selection& at = session.selection();
  if (job_ && job_->settings == session.settings() && job_->layer == at.layer && job_->kv_head == at.kv_head &&
      job_->steps == wanted_) {
    return;
  }
  job_ = PositionLosses{.settings = session.settings(), .layer = at.layer, .kv_head = at.kv_head, .steps = wanted_};
  tasks_.post(kind_, [asked = *job_, replayer = replayer_, to = found_](const BackgroundTasks::Context& context) {
    auto losses = std::make_shared<PositionLosses>(asked);
    add_up(*replayer, *losses, context.cancel);
    context.deliver([&] { *to = std::move(losses); });
  });
}

bool LossSums::idle() const {
  bool news = false;
  tasks_.locked([&] { news = *found_ != nullptr; });
  return !news;
}

}  // namespace reattend::viz
