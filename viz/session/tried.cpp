// Collects what the goal judges.
#include "viz/session/tried.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "tune/judge.h"
#include "viz/session/goal.h"
#include "viz/session/session.h"

namespace reattend::viz {

void Tried::enter(std::shared_ptr<Replayer>) {
  if (!settings_.empty()) before_ = std::exchange(settings_, {});
  newest_.reset(), under_.reset();
  ++version_;
}

void Tried::take_up_again() {
  for (TriedSetting& each : std::exchange(before_, {})) add_from_file(std::move(each));
}

void Tried::update(const Session& session) {
  if (under_ && under_ != session.tuning()) {
    for (TriedSetting& each : settings_) {
      if (each.from_file) continue;
      each.metrics = judge_again(std::move(each.metrics), under_->prediction.correction, *session.tuning());
    }
    ++version_;
  }
  under_ = session.tuning();
  const Judged* const judged = session.data<Goal>().judged();
  if (judged == nullptr || judged->settings != session.settings() || !session.setting_error().empty()) return;
  if (newest_ == judged->settings) return;
  newest_ = judged->settings;
  const TriedSetting* const old = find(judged->settings);
  if (old != nullptr && !old->from_file) return;
  std::optional<Score> score = old != nullptr ? old->metrics.measured : std::nullopt;
  TriedSetting& here = add({judged->settings, judged->metrics});
  if (score) here.metrics.measured = std::move(score);
}

const Metrics* Tried::known(const Settings& settings) const {
  const auto at = std::ranges::find(settings_, settings, &TriedSetting::settings);
  return at != settings_.end() && !at->from_file ? &at->metrics : nullptr;
}

void Tried::add_from_file(TriedSetting tried) {
  tried.from_file = true;
  if (find(tried.settings) == nullptr) add(std::move(tried));
}

void Tried::add_measured(const Settings& settings, const Score& score) {
  TriedSetting* here = find(settings);
  if (here == nullptr) {
    Metrics unknown;
    unknown.cost = unknown.speed_up = unknown.estimate = unknown.predicted_kl = std::nan("");
    unknown.output_error_mean = unknown.output_error_p95 = unknown.lost = std::nan("");
    here = &add({settings, unknown, true});
  }
  here->metrics.measured = score;
  ++version_;
}

void Tried::forget(const Settings& settings) {
  std::erase_if(settings_, [&](const TriedSetting& each) { return each.settings == settings; });
  newest_ = settings;  // it stays forgotten while it is under trial
  ++version_;
}

TriedSetting* Tried::find(const Settings& settings) {
  const auto at = std::ranges::find(settings_, settings, &TriedSetting::settings);
  return at != settings_.end() ? &*at : nullptr;
}

TriedSetting& Tried::add(TriedSetting tried) {
  ++version_;
  if (TriedSetting* const here = find(tried.settings)) return *here = std::move(tried);
  if (settings_.size() >= kMost) settings_.erase(settings_.begin());
  return settings_.emplace_back(std::move(tried));
}

std::vector<size_t> front_of(const std::vector<TriedSetting>& tried, bool has_kl) {
  const auto harm = [&](size_t i) { return has_kl ? tried[i].metrics.predicted_kl : tried[i].metrics.estimate; };
  std::vector<size_t> order(tried.size()), front;
  std::iota(order.begin(), order.end(), size_t{0});
  std::erase_if(order, [&](size_t i) { return std::isnan(harm(i)) || std::isnan(tried[i].metrics.cost); });
  std::ranges::stable_sort(order, [&](size_t a, size_t b) {
    const double cost_a = tried[a].metrics.cost, cost_b = tried[b].metrics.cost;
    return cost_a != cost_b ? cost_a < cost_b : harm(a) < harm(b);
  });
  for (const size_t i : order) {
    if (front.empty() || harm(i) < harm(front.back())) front.push_back(i);
  }
  return front;
}

std::string in_few_words(const Settings& settings, const Settings& others) {
  std::string text = settings.summary();
  const std::string& policy = settings.policy();
  if (policy == others.policy() && text.size() > policy.size()) text.erase(0, policy.size() + 1);
  return text;
}

}  // namespace reattend::viz
