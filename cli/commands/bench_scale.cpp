// Random weights, random cache, no prompt: sizes are what decoding costs, so they are all that is made.
#include "cli/commands/bench_scale.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/statistics.h"
#include "bench/policy_cost.h"
#include "cli/reports/bench.h"
#include "kernels/cpu/ops.h"

namespace reattend::cli {
namespace {

int64_t number_in(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    if (!key.empty() && word != key) continue;
    if (!key.empty()) file >> word;
    return word == "max" ? std::numeric_limits<int64_t>::max() : std::strtoll(word.c_str(), nullptr, 10);
  }
  return -1;
}

/// What the machine, or the container this runs in, has left; -1 where that cannot be known.
int64_t free_memory() {
  const int64_t kilobytes = number_in("/proc/meminfo", "MemAvailable:");
  const int64_t most = number_in("/sys/fs/cgroup/memory.max", ""),
                used = number_in("/sys/fs/cgroup/memory.current", "");
  int64_t left = kilobytes < 0 ? std::numeric_limits<int64_t>::max() : kilobytes * 1024;
  if (most >= 0 && used >= 0) left = std::min(left, most - used);
  return left;
}

double gigabytes(int64_t bytes) {
  return static_cast<double>(bytes) / 1e9;
}

TensorType type_of(const std::string& name) {
  for (const TensorFormat& format : tensor_formats()) {
    if (format.name == name) return format.type;
  }
  fail_usage({"--type", "Q4_0, Q4_1 or Q8_0", "'" + name + "'", ""});
}

class Scale {
 public:
  Scale(const ScaleOptions& options, const Globals& globals)
      : options_(options), cancel_(globals.cancel), progress_(make_progress(globals.progress)), pool_(globals.threads) {
    named_ = find_shape(options.shape);
    if (named_ == nullptr) fail_usage({"--shape", "one of " + shape_names(), "'" + options.shape + "'", ""});
    type_ = type_of(options.type);
    std::sort(options_.contexts.begin(), options_.contexts.end());
    for (const int64_t context : options_.contexts) {
      constexpr int64_t kMost = int64_t{1} << 24;
      if (context < 1 || context > kMost) {
        fail_usage({"--context", fmt::format("1 to {}", kMost), std::to_string(context), ""});
      }
    }
    const ModelShape& s = named_->shape;
    report_ = {.shape = options.shape,
               .type = options.type,
               .cpu = std::string(Cpu::target_name()),
               .kv = std::string(name_of(options.backend.kv)),
               .threads = pool_.n_thread(),
               .repeats = options.repeats,
               .free_bytes = options.memory > 0 ? options.memory : free_memory(),
               .weight_bytes = weight_bytes(*named_, type_),
               .position_bytes = int64_t{2} * s.n_layer * s.n_kv_head * row_bytes(options.backend.kv, s.d_head)};
  }

  ScaleReport run() {
    const std::vector<int64_t> contexts = fitting();
    if (contexts.empty()) return std::move(report_);
    try {
      progress_("make and pack the weights", 0, 0, "matrices");
      const Model model = Model::random(named_->shape, type_, named_->tied);
      Backend backend = make_backend(options_.backend, model, pool_);
      SyntheticContext context(backend, model, pool_, static_cast<int32_t>(contexts.back() + 2 * options_.stride));
      for (const int64_t each : contexts) {
        context.grow_to(static_cast<int32_t>(each), progress_, cancel_);
        measure(backend, model, context.prefilled());
      }
    } catch (const Cancelled&) {
      report_.stopped = true;
    }
    return std::move(report_);
  }

 private:
  /// Weights packed and the pool they come from, the cache with its last blocks, packed kept sets, and room for
  /// everybody else.
  int64_t needed(int64_t context) const {
    constexpr int64_t kRoom = int64_t{512} << 20;
    const ModelShape& s = named_->shape;
    const int64_t pool = matrix_bytes(type_, s.n_vocab, s.d_model);
    const int64_t kept = std::max(context / 8, std::min(options_.budget, context));
    const int64_t rows = int64_t{16} * s.n_head * context;
    return report_.weight_bytes + pool + (context + 2 * options_.stride + kPiece + kept) * report_.position_bytes +
           rows + kRoom;
  }

