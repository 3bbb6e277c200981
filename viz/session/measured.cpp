// Reads the files on the background thread, and replays there what was measured without having been predicted.
#include "viz/session/measured.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "policies/policy_list.h"
#include "replay/cost/cost.h"
#include "tune/judge.h"
#include "viz/session/session.h"
#include "viz/session/tried.h"

namespace reattend::viz {
namespace {

/// From some of the layers follows neither KL nor time.
bool can_predict(const TraceInfo& info) {
  return info.n_step > 0 && info.n_stored() >= info.n_acting();
}

/// What is predicted of a measured setting before anything was measured.
void predict(MeasuredSetting& measured, const TunedTrace& trace, const Prediction& studied, bool calibrated,
             Replayer& replayer, const Cancel& cancel) {
  try {
    const ReplayRequest request = request_to_judge(studied, measured.settings, trace.info.acting_layers());
    const ReplayResult replayed = replayer.run(request, {}, cancel);
    const CostUnit unit = calibrated ? CostUnit::ms : CostUnit::megabytes;
    const Metrics metrics = judge(trace, studied, unit, replayed.layers);
    measured.predicted_kl = metrics.predicted_kl;
    if (calibrated) measured.predicted_ms = metrics.cost;
  } catch (const Error&) {
    // A setting that the engine took but the trace does not give (h2o without the prompt's sums, say) has none.
  }
}

void predict_all(TraceFiles& files, Replayer& replayer, const BackgroundTasks::Context& context) {
  const TraceInfo& info = replayer.info();
  if (!can_predict(info)) return;
  const Prediction studied = make_prediction(info, {}, {});
  const bool calibrated = is_calibrated(info.calibration);
  const TunedTrace trace = tuned_trace(info, studied, calibrated ? CostUnit::ms : CostUnit::megabytes);
  const auto lacks = [](const MeasuredSetting& each) {
    return std::isnan(each.predicted_kl) && std::isnan(each.predicted_ms);
  };
  const auto n = static_cast<double>(std::ranges::count_if(files.measured, lacks));
  double done = 0;
  for (MeasuredSetting& each : files.measured) {
    if (!lacks(each)) continue;
    context.progress("predictions of what was measured", done++, n, "settings");
    predict(each, trace, studied, calibrated, replayer, context.cancel);
  }
}

}  // namespace

Measured::Measured(BackgroundTasks& tasks, int kind) : tasks_(tasks), kind_(kind) {}

Measured::~Measured() {
  tasks_.drop(kind_);
}

void Measured::enter(std::shared_ptr<Replayer> replayer) {
  tasks_.drop(kind_);
  replayer_ = std::move(replayer);
  wanted_ = replayer_ != nullptr;
  files_ = std::make_shared<const TraceFiles>();
  found_ = std::make_shared<std::shared_ptr<const TraceFiles>>();
  judged_under_.reset(), tuned_.clear();
  ++version_, ++tuned_version_;
}

void Measured::update(const Session& session) {
  if (!replayer_) return;
  std::shared_ptr<const TraceFiles> found;
  tasks_.locked([&] { found = std::exchange(*found_, nullptr); });
  if (found) {
    files_ = std::move(found);
    judged_under_.reset();
    ++version_;
    for (const MeasuredSetting& each : files_->measured)
      session.data<Tried>().add_measured(each.settings, each.measured);
  }
  if (session.tuning() != judged_under_) {
    judged_under_ = session.tuning();
    judge_tuned(*judged_under_);
  }
  if (!std::exchange(wanted_, false)) return;
  tasks_.post(kind_,
              [path = session.path(), replayer = replayer_, to = found_](const BackgroundTasks::Context& context) {
                auto files = std::make_shared<TraceFiles>(read_trace_files(path, context.cancel));
                context.deliver([&] { *to = std::make_shared<const TraceFiles>(*files); });
                predict_all(*files, *replayer, context);
                context.deliver([&] { *to = files; });
              });
}

bool Measured::idle() const {
  bool news = false;
  tasks_.locked([&] { news = *found_ != nullptr; });
  return !news && !wanted_;
}

void Measured::judge_tuned(const TuneResult& now) {
  ++tuned_version_;
  tuned_.clear();
  const TunedFile& file = files_->tuned;
  // Another calibration gives full attention another cost.
  constexpr double kSame = 1e-9;
  const double then = file.full_cost / file.correction.full_ms,
               here = now.full_cost / now.prediction.correction.full_ms;
  if (file.estimate != now.prediction.estimate || file.calibrated != now.calibrated) return;
  if (!(std::abs(then - here) <= kSame * std::abs(here))) return;
  for (const auto& [settings, metrics] : file.points)
    tuned_.insert_or_assign(policy_entry(settings), judge_again(metrics, file.correction, now));
}

const MeasuredSetting* Measured::find(const Settings& settings) const {
  const auto at = std::ranges::find(files_->measured, settings, &MeasuredSetting::settings);
  return at != files_->measured.end() ? &*at : nullptr;
}

const Metrics* Measured::tuned(const Settings& settings) const {
  const auto at = tuned_.find(policy_entry(settings));
  return at != tuned_.end() ? &at->second : nullptr;
}

}  // namespace reattend::viz
