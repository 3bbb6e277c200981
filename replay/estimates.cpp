// Sums up over steps, layers and heads what a setting loses. Output errors are weighed by the size of the output: a
// head that looks at a sink alone gives next to nothing, and a large relative error of that harms nobody.
#include "replay/estimates.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/error.h"
#include "base/statistics.h"
#include "kernels/measures/row_sums.h"

namespace reattend {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Mean over all entries of all layers of value(layer, i); nan for none.
template <class Value>
double mean_of(const ReplayedRun& run, Value value) {
  double sum = 0, n = 0;
  for (const LayerReplay& layer : run.layers) {
    for (size_t i = 0; i < layer.recovered.size(); ++i) sum += value(layer, i), ++n;
  }
  return n > 0 ? sum / n : kNan;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double x : values) sum += x;
  return values.empty() ? kNan : sum / static_cast<double>(values.size());
}

double lost(const LayerReplay& layer, size_t i) {
  return std::max(0.0, 1.0 - static_cast<double>(layer.recovered[i]));
}

std::vector<float> all_largest(const ReplayedRun& run) {
  std::vector<float> out;
  for (const LayerReplay& layer : run.layers) {
    out.insert(out.end(), layer.losses.largest.begin(), layer.losses.largest.end());
  }
  return out;
}

std::vector<float> all_errors(const ReplayedRun& run) {
  std::vector<float> out;
  for (const LayerReplay& layer : run.layers) {
    out.insert(out.end(), layer.output_error.begin(), layer.output_error.end());
  }
  return out;
}

double mean_error(const ReplayedRun& run, double power) {
  double sum = 0;
  const std::vector<float> errors = all_errors(run);
  for (const float e : errors) sum += std::pow(static_cast<double>(e), power);
  return errors.empty() ? kNan : std::pow(sum / static_cast<double>(errors.size()), 1 / power);
}

double error_percentile(const ReplayedRun& run, double fraction) {
  std::vector<float> errors = all_errors(run);
  return percentile(errors, fraction);
}

/// Squared error of a layer's whole output (all heads) at each step, over the layer's mean squared output; [T], empty
/// without values.
std::vector<double> squared_errors(const LayerReplay& layer, int32_t n_step) {
  const std::vector<float>& norm = layer.losses.output_norm;
  if (norm.empty() || n_step == 0) return {};
  const size_t n_head = norm.size() / static_cast<size_t>(n_step);
  std::vector<double> out(static_cast<size_t>(n_step));
  double size = 0;
  for (size_t i = 0; i < norm.size(); ++i) {
    const double n2 = static_cast<double>(norm[i]) * norm[i], e = layer.output_error[i];
    out[i / n_head] += e * e * n2, size += n2;
  }
  size /= static_cast<double>(n_step);
  for (double& x : out) x = size > 0 ? x / size : 0;
  return out;
}

/// squared_errors() summed over layers with weight(depth), depth 0 (first layer) to 1 (last); [T], empty without
/// values.
template <class Weight>
std::vector<double> step_errors(const ReplayedRun& run, Weight weight) {
  std::vector<double> out;
  const auto n_layer = static_cast<double>(run.layers.size());
  for (size_t l = 0; l < run.layers.size(); ++l) {
    const std::vector<double> each = squared_errors(run.layers[l], run.n_step);
    if (each.empty()) return {};
    out.resize(each.size());
    const double w = weight(n_layer > 1 ? static_cast<double>(l) / (n_layer - 1) : 0.5);
    for (size_t t = 0; t < each.size(); ++t) out[t] += w * each[t];
  }
  return out;
}

std::vector<double> step_errors(const ReplayedRun& run) {
  return step_errors(run, [](double) { return 1.0; });
}

template <class Function>
double mean_over_steps(std::vector<double> steps, Function function) {
  for (double& x : steps) x = function(x);
  return mean(steps);
}

double root_mean_square(const std::vector<double>& steps) {
  double sum = 0;
  for (const double x : steps) sum += x * x;
  return steps.empty() ? kNan : std::sqrt(sum / static_cast<double>(steps.size()));
}

/// Where what was read so far becomes a prediction: errors of earlier layers are mended by later ones.
double second_half(double depth) {
  return depth >= 0.5 ? 1.0 : 0.0;
}

/// sqrt of squared_errors of every layer and step.
std::vector<double> layer_errors(const ReplayedRun& run) {
  std::vector<double> out;
  for (const LayerReplay& layer : run.layers) {
    for (const double x : squared_errors(layer, run.n_step)) out.push_back(std::sqrt(x));
  }
  return out;
}