  std::vector<int64_t> fitting() {
    if (needed(0) > report_.free_bytes) {
      fail({.where = "--shape " + options_.shape,
            .expected = fmt::format("{:.1f} GB of memory for weights of {}", gigabytes(needed(0)), options_.type),
            .got = fmt::format("{:.1f} GB that are free", gigabytes(report_.free_bytes)),
            .remedy = "take a smaller shape or type"});
    }
    std::vector<int64_t> contexts;
    for (const int64_t each : options_.contexts) {
      if (needed(each) <= report_.free_bytes) {
        contexts.push_back(each);
      } else {
        report_.skipped.push_back({each, needed(each)});
      }
    }
    return contexts;
  }

  void measure(Backend& backend, const Model& model, const Prefilled& prefilled) {
    report_.stream.push_back(device_of(backend.name).read_rate(pool_, 0.3).best);
    const auto context = static_cast<int64_t>(prefilled.prompt.size());
    std::vector<Settings> policies = {Settings("full")};
    for (const Value& budget : {Value{std::string("L/8")}, Value{options_.budget}}) {
      Settings& recycled = policies.emplace_back("recycled");
      recycled.set("K", budget), recycled.set("S", options_.stride);
      if (recycled.count("K", 0, context) >= context) policies.pop_back();  // would be full attention
    }
    // The first kept set is packed into fresh memory, which the system clears: a second at 128K, once in a run.
    const auto rhythm = static_cast<int32_t>(options_.stride);
    const std::vector<PolicyCost> costs = measure_costs(backend, model, prefilled, policies,
                                                        {.n_step = 2 * rhythm,
                                                         .repeats = static_cast<int32_t>(options_.repeats),
                                                         .n_skip = rhythm,
                                                         .progress = progress_,
                                                         .cancel = cancel_});
    for (const PolicyCost& cost : costs) {
      report_.points.push_back({context, cost.settings, cost.ms_per_token, cost.bytes});
    }
  }

