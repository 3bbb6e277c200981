// Replays every layer under twice and half of what it has; the other layers' replays are the setting's own.
#include "viz/session/ledger.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "policies/layer_schedule.h"
#include "policies/policy.h"
#include "policies/shared_parameters.h"
#include "policies/value_text.h"
#include "replay/estimates.h"
#include "tune/judge.h"
#include "viz/session/session.h"

namespace reattend::viz {
namespace {

/// A gate's step; where thresholds decide, those that a tuner tries are about so far apart.
constexpr double kThresholdStep = 0.05;

/// The next value of a layer that attends to more, or to less; nothing at the end of what makes sense.
std::optional<Value> next_value(const Settings& layer, const std::string& key, bool more, const TraceInfo& info) {
  if (key == kThreshold.key) {
    const double next = layer.real(key, 0) + (more ? kThresholdStep : -kThresholdStep);
    // Rounded, for a step forth and back is the same value again.
    const double rounded = std::round(next * 1000) / 1000;
    return rounded > kThreshold.off_above || rounded < 0 ? std::nullopt : std::optional<Value>(rounded);
  }
  const bool stride = key == kStride.key;
  if (!stride && layer.is_auto(key)) return {};
  const std::optional<int64_t> now =
      stride ? layer.count_or_never(key, 0) : std::optional(layer.count(key, 0, info.n_prompt));
  if (!now) return {};
  const int64_t next = more == stride ? *now / 2 : *now * 2;
  const int64_t most = stride ? info.n_step : int64_t{info.n_prompt} + info.n_step;
  return next < 1 || next > most ? std::nullopt : std::optional<Value>(next);
}

/// Of a layer that loses nothing.
LayerReplay without_loss(LayerReplay layer) {
  std::ranges::fill(layer.output_error, 0.0F);
  std::ranges::fill(layer.recovered, 1.0F);
  std::ranges::fill(layer.losses.largest, 0.0F);
  std::ranges::fill(layer.losses.middle, 0.0F);
  return layer;
}

/// Sums to 1, or to 0 where nothing is lost.
std::vector<double> shares(const TuneResult& tuned, std::vector<LayerReplay>& layers) {
  const Estimate& estimate = *find_estimate(tuned.prediction.estimate);
  const int32_t n_step = tuned.traces.front().info.n_step;
  const double all = estimate.value({n_step, layers});
  std::vector<double> out;
  double sum = 0;
  for (LayerReplay& layer : layers) {
    LayerReplay own = std::exchange(layer, without_loss(layer));
    out.push_back(std::max(0.0, all - estimate.value({n_step, layers})));
    sum += out.back();
    layer = std::move(own);
  }
  for (double& each : out) each = sum > 0 ? each / sum : 0;
  return out;
}

}  // namespace

/// What one page still wants, shared with the task that works on it.
struct Ledger::Job {
  std::shared_ptr<const TuneResult> tuned;
  std::shared_ptr<const AsyncAnswer> answer;
  std::vector<LayerReplay> layers;          ///< the task's; those on which the policy acts
  LedgerPage page;                          ///< the task's
  std::shared_ptr<const LedgerPage> found;  ///< guarded by the queue's lock

