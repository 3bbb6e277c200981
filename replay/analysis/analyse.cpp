// Runs the analyses: replays first, for they prepare rankings and outputs in one pass; then what looks at rows alone.
#include "replay/analysis/analyse.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "policies/policy.h"
#include "policies/settings_enums.h"

namespace reattend {
namespace {

constexpr int32_t kLongestLag = 64, kLeastCurve = 16;

void sort_once(std::vector<int32_t>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

/// What the result takes of memory, and the recorded steps that it is held against.
int64_t result_bytes(const AnalysisResult& out, const TraceInfo& info, int64_t n_layer) {
  const AnalysisRequest& request = out.request;
  const auto size = [](const auto& list) { return static_cast<int64_t>(list.size()); };
  const auto wants = [&](Analysis what) { return request.what.contains(what); };
  const int64_t n_step = info.n_step, n = n_step * info.n_kv_head;
  const int64_t n_lag = size(request.lags) + 1, n_budget = size(request.budgets) + 1;
  int64_t layer = 0;
  if (wants(Analysis::overlap) || wants(Analysis::gate)) {
    layer += n * n_lag * int64_t{sizeof(AgedSet)} * (wants(Analysis::overlap) ? n_budget : 1);
  }
  if (wants(Analysis::gate)) layer += n * n_lag * 12;
  if (wants(Analysis::coverage)) layer += n * 4 * (size(request.curve) + size(request.levels));
  if (wants(Analysis::cosine)) layer += n * 8 * (size(request.strides) + 1);
  if (wants(Analysis::lost)) layer += n_step * 24;
  const int64_t recorded = n * info.n_layer * (18 + 4 * size(info.overlap_k)) + n_step * (20 * 8 + 40);
  return n_layer * layer + n * n_layer * 4 + recorded;  // percentiles sort a copy of one number a row
}

CosineRule cosine_of(const Settings& settings) {
  return {.how = similarity_of(settings), .per_kv_head = is_per_kv_head(settings)};
}

/// `first`, then the others.
template <class T>
std::vector<T> before(T first, const std::vector<T>& others) {
  std::vector<T> out = {first};
  out.insert(out.end(), others.begin(), others.end());
  return out;
}

class Run {
 public:
  Run(Replayer& replayer, const StepData& recorded, AnalysisResult& out, ThreadPool& threads, const Cancel& cancel)
      : replayer_(replayer), recorded_(recorded), out_(out), threads_(threads), cancel_(cancel) {}

  void layer(int32_t l) {
    const AnalysisRequest& request = out_.request;
    if (wants(Analysis::sensitivity)) {
      out_.sensitivity.push_back(reattend::sensitivity(replayer_, l, request.settings, request.budgets, cancel_));
    }
    if (wants(Analysis::stride)) {
      out_.stride.push_back(query_strides(replayer_, l, out_.recycled, request.thresholds, cancel_));
      out_.stride.back().recorded = recorded_refreshes(replayer_.info(), recorded_, l);
    }
    if (wants(Analysis::lost)) {
      LostTokens lost(replayer_.info(), l, request.lost);
      const auto add = [&](const PreparedLayer& prepared, Steps steps, const LayerReplay& replay) {
        lost.add(prepared, steps, replay, threads_, cancel_);
      };
      replayer_.run({.settings = request.settings, .layers = {l}, .output_error = false}, {}, cancel_, {}, add);
      out_.lost.push_back(lost.take());
    }
    rows(l);
  }

 private:
  bool wants(Analysis what) const { return out_.request.what.contains(what); }

  void rows(int32_t l) {
    const AnalysisRequest& request = out_.request;
    const TraceInfo& info = replayer_.info();
    const CosineRule rule = cosine_of(out_.recycled);
    const PreparedLayer& prepared = replayer_.layer(l, cancel_);
    if (wants(Analysis::coverage)) {
      out_.coverage.push_back(
          coverage(prepared, l, {.budgets = request.curve, .levels = request.levels}, threads_, cancel_));
    }
    if (wants(Analysis::cosine)) {
      out_.cosine.push_back(cosines(prepared, l, request.strides, rule, threads_, cancel_));
    }
    if (!wants(Analysis::overlap) && !wants(Analysis::gate)) return;
    const auto k = static_cast<int32_t>(out_.recycled.count("K", l, info.n_prompt));
    const std::vector<int32_t> lags = before(own_lag(out_.recycled, l, request.lags, info.n_step), request.lags);
    const OverlapRequest how = {.lags = lags,
                                .budgets = wants(Analysis::overlap) ? before(k, request.budgets) : std::vector{k},
                                .reduce = reduce_of(out_.recycled),
                                .pool = static_cast<int32_t>(out_.recycled.count("pool", l, info.n_prompt))};
    LayerOverlap overlap = overlap_by_lag(prepared, l, how, threads_, cancel_);
    if (wants(Analysis::gate)) {
      out_.gate.resize(lags.size());
      for (size_t lag = 0; lag < lags.size(); ++lag) {
        out_.gate[lag].push_back(gate_cases(prepared, overlap, lag, 0, request.gate_set, rule));
      }
    }
    if (wants(Analysis::overlap)) out_.overlap.push_back(std::move(overlap));
  }

  Replayer& replayer_;
  const StepData& recorded_;
  AnalysisResult& out_;
  ThreadPool& threads_;
  const Cancel& cancel_;
};

}  // namespace

Settings recycled_of(const Settings& settings) {
  Settings out("recycled");
  for (const PolicyParameter& taken : settings.info().parameters) {
    const std::string_view key = taken.parameter->key;
    if (out.takes(key) && !settings.is_auto(key)) out.set(key, settings.get(key));
  }
  return out;
}

void fill_in(AnalysisRequest& request, const TraceInfo& info) {
  if (request.budgets.empty()) {
    for (const int32_t part : {32, 16, 8, 4}) request.budgets.push_back(std::max(1, info.n_prompt / part));
    request.budgets.push_back(static_cast<int32_t>(recycled_of(request.settings).count("K", 0, info.n_prompt)));
    sort_once(request.budgets);
  }
  if (request.curve.empty()) {
    request.curve = request.budgets;
    for (int32_t k = kLeastCurve; k < info.n_prompt; k *= 2) {
      const auto near = [&](int32_t budget) { return budget > k / 4 * 3 && budget < k / 4 * 5; };
      if (std::none_of(request.budgets.begin(), request.budgets.end(), near)) request.curve.push_back(k);
    }
    sort_once(request.curve);
  }
  if (request.lags.empty()) {
    for (int32_t lag = 1; lag <= std::min(kLongestLag, info.n_step); lag *= 2) request.lags.push_back(lag);
  }
  if (request.strides.empty()) request.strides = {4, 16, 64};
  if (request.thresholds.empty()) request.thresholds = {0.7, 0.75, 0.8, 0.85, 0.9, 0.95};
}

int32_t own_lag(const Settings& recycled, int32_t layer, std::span<const int32_t> lags, int32_t n_step) {
  const auto stride = recycled.count_or_never("S", layer);
  if (stride && *stride <= n_step) return static_cast<int32_t>(*stride);
  int32_t out = 1;
  for (const int32_t lag : lags) {
    if (lag <= n_step) out = std::max(out, lag);
  }
  return out;
}

namespace {

/// Bytes beside what the caller holds already, until this has gone.
class AlsoAside {
 public:
  AlsoAside(Replayer& replayer, int64_t bytes) : replayer_(replayer), before_(replayer.aside()) {
    replayer_.set_aside(before_ + bytes);
  }
  ~AlsoAside() { replayer_.set_aside(before_); }
  AlsoAside(const AlsoAside&) = delete;
  AlsoAside& operator=(const AlsoAside&) = delete;