double worst_layer(const ReplayedRun& run) {
  double worst = kNan;
  for (const LayerReplay& layer : run.layers) {
    std::vector<double> each = squared_errors(layer, run.n_step);
    for (double& x : each) x = std::sqrt(x);
    const double here = mean(each);
    if (!(here <= worst)) worst = here;
  }
  return worst;
}

// clang-format off
constexpr Estimate kEstimates[] = {
    {"lost_mass", "mean attention mass on positions that were not attended to", false,
     [](const ReplayedRun& run) { return mean_of(run, lost); }},
    {"lost_mass_rms", "root mean square of the lost mass: heads that lose much count more", false,
     [](const ReplayedRun& run) {
       return std::sqrt(mean_of(run, [](const LayerReplay& l, size_t i) { return lost(l, i) * lost(l, i); }));
     }},
    {"lost_middle", "mean lost mass, positions beside the first 4 and the last 64 alone", false,
     [](const ReplayedRun& run) {
       return mean_of(run, [](const LayerReplay& l, size_t i) { return double{l.losses.middle[i]}; });
     }},
    {"lost_middle_share", "that as a share of the mass on those positions: sinks and recent tokens do not hide it",
     false,
     [](const ReplayedRun& run) {
       const double had = mean_of(run, [](const LayerReplay& l, size_t i) { return double{l.losses.of_middle[i]}; });
       const double gone = mean_of(run, [](const LayerReplay& l, size_t i) { return double{l.losses.middle[i]}; });
       return had > 0 ? gone / had : gone;
     }},
    {"lost_normalised", "mean of 1 - recovered mass / mass of the best positions of that number", false,
     [](const ReplayedRun& run) {
       return mean_of(run, [](const LayerReplay& l, size_t i) { return 1 - double{l.recovered[i]} / l.oracle[i]; });
     }},
    {"largest_lost", "mean over steps and heads of the largest single weight that was lost", false,
     [](const ReplayedRun& run) {
       return mean_of(run, [](const LayerReplay& l, size_t i) { return double{l.losses.largest[i]}; });
     }},
    {"largest_lost_rms", "root mean square of the largest lost weight", false,
     [](const ReplayedRun& run) {
       return std::sqrt(mean_of(run, [](const LayerReplay& l, size_t i) {
         return double{l.losses.largest[i]} * l.losses.largest[i];
       }));
     }},
    {"largest_lost_p95", "95th percentile of the largest lost weight", false,
     [](const ReplayedRun& run) {
       std::vector<float> all = all_largest(run);
       return percentile(all, 0.95);
     }},
    {"output_error_mean", "mean |o - o_full| / |o_full| of each head", true,
     [](const ReplayedRun& run) { return mean_error(run, 1); }},
    {"output_error_rms", "root mean square of |o - o_full| / |o_full|", true,
     [](const ReplayedRun& run) { return mean_error(run, 2); }},
    {"output_error_p95", "95th percentile of |o - o_full| / |o_full|", true,
     [](const ReplayedRun& run) { return error_percentile(run, 0.95); }},
    {"output_error_p99", "99th percentile of |o - o_full| / |o_full|", true,
     [](const ReplayedRun& run) { return error_percentile(run, 0.99); }},
    {"output_error_above", "share of steps and heads whose relative output error is above 0.5", true,
     [](const ReplayedRun& run) {
       const std::vector<float> errors = all_errors(run);
       const auto n = std::count_if(errors.begin(), errors.end(), [](float e) { return e > 0.5F; });
       return errors.empty() ? kNan : static_cast<double>(n) / static_cast<double>(errors.size());
     }},
    {"layer_error_mean", "mean over steps and layers of |o - o_full| of all heads together, over the layer's usual |o|",
     true, [](const ReplayedRun& run) { return mean(layer_errors(run)); }},
    {"layer_error_p95", "95th percentile of the layers' errors over their usual |o|", true,
     [](const ReplayedRun& run) {
       std::vector<double> all = layer_errors(run);
       return percentile(all, 0.95);
     }},
    {"layer_error_worst", "the worst layer's mean error over its usual |o|", true, worst_layer},
    {"step_error_squares", "squares of the layers' errors over their usual |o|, summed over layers, mean over steps",
     true,
     [](const ReplayedRun& run) { return mean(step_errors(run)); }},
    {"step_error_root", "root of the sum of squares over layers, mean over steps", true,
     [](const ReplayedRun& run) { return mean_over_steps(step_errors(run), [](double x) { return std::sqrt(x); }); }},
    {"step_error_log", "mean over steps of log(1 + sum of squares): a step can be ruined only once", true,
     [](const ReplayedRun& run) { return mean_over_steps(step_errors(run), [](double x) { return std::log1p(x); }); }},
    {"step_error_p95", "95th percentile over steps of the sum of squares", true,
     [](const ReplayedRun& run) {
       std::vector<double> all = step_errors(run);
       return percentile(all, 0.95);
     }},
    {"step_error_early", "sum of squares with weights that fall from 1 at the first layer to 0 at the last", true,
     [](const ReplayedRun& run) { return mean(step_errors(run, [](double depth) { return 1 - depth; })); }},
    {"step_error_late", "sum of squares with weights that rise from 0 at the first layer to 1 at the last", true,
     [](const ReplayedRun& run) { return mean(step_errors(run, [](double depth) { return depth; })); }},
    {"step_error_late_rms", "the same as a root mean square over steps: the worst steps count most", true,
     [](const ReplayedRun& run) { return root_mean_square(step_errors(run, [](double depth) { return depth; })); }},
    {"step_error_half", "sum of squares over the second half of the layers, mean over steps", true,
     [](const ReplayedRun& run) { return mean(step_errors(run, second_half)); }},
    {"step_error_half_rms", "sum of squares over the second half of the layers, root mean square over steps", true,
     [](const ReplayedRun& run) { return root_mean_square(step_errors(run, second_half)); }},
    {"step_error_half_p95", "sum of squares over the second half of the layers, 95th percentile over steps", true,
     [](const ReplayedRun& run) {
       std::vector<double> all = step_errors(run, second_half);
       return percentile(all, 0.95);
     }},
    {"step_error_middle_rms", "sum of squares over the layers from a third to four fifths of the depth, root mean "
     "square over steps", true,
     [](const ReplayedRun& run) {
       return root_mean_square(step_errors(run, [](double depth) { return depth > 0.33 && depth < 0.8 ? 1.0 : 0.0; }));
     }},
};
// clang-format on

}  // namespace

