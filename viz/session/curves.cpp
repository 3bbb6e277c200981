// Asks the analyses of the trace library for one layer at a time.
#include "viz/session/curves.h"

#include <utility>

#include "policies/settings_enums.h"
#include "replay/analysis/analyse.h"
#include "viz/session/session.h"

namespace reattend::viz {
LayerCurves Curves::answer(Replayer& replayer, const Question& question, const Cancel& cancel) {
  AnalysisRequest lists = {.what = {}};
  lists.settings.set("K", int64_t{question.budget});
  fill_in(lists, replayer.info());
  LayerCurves out = {.layer = question.layer, .budget = question.budget, .budgets = lists.curve, .lags = lists.lags};
  ThreadPool alone(1);
  const PreparedLayer& prepared = replayer.layer(question.layer, cancel);
  const CoverageRequest masses = {.budgets = out.budgets, .levels = {}};
  const LayerCoverage covered = coverage(prepared, question.layer, masses, alone, cancel);
  for (size_t i = 0; i < out.budgets.size(); ++i) {
    out.mass.push_back(coverage_spread({&covered, 1}, &LayerCoverage::mass, i));
  }
  const OverlapRequest sets = {
      .lags = out.lags, .budgets = {question.budget}, .reduce = question.reduce, .pool = question.pool};
  const LayerOverlap aged = overlap_by_lag(prepared, question.layer, sets, alone, cancel);
  for (size_t lag = 0; lag < out.lags.size(); ++lag) out.aged.push_back(aged_means({&aged, 1}, lag, 0));
  return out;
}

Curves::~Curves() {
  tasks_.drop(kind_);
}

void Curves::enter(std::shared_ptr<Replayer> replayer) {
  tasks_.drop(kind_);
  replayer_ = std::move(replayer);
  question_ = {}, asked_ = false;
  curves_.reset();
  tasks_.locked([&] { found_->reset(); });
}

const LayerCurves* Curves::ask() {
  asked_ = true;
  return curves_.get();
}

void Curves::update(const Session& session) {
  if (!replayer_) return;
  tasks_.locked([&] {
    if (*found_) curves_ = std::exchange(*found_, nullptr);
  });
  if (!std::exchange(asked_, false) || !session.setting_error().empty()) return;
  const Settings recycled = recycled_of(session.settings());
  const int32_t layer = session.selection().layer, n_prompt = session.trace()->info.n_prompt;
  const Question question = {.layer = layer,
                             .budget = static_cast<int32_t>(recycled.count("K", layer, n_prompt)),
                             .pool = static_cast<int32_t>(recycled.count("pool", layer, n_prompt)),
                             .reduce = reduce_of(recycled)};
  if (question == question_) return;
  question_ = question;
  tasks_.post(kind_, [question, replayer = replayer_, found = found_](const BackgroundTasks::Context& context) {
    context.progress("curves of the layer", 0, 0, "");
    auto curves = std::make_shared<const LayerCurves>(answer(*replayer, question, context.cancel));
    context.deliver([&] { *found = std::move(curves); });
  });
}

bool Curves::idle() const {
  bool news = false;
  tasks_.locked([&] { news = *found_ != nullptr; });
  return !news;
}

}  // namespace reattend::viz
