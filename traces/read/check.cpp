// Checks a trace: ranges, sums, and rows recomputed in double from what the trace holds.
#include "traces/read/check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>
#include <random>
#include <utility>

#include "base/error.h"
#include "base/half.h"
#include "traces/read/reader.h"
#include "traces/schema.h"

namespace reattend {
namespace {

constexpr double kSlack = 1e-3;  ///< of probabilities that were summed in float

/// Group-mean full row of step t: [p + 1], p = L - 1 + t.
std::vector<double> mean_row(const LayerData& d, ScoreScale<double> scale, int32_t kv_head, int32_t t) {
  const int32_t group = d.n_head / d.n_kv_head, n = d.n_position - d.n_step + t;
  const auto d_head = static_cast<size_t>(d.d_head);
  const size_t base = static_cast<size_t>(kv_head) * static_cast<size_t>(d.n_position) * d_head;
  const auto key = [&](size_t i) -> double {
    if (d.kv_type == KvType::f32) {
      float x;
      std::memcpy(&x, d.keys.data() + (base + i) * sizeof x, sizeof x);
      return x;
    }
    Half x;
    std::memcpy(&x, d.keys.data() + (base + i) * sizeof x, sizeof x);
    return to_float(x);
  };
  std::vector<double> mean(static_cast<size_t>(n)), row(mean.size());
  for (int32_t g = 0; g < group; ++g) {
    const size_t head =
        static_cast<size_t>(t) * static_cast<size_t>(d.n_head) + static_cast<size_t>(kv_head * group + g);
    const float* const q = d.queries.data() + head * d_head;  // [d_head]
    for (size_t j = 0; j < row.size(); ++j) {
      double dot = 0;
      for (size_t c = 0; c < d_head; ++c) dot += q[c] * key(j * d_head + c);
      row[j] = scale(dot);
    }
    const double top = *std::max_element(row.begin(), row.end());
    double sum = 0;
    for (double& x : row) sum += x = std::exp(x - top);
    for (size_t j = 0; j < row.size(); ++j) mean[j] += row[j] / sum / group;
  }
  return mean;
}

class Checker {
 public:
  Checker(TraceReader& trace, TraceCheck& out) : trace_(trace), info_(trace.info()), out_(out) {}

  /// Runs a check; an Error it throws is a finding like any other.
  void attempt(const std::function<void()>& check) {
    try {
      check();
    } catch (const Error& error) {
      out_.problems.emplace_back(error.what());
    }
  }
  void steps();
  /// Steps whose rows were looked at, known after steps(). In a part they need not be multiples of `measure_every`:
  /// they are counted from the first step of the whole.
  const std::vector<int32_t>& measured() const { return measured_; }
  void layer(int32_t layer);
  void rows(const LayerData& data, const MapData& map, int32_t layer, int32_t kv_head, int32_t t);
  void count(size_t bytes) { out_.bytes_read += static_cast<int64_t>(bytes); }