std::span<const Estimate> estimates() {
  return kEstimates;
}

const Estimate* find_estimate(std::string_view name) {
  for (const Estimate& each : kEstimates) {
    if (each.name == name) return &each;
  }
  return nullptr;
}

const Estimate& estimate_named(std::string_view name, const std::string& option) {
  if (const Estimate* found = find_estimate(name)) return *found;
  fail_usage({.where = option,
              .expected = "an estimate of docs/study.md, such as step_error_half_rms, output_error_p95 or lost_mass",
              .got = fmt::format("\"{}\"", name),
              .remedy = {}});
}

double layer_error(const LayerReplay& layer, int32_t n_step) {
  return mean(squared_errors(layer, n_step));
}

std::vector<double> evaluate_estimates(const ReplayedRun& run) {
  std::vector<double> out;
  for (const Estimate& each : kEstimates) out.push_back(each.value(run));
  return out;
}

void measure_losses(const PreparedLayer& prepared, int32_t kv_head, int32_t t, const PositionRuns& set, size_t at,
                    std::vector<float>& row, ReplayLosses& losses) {
  const int32_t n_row = prepared.n_row(t);
  row.resize(static_cast<size_t>(n_row));
  prepared.copy_row(kv_head, t, row.data());
  const int32_t begin = std::min(kSinkPositions, n_row), end = std::max(begin, n_row - kRecentPositions);
  losses.of_middle[at] = static_cast<float>(run_sum(row.data(), begin, end));
  for (const PositionRuns::Run& run : set.runs()) std::fill(row.begin() + run.begin, row.begin() + run.end, 0.0F);
  losses.middle[at] = static_cast<float>(run_sum(row.data(), begin, end));
  losses.largest[at] = *std::max_element(row.begin(), row.end());
}

void output_norms(const PreparedLayer& prepared, int32_t kv_head, int32_t t, float* norms) {
  const int32_t d = prepared.d_head(), group = prepared.group();
  const float* output = prepared.output(t) + int64_t{kv_head} * group * d;  // [group][d_head]
  for (int32_t h = 0; h < group; ++h) {
    double sum = 0;
    for (int32_t c = 0; c < d; ++c) sum += static_cast<double>(output[h * d + c]) * output[h * d + c];
    norms[h] = static_cast<float>(std::sqrt(sum));
  }
}

}  // namespace reattend
