// The settings a sweep tries, by default sized to the trace.
#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "policies/value_text.h"
#include "tune/tune.h"

namespace reattend {
namespace {

/// A due step costs about as much as L / K partial ones, so strides that are powers of two cover what is worth trying.
const std::vector<Value> kStrides = {int64_t{2}, int64_t{4}, int64_t{8}, int64_t{16}, int64_t{32}, int64_t{64}};
const std::vector<Value> kNone;
const std::vector<Value> kGateStrides = {int64_t{2}, int64_t{4}, int64_t{8}};
const std::vector<double> kThresholds = {0.7, 0.8, 0.85, 0.9, 0.95};
const std::vector<Value> kBudgets = {std::string("L/2"), std::string("L/4"), std::string("L/8"), std::string("L/16"),
                                     std::string("L/32")};

}  // namespace

std::vector<Value> budgets_for(const std::vector<Value>& given, const std::vector<Value>& otherwise, int32_t n_prompt) {
  if (!given.empty()) return given;
  std::vector<Value> out;
  for (const Value& budget : otherwise) {
    const auto* fraction = std::get_if<std::string>(&budget);
    if (fraction == nullptr || fraction_of(*fraction, n_prompt) > 0) out.push_back(budget);
  }
  if (out.empty()) out.push_back(int64_t{1});
  return out;
}

std::vector<Settings> make_grid(const TuneGrid& grid, int32_t n_prompt) {
  if (grid.base.policy() != "recycled") {
    fail_usage({.where = "tune",
                .expected = "a policy with a budget, a stride and a schedule (recycled)",
                .got = grid.base.policy(),
                .remedy = {}});
  }
  std::vector<Settings> all;
  const auto add = [&](const Value& budget, const Value& stride, const char* schedule, double threshold) {
    Settings settings = grid.base;
    settings.set("K", budget), settings.set("S", stride), settings.set("schedule", std::string(schedule));
    settings.set("threshold", threshold);
    if (std::find(all.begin(), all.end(), settings) == all.end()) all.push_back(std::move(settings));
  };
  const double threshold = std::get<double>(find_parameter("threshold")->initial);
  for (const Value& budget : budgets_for(grid.budgets, kBudgets, n_prompt)) {
    for (const Value& stride : grid.fixed ? or_default(grid.strides, kStrides) : kNone) {
      add(budget, stride, "fixed", threshold);
    }
    for (const Value& stride : grid.gated ? or_default(grid.gate_strides, kGateStrides) : kNone) {
      for (const double each : or_default(grid.thresholds, kThresholds)) add(budget, stride, "query", each);
    }
  }
  std::stable_sort(all.begin(), all.end(), [&](const Settings& a, const Settings& b) {
    return a.count("K", 0, n_prompt) > b.count("K", 0, n_prompt);
  });
  for (const Settings& each : grid.more) {
    if (std::find(all.begin(), all.end(), each) == all.end()) all.push_back(each);
  }
  return all;
}

}  // namespace reattend
