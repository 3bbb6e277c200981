// Both answer by what the replay library has: a replay of one layer, the analysis of gates.
#include "viz/session/gates.h"

#include <algorithm>

#include "policies/shared_parameters.h"
#include "replay/analysis/analyse.h"
#include "viz/session/session.h"

namespace reattend::viz {

void GateCounts::enter(std::shared_ptr<Replayer> replayer) {
  tasks_.drop(kind_);
  tasks_.locked([&] { found_->reset(); });
  replayer_ = std::move(replayer);
  known_.clear(), wanted_.reset(), asked_.reset();
}

std::optional<GateCount> GateCounts::ask(const Settings& settings, int32_t layer) {
  const auto found = std::ranges::find_if(known_, [&](const Known& each) { return each.is(settings, layer); });
  if (found != known_.end()) return found->count;
  wanted_ = {settings, layer};
  return std::nullopt;
}

void GateCounts::update(const Session& /*session*/) {
  std::optional<Known> found;
  tasks_.locked([&] { found = std::exchange(*found_, std::nullopt); });
  constexpr size_t kMost = 64;
  if (found) known_.push_back(std::move(*found));
  if (known_.size() > kMost) known_.erase(known_.begin());
  auto wanted = std::exchange(wanted_, std::nullopt);
  if (!replayer_ || !wanted || wanted == asked_) return;
  asked_ = wanted;
  tasks_.post(kind_, [wanted = std::move(*wanted), replayer = replayer_,
                      out = found_](const BackgroundTasks::Context& context) {
    const auto& [settings, layer] = wanted;
    const ReplayRequest request = {.settings = settings, .layers = {layer}, .output_error = false};
    const ReplayResult result = replayer->run(request, {}, context.cancel);
    Known made{settings, layer, due_steps(result.layers.front(), settings, replayer->info()).count};
    context.deliver([&] { *out = std::move(made); });
  });
}

bool GateCounts::idle() const {
  bool news = false;
  tasks_.locked([&] { news = found_->has_value(); });
  return !news;
}

/// The cases of one setting, layer by layer as they are made, and the page that was made of them last.
struct GatePages::Job {
  Settings settings;  ///< with its gate at work and the default threshold: the cases are the same under any
  std::map<int32_t, GateCases> cases;     ///< the task's
  std::shared_ptr<const GatePage> found;  ///< guarded by the queue's lock

  void add(int32_t layer, Replayer& replayer, ThreadPool& pool, const Cancel& cancel);
  std::shared_ptr<const GatePage> page(double rho, int32_t layer, const TraceInfo& info) const;
};

void GatePages::Job::add(int32_t layer, Replayer& replayer, ThreadPool& pool, const Cancel& cancel) {
  const TraceInfo& info = replayer.info();
  // The lag is S; this one stands in where S is `never` or longer than the trace.
  constexpr int32_t kOtherwise = 64;
  const AnalysisRequest request = {.what = {Analysis::gate},
                                   .settings = settings,
                                   .layers = {layer},
                                   .budgets = {},
                                   .curve = {},
                                   .lags = {std::max(1, std::min(kOtherwise, info.n_step / 2))},
                                   .strides = {},
                                   .thresholds = {}};
  AnalysisResult result = analyse(replayer, {}, request, pool, {}, cancel);
  cases.insert_or_assign(layer, std::move(result.gate.front().front()));
}

std::shared_ptr<const GatePage> GatePages::Job::page(double rho, int32_t layer, const TraceInfo& info) const {
  auto out = std::make_shared<GatePage>();
  out->rho = rho, out->layer = layer;
  out->n_done = static_cast<int32_t>(cases.size()), out->n_layer = info.n_stored();
  const QueryStage stage = stage_of(settings);
  const auto at = static_cast<size_t>(std::ranges::find(kStages, stage) - kStages.begin());
  std::vector<GateCases> all;
  for (const auto& [of, each] : cases) all.push_back(each);
  const auto own = cases.find(layer);
  if (own != cases.end()) out->own = gate_curve(std::span(&own->second, 1), at, rho);
  out->all = gate_curve(all, at, rho);
  out->mean_own = mean_auc(all, at, rho);
  return out;
}

void GatePages::enter(std::shared_ptr<Replayer> replayer) {
  tasks_.drop(kind_);
  replayer_ = std::move(replayer);
  job_.reset(), page_.reset(), wanted_.reset();
  asked_ = {-1, -1};
}

const GatePage* GatePages::ask(double rho) {
  wanted_ = rho;
  return page_.get();
}

void GatePages::update(const Session& session) {
  const std::optional<double> rho = std::exchange(wanted_, std::nullopt);
  if (!replayer_) return;
  if (job_) {
    std::shared_ptr<const GatePage> found;
    tasks_.locked([&] { found = std::exchange(job_->found, nullptr); });
    if (found) page_ = std::move(found);
  }
  if (!rho || !why_no_gate_page(session.settings()).empty() || !session.setting_error().empty()) return;
  Settings settings = session.settings();
  settings.set(kThreshold.key, parse_value(kThreshold, kThreshold.initial));
  settings.let_decide(kThreshold.key);
  const int32_t layer = session.selection().layer;
  const bool same = job_ && job_->settings == settings;
  if (same && asked_ == std::pair{*rho, layer}) return;
  if (!same) {
    job_ = std::make_shared<Job>(Job{.settings = settings, .cases = {}, .found = {}});
    page_.reset();
  }
  asked_ = {*rho, layer};
  tasks_.post(kind_, [job = job_, rho = *rho, layer, replayer = replayer_,
                      pool = &session.pool()](const BackgroundTasks::Context& context) {
    const TraceInfo& info = replayer->info();
    const auto deliver = [&] {
      auto page = job->page(rho, layer, info);
      context.deliver([&] { job->found = std::move(page); });
    };
    if (!job->cases.contains(layer)) job->add(layer, *replayer, *pool, context.cancel);
    deliver();
    for (int32_t i = 0; i < info.n_stored(); ++i) {
      context.progress("similarity as a detector", i, info.n_stored(), "layers");
      if (!job->cases.contains(info.stored_layer(i))) job->add(info.stored_layer(i), *replayer, *pool, context.cancel);
    }
    deliver();
  });
}

bool GatePages::idle() const {
  bool news = false;
  tasks_.locked([&] { news = job_ && job_->found; });
  return !news;
}

std::string why_no_gate_page(const Settings& settings) {
  if (settings.takes(kThreshold.key) && settings.takes(kStride.key)) return {};
  return "known of policies that recycle a set between due steps alone";
}

}  // namespace reattend::viz