  void begin();
  void price(size_t row, Replayer& replayer, const Cancel& cancel);
  void deliver(const BackgroundTasks::Context& context) {
    auto copy = std::make_shared<const LedgerPage>(page);
    context.deliver([&] { found = std::move(copy); });
  }
  void work(Replayer& replayer, const BackgroundTasks::Context& context);
};

void Ledger::Job::begin() {
  page.settings = answer->settings;
  for (const auto& layer : answer->layers) {
    if (layer) layers.push_back(*layer);
  }
  page.metrics = judge(*tuned, 0, layers);
  const std::vector<double> parts = shares(*tuned, layers);
  for (size_t i = 0; i < layers.size(); ++i) {
    const ReplaySummary& summary = answer->per_layer[static_cast<size_t>(layers[i].layer)];
    page.rows.push_back({.layer = layers[i].layer,
                         .lost = summary.lost,
                         .output_error = summary.output_error_mean,
                         .cost = page.metrics.layers[i].cost,
                         .share = parts[i]});
  }
}

void Ledger::Job::price(size_t row, Replayer& replayer, const Cancel& cancel) {
  const TraceInfo& info = tuned->traces.front().info;
  const int32_t layer = layers[row].layer;
  const Settings now = in_layer(page.settings, layer);
  LedgerRow& out = page.rows[row];
  for (const bool more : {true, false}) {
    std::optional<Price>& best = more ? out.more : out.less;
    best.reset();
    for (const std::string& key : layer_keys(page.settings)) {
      const std::optional<Value> value = next_value(now, key, more, info);
      if (!value) continue;
      const Settings changed = with_value(page.settings, key, *value, {layer}, info.n_layer);
      try {
        make_policy(changed, info.run_shape());
      } catch (const Error&) {
        continue;  // the policy refuses it
      }
      const Price price =
          price_of(*tuned, layers, row, page.metrics, changed, change_in_words(key, *value), replayer, cancel);
      const bool worth = more ? price.error < 0 : price.cost < 0;
      const auto better = [&] { return more ? price.gain() > best->gain() : price.damage() < best->damage(); };
      if (worth && (!best || better())) best = price;
    }
  }
  out.priced = true;
}

void Ledger::Job::work(Replayer& replayer, const BackgroundTasks::Context& context) {
  if (page.rows.empty()) begin();
  deliver(context);
  for (size_t row = 0; row < page.rows.size(); ++row) {
    if (page.rows[row].priced) continue;
    price(row, replayer, context.cancel);
    context.progress("prices of layers", static_cast<double>(row + 1), static_cast<double>(page.rows.size()), "layers");
  }
  deliver(context);
}

std::string change_in_words(const std::string& key, const Value& value) {
  return fmt::format("{} {}", key == kThreshold.key ? "\u03b8" : key, to_text(value));
}

Price price_of(const TuneResult& tuned, std::vector<LayerReplay>& layers, size_t row, const Metrics& now,
               const Settings& changed, std::string change, Replayer& replayer, const Cancel& cancel) {
  const ReplayRequest request = request_to_judge(tuned.prediction, changed, {layers[row].layer});
  std::vector<LayerReplay> one = std::move(replayer.run(request, {}, cancel).layers);
  std::swap(layers[row], one.front());
  const Metrics then = judge(tuned, 0, layers);
  std::swap(layers[row], one.front());
  Price price{.settings = changed,
              .change = std::move(change),
              .kl = then.predicted_kl - now.predicted_kl,
              .estimate = then.estimate - now.estimate,
              .cost = then.cost - now.cost};
  const bool has_values = tuned.traces.front().info.has_values;
  price.error = has_values ? then.layers[row].error - now.layers[row].error : price.estimate;
  return price;
}

double Price::gain() const {
  return cost > 0 ? -error / cost : HUGE_VAL;
}

bool LedgerPage::priced() const {
  return std::ranges::all_of(rows, &LedgerRow::priced);
}

Ledger::~Ledger() {
  tasks_.drop(kind_);
}

void Ledger::enter(std::shared_ptr<Replayer> replayer) {
  tasks_.drop(kind_);
  replayer_ = std::move(replayer);
  job_.reset(), page_.reset();
  asked_ = false;
}

const LedgerPage* Ledger::ask() {
  asked_ = true;
  return page_.get();
}

void Ledger::update(const Session& session) {
  if (!replayer_) return;
  if (job_) {
    std::shared_ptr<const LedgerPage> found;
    tasks_.locked([&] { found = std::exchange(job_->found, nullptr); });
    if (found) page_ = std::move(found);
  }
  const TraceInfo& info = session.trace()->info;
  if (!std::exchange(asked_, false) || info.n_stored() < info.n_acting()) return;
  const std::shared_ptr<const AsyncAnswer>& answer = session.answer();
  if (!answer || !answer->has_errors || answer->settings != session.settings()) return;
  const auto corrected = [](const TuneResult& tuned) { return tuned.prediction.correction; };
  if (job_ && job_->answer->settings == answer->settings && corrected(*job_->tuned) == corrected(*session.tuning())) {
    return;
  }
  job_ = std::make_shared<Job>();
  job_->tuned = session.tuning(), job_->answer = answer;
  tasks_.post(kind_, [job = job_, replayer = replayer_](const BackgroundTasks::Context& context) {
    job->work(*replayer, context);
  });
}

bool Ledger::idle() const {
  bool news = false;
  tasks_.locked([&] { news = job_ && job_->found; });
  return !news;
}

Settings in_layer(const Settings& settings, int32_t layer) {
  Settings out = settings;
  for (const PolicyParameter& each : settings.info().parameters) {
    const Parameter& parameter = *each.parameter;
    const Value value = settings.get(parameter.key);
    if (parameter.per_layer && list_size(value)) out.set(parameter.key, at_layer(value, layer));
  }
  return out;
}

Settings with_value(const Settings& settings, const std::string& key, const Value& value,
                    const std::vector<int32_t>& layers, int32_t n_layer) {
  std::vector<Settings> all;
  for (int32_t l = 0; l < n_layer; ++l) {
    all.push_back(in_layer(settings, l));
    if (std::ranges::find(layers, l) != layers.end()) all.back().set(key, value);
  }
  return join_layers(all);
}

std::vector<std::string> layer_keys(const Settings& settings) {
  std::vector<std::string> out;
  for (const Parameter* const each : {&kStride, &kBudget, &kThreshold}) {
    if (!settings.takes(each->key) || !settings.decides(each->key)) continue;
    if (may_differ_by_layer(settings.info(), *each)) out.emplace_back(each->key);
  }
  return out;
}

namespace {

/// Takes the rows' steps in the order of `before` until `amount` of cost has been moved.
template <class Before>
std::optional<Settings> take_steps(const LedgerPage& page, std::optional<Price> LedgerRow::*step, double amount,
                                   int32_t n_layer, const Before& before) {
  std::vector<const LedgerRow*> rows;
  for (const LedgerRow& row : page.rows) {
    if (row.*step) rows.push_back(&row);
  }
  if (rows.empty()) return {};
  std::ranges::stable_sort(rows,
                           [&](const LedgerRow* a, const LedgerRow* b) { return before(*(a->*step), *(b->*step)); });
  std::vector<Settings> layers;
  for (int32_t l = 0; l < n_layer; ++l) layers.push_back(in_layer(page.settings, l));
  double moved = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const Price& price = *(rows[i]->*step);
    const double next = moved + std::abs(price.cost);
    if (i > 0 && next > amount) break;
    moved = next;
    layers[static_cast<size_t>(rows[i]->layer)] = in_layer(price.settings, rows[i]->layer);
  }
  return join_layers(layers);
}

}  // namespace

std::optional<Settings> spend(const LedgerPage& page, double amount, int32_t n_layer) {
  return take_steps(page, &LedgerRow::more, amount, n_layer,
                    [](const Price& a, const Price& b) { return a.gain() > b.gain(); });
}

std::optional<Settings> save(const LedgerPage& page, double amount, int32_t n_layer) {
  return take_steps(page, &LedgerRow::less, amount, n_layer,
                    [](const Price& a, const Price& b) { return a.damage() < b.damage(); });
}

}  // namespace reattend::viz