 private:
  Replayer& replayer_;
  const int64_t before_;
};

}  // namespace

AnalysisResult analyse(Replayer& replayer, const StepData& recorded, const AnalysisRequest& request,
                       ThreadPool& threads, const ProgressFn& progress, const Cancel& cancel) {
  const TraceInfo& info = replayer.info();
  check_has_steps(info);
  AnalysisResult out{.request = request, .recycled = recycled_of(request.settings)};
  fill_in(out.request, info);
  out.recycled.check_against_model(info.n_layer);
  std::vector<int32_t>& layers = out.request.layers;
  if (layers.empty()) {
    for (int32_t i = 0; i < info.n_stored(); ++i) layers.push_back(info.stored_layer(i));
  }
  for (const int32_t l : layers) {
    const auto n = std::count(layers.begin(), layers.end(), l);
    if (n > 1)
      fail_usage({.where = "layers", .expected = "each once", .got = fmt::format("{} {} times", l, n), .remedy = {}});
  }
  const AlsoAside room(replayer, result_bytes(out, info, static_cast<int64_t>(layers.size())));
  Run run(replayer, recorded, out, threads, cancel);
  for (size_t i = 0; i < layers.size(); ++i) {
    cancel.check();
    if (progress) progress("analyse", static_cast<double>(i), static_cast<double>(layers.size()), "layers");
    run.layer(layers[i]);
  }
  if (progress) {
    progress("analyse", static_cast<double>(layers.size()), static_cast<double>(layers.size()), "layers");
  }
  return out;
}

}  // namespace reattend