  ScaleOptions options_;
  Cancel cancel_;
  ProgressFn progress_;
  ThreadPool pool_;
  const NamedShape* named_ = nullptr;
  TensorType type_ = TensorType::q4_0;
  ScaleReport report_;
};

/// Full attention's time at the point's context.
double full_ms(const ScaleReport& report, const ScalePoint& point) {
  for (const ScalePoint& each : report.points) {
    if (each.context == point.context && each.settings.is_full()) return each.ms;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

std::string skipped_text(const ScaleReport& report) {
  std::string out;
  for (const ScaleReport::Skipped& each : report.skipped) {
    out += fmt::format("skipped: context {} takes {:.1f} GB, {:.1f} GB are free\n", each.context, gigabytes(each.bytes),
                       gigabytes(report.free_bytes));
  }
  return out;
}

}  // namespace

ScaleReport bench_scale(const ScaleOptions& options, const Globals& globals) {
  return Scale(options, globals).run();
}

std::string to_text(const ScaleReport& report) {
  if (report.points.empty()) return skipped_text(report);
  const double stream = median(report.stream);
  std::string out = fmt::format(
      "{} in {} ({:.2f} GB of random weights), {} cache of random keys and values ({:.0f} KB a position), {} threads, "
      "{} kernels, stream {:.1f} GB/s; medians of {} rounds in turns\n\n",
      report.shape, report.type, gigabytes(report.weight_bytes), report.kv,
      static_cast<double>(report.position_bytes) / 1e3, report.threads, report.cpu, stream, report.repeats);
  std::vector<std::vector<std::string>> table = {{"policy", "context", "ms/token", "tok/s", "speed-up", "bytes say ms",
                                                  "% stream", "MB weights", "MB attend", "MB select"}};
  for (const ScalePoint& point : report.points) {
    const double predicted = point.predicted_ms(stream);
    table.push_back({point.settings.summary(), std::to_string(point.context), fmt::format("{:.2f}", point.ms),
                     fmt::format("{:.1f}", 1e3 / point.ms), fmt::format("{:.2f}", full_ms(report, point) / point.ms),
                     fmt::format("{:.2f}", predicted), fmt::format("{:.0f}", 100 * predicted / point.ms),
                     fmt::format("{:.1f}", static_cast<double>(point.bytes.weights) / 1e6),
                     fmt::format("{:.1f}", static_cast<double>(point.bytes.attend) / 1e6),
                     fmt::format("{:.1f}", static_cast<double>(point.bytes.select) / 1e6)});
  }
  return out + aligned_columns(table, 1) + skipped_text(report);
}

nlohmann::json to_json(const ScaleReport& report) {
  const double stream = median(report.stream);
  nlohmann::json rows = nlohmann::json::array(), skipped = rows;
  for (const ScalePoint& point : report.points) {
    const double predicted = point.predicted_ms(stream);
    rows.push_back({{"work", "decode"},
                    {"policy", point.settings.summary()},
                    {"depth", point.context},
                    {"ms_per_token", point.ms},
                    {"tok_per_s", 1e3 / point.ms},
                    {"speed_up", full_ms(report, point) / point.ms},
                    {"peer_tok_per_s", nullptr},
                    {"ratio", nullptr},
                    {"predicted_ms", predicted},
                    {"stream_percent", 100 * predicted / point.ms},
                    {"bytes_weights", point.bytes.weights},
                    {"bytes_attend", point.bytes.attend},
                    {"bytes_select", point.bytes.select}});
  }
  for (const ScaleReport::Skipped& each : report.skipped) {
    skipped.push_back({{"depth", each.context}, {"bytes", each.bytes}});
  }
  return {{"shape", report.shape},
          {"type", report.type},
          {"threads", report.threads},
          {"cpu", report.cpu},
          {"kv", report.kv},
          {"stream_gbps", stream},
          {"repeats", report.repeats},
          {"free_bytes", report.free_bytes},
          {"weight_bytes", report.weight_bytes},
          {"position_bytes", report.position_bytes},
          {"rows", rows},
          {"skipped", skipped},
          {"stopped", report.stopped}};
}

Chart to_chart(const ScaleReport& report) {
  const double stream = median(report.stream);
  Panel time = {.title = "time of a token",
                .x = {.title = "positions in the cache", .log = true},
                .y = {.title = "ms/token", .log = true}};
  Panel gain = {.title = "full attention's time over recycled attention's",
                .x = {.title = "positions in the cache", .log = true},
                .y = {.title = "speed-up"}};
  std::vector<Series> measured, predicted, speed_up;
  for (const ScalePoint& point : report.points) {
    const std::string name = point.settings.summary();
    const auto of = [&](std::vector<Series>& all, const std::string& as, bool line, bool points) -> Series& {
      for (Series& each : all) {
        if (each.name == as) return each;
      }
      return all.emplace_back(Series{.name = as, .line = line, .points = points});
    };
    const auto x = static_cast<double>(point.context);
    const auto add = [x](Series& to, double y) { to.x.push_back(x), to.y.push_back(y); };
    add(of(measured, name, false, true), point.ms);
    add(of(predicted, name, true, false), point.predicted_ms(stream));
    if (!point.settings.is_full()) add(of(speed_up, name, true, true), full_ms(report, point) / point.ms);
  }
  for (std::vector<Series>* each : {&measured, &predicted}) {
    time.series.insert(time.series.end(), each->begin(), each->end());
  }
  gain.series = speed_up;
  if (!report.points.empty()) {
    for (Panel* each : {&time, &gain}) {
      each->x.low = static_cast<double>(report.points.front().context) / 1.25;
      each->x.high = static_cast<double>(report.points.back().context) * 1.25;
    }
  }
  return {.title = fmt::format("{} in {}, {} cache: decoding against context", report.shape, report.type, report.kv),
          .subtitle = fmt::format("{} threads, {} kernels, stream {:.1f} GB/s; random weights, keys and values; points "
                                  "are measured, lines are the bytes that were counted over the stream's rate",
                                  report.threads, report.cpu, stream),
          .panels = {time, gain}};
}

}  // namespace reattend::cli
