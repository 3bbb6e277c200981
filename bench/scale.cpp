// Times decoding of a shape with random weights, a random cache and no prompt: sizes are what decoding costs.
#include "bench/scale.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/free_memory.h"
#include "bench/policy_cost.h"
#include "engine/sequence_needs.h"
#include "kernels/cpu/ops.h"

namespace reattend {
namespace {

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
  explicit Scale(const ScaleOptions& options)
      : options_(options), cancel_(options.cancel), progress_(options.progress), pool_(options.threads) {
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
               .position_bytes = s.n_layer * position_bytes(s, options.backend.kv)};
  }

  ScaleBench run() {
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
  ScaleBench report_;
};

}  // namespace

double ScaleBench::full_ms(const ScalePoint& point) const {
  for (const ScalePoint& each : points) {
    if (each.context == point.context && each.settings.is_full()) return each.ms;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

ScaleBench bench_scale(const ScaleOptions& options) {
  return Scale(options).run();
}

}  // namespace reattend