 private:
  void complain(const std::string& where, const std::string& expected, double got) {
    out_.problems.push_back(to_line({.where = where, .expected = expected, .got = std::to_string(got)}));
  }
  /// Holds values of the dataset, `per_layer` of each layer, against its range; those of layers that are not stored are
  /// left out (per_layer 0: they belong to none).
  template <class T>
  void within(const schema::Dataset& row, const std::vector<T>& values, size_t per_layer) {
    count(values.size() * sizeof(T));
    const auto [low, high] = bounds(row.range);
    const auto n_layer = static_cast<size_t>(info_.n_layer);
    const double slack = std::is_floating_point_v<T> ? kSlack : 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const auto x = static_cast<double>(values[i]);
      if ((x >= low - slack && x <= high + slack) || (std::isnan(x) && may_be_nan(row))) continue;
      if (per_layer > 0 && !info_.stores(static_cast<int32_t>(i / per_layer % n_layer))) continue;
      complain(path_of(row) + " element " + std::to_string(i), std::to_string(low) + " to " + std::to_string(high), x);
      return;  // one line a dataset says enough
    }
  }
  std::pair<double, double> bounds(const schema::Range& range) const {
    const double length = info_.n_prompt + info_.n_step;
    const double ends[] = {range.high, info_.n_vocab - 1.0, length - 1, length};
    return {range.low, ends[static_cast<size_t>(range.end)]};
  }
  /// Measures of steps that were not measured are; so are those that parts of older traces lack.
  bool may_be_nan(const schema::Dataset& row) const {
    return row.range.gaps == schema::Range::Gaps::not_compared ||
           (row.range.gaps == schema::Range::Gaps::not_measured && (info_.measure_every != 1 || row.since > 0));
  }
  TraceReader& trace_;
  const TraceInfo& info_;
  TraceCheck& out_;
  std::vector<int32_t> measured_;
};

void Checker::steps() {
  const StepData d = trace_.steps();
  const schema::Sizes sizes = schema::sizes_of(info_);
  schema::for_each_column([&](const schema::Dataset& row, auto column) {
    const bool layers = row.shape[1] == schema::n_layer;
    const uint64_t per_layer = sizes.per_row(row) / std::max<uint64_t>(1, sizes.of(schema::n_layer));
    if constexpr (std::is_arithmetic_v<schema::ElementOf<decltype(column)>>) {
      within(row, d.*column, layers ? per_layer : 0);
    }
  });
  const auto n_head = static_cast<size_t>(info_.n_kv_head), n_unit = static_cast<size_t>(info_.n_layer) * n_head;
  const size_t first = static_cast<size_t>(info_.stored_layer(0)) * n_head;
  for (int32_t t = 1; t <= info_.n_step; ++t) {
    if (!std::isnan(d.recovered[static_cast<size_t>(t - 1) * n_unit + first])) measured_.push_back(t);
  }
}

void Checker::rows(const LayerData& data, const MapData& map, int32_t layer, int32_t kv_head, int32_t t) {
  constexpr double kTolerance = 2e-4;  // float rows of up to 2^16 positions against double
  const auto row = mean_row(data, info_.score_scale(), kv_head, t);
  const auto m = static_cast<size_t>(map.n_kept), first = static_cast<size_t>(t - 1) * m;
  const float* const weights = map.weights.data() + first;  // [m]
  double worst = 0, rest = 1;
  const auto compare = [&](double exact, double stored) {
    const double error = std::abs(exact - stored);
    if (error > worst || std::isnan(error)) worst = error;
  };
  for (size_t i = 0; i < m; ++i) {
    if (map.maps == Maps::top) {
      const int32_t p = map.positions[first + i];
      if (p < 0) continue;
      compare(row[static_cast<size_t>(p)], weights[i]);
      rest -= row[static_cast<size_t>(p)];
    } else {
      const size_t width = static_cast<size_t>(map.bin), begin = std::min(row.size(), i * width);
      const auto end = static_cast<std::ptrdiff_t>(std::min(row.size(), (i + 1) * width));
      compare(std::accumulate(row.begin() + static_cast<std::ptrdiff_t>(begin), row.begin() + end, 0.0), weights[i]);
    }
  }
  if (map.maps == Maps::top) compare(rest, map.rest[static_cast<size_t>(t - 1)]);
  out_.worst_weight_error = std::max(out_.worst_weight_error, worst);
  ++out_.rows_recomputed;
  // 16-bit weights are rounded to 2^-11 of themselves.
  if (worst <= (map.maps == Maps::dense ? kTolerance + 0x1p-11 : kTolerance)) return;
  complain("steps/map of step " + std::to_string(t) + ", layer " + std::to_string(layer) + ", KV head " +
               std::to_string(kv_head),
           "the row that keys and queries give, within 2e-4; a weight differs by less", worst);
}

void Checker::layer(int32_t layer) {
  for (int32_t h = 0; h < info_.n_kv_head; ++h) {
    attempt([&] {
      const MapData map = trace_.map(layer, h);
      const schema::Dataset& weights = map.maps == Maps::dense    ? schema::dataset("steps/map_dense")
                                       : map.maps == Maps::binned ? schema::dataset("steps/map_binned")
                                                                  : schema::dataset("steps/map_weights");
      within(weights, map.weights, 0);
      within(schema::dataset("steps/map_rest"), map.rest, 0);
      count(map.positions.size() * sizeof(int32_t));
    });
  }
  if (info_.has_prompt_row_sums) count(trace_.prompt_row_sums(layer).size() * sizeof(float));
  count(trace_.prompt_queries(layer).size() * sizeof(float));
}

}  // namespace

TraceCheck check_trace(const std::filesystem::path& path, int32_t n_row, const ProgressFn& progress,
                       const Cancel& cancel) {
  TraceCheck out;
  const auto trace = TraceReader::open(path);
  const TraceInfo& info = trace->info();
  if (!info.warning.empty()) out.problems.push_back(info.path.string() + ": " + info.warning);
  Checker checker(*trace, out);
  checker.attempt([&] { checker.count(trace->tokens().size() * sizeof(int32_t)); });
  checker.attempt([&] { checker.count(trace->token_texts().size()); });
  checker.attempt([&] { checker.steps(); });
  // The rows to recompute, drawn beforehand so that every layer is read once.
  std::mt19937 random(1);
  const auto draw = [&random](int32_t n) { return static_cast<int32_t>(random() % static_cast<uint32_t>(n)); };
  const int32_t n_layer = info.n_stored();
  const auto n_measured = info.maps == Maps::none ? 0 : static_cast<int32_t>(checker.measured().size());
  std::vector<int32_t> rows_of(static_cast<size_t>(n_layer));
  for (int32_t i = 0; i < n_row && n_measured > 0; ++i) ++rows_of[static_cast<size_t>(draw(n_layer))];
  for (int32_t i = 0; i < n_layer; ++i) {
    cancel.check();
    checker.attempt([&] {
      const int32_t l = info.stored_layer(i);
      checker.layer(l);
      const LayerData data = trace->layer(l);
      checker.count(data.keys.size() + data.values.size() + data.queries.size() * sizeof(float));
      for (int32_t n = 0; n < rows_of[static_cast<size_t>(i)]; ++n) {
        const int32_t h = draw(info.n_kv_head);
        checker.rows(data, trace->map(l, h), l, h, checker.measured()[static_cast<size_t>(draw(n_measured))]);
      }
    });
    if (progress) progress("checking", i + 1, n_layer, "layers");
  }
  return out;
}

}  // namespace reattend
