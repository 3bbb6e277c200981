// Benchmarks a model depth by depth: one prefill, then ours and the peer's in rounds from forks of it.
#include "bench/model_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/rounds.h"
#include "base/standard_streams.h"
#include "bench/peer.h"
#include "kernels/cpu/ops.h"
#include "policies/policy_list.h"

namespace reattend {
namespace {

/// Ids that spread over the vocabulary; what they say does not matter for time.
std::vector<int32_t> some_tokens(int64_t n, int32_t n_vocab) {
  std::vector<int32_t> ids;
  uint32_t state = 12345;
  for (int64_t i = 0; i < n; ++i) {
    state = state * 1664525U + 1013904223U;
    ids.push_back(static_cast<int32_t>((state >> 8) % static_cast<uint32_t>(n_vocab)));
  }
  return ids;
}

/// Multiply-adds of a token's products with the weights of all layers.
double layer_macs(const Model& model) {
  double macs = 0;
  for (const LayerWeights& w : model.layers()) {
    for (const TensorView* each : w.matrices()) macs += static_cast<double>(each->n_row * each->n_col);
  }
  return macs;
}

/// What a measurement says of one token.
struct Sample {
  double tok_per_s = 0, bytes = 0, macs = 0;
};

/// Of a depth, all that is passed through the model behind it included.
int64_t n_token(const ModelBenchOptions& options, int64_t depth) {
  return depth + options.prompt + options.steps + 1;
}

/// One depth of our own: a prompt that long, continued from forks.
class Depth {
 public:
  Depth(Backend& backend, const Model& model, const ModelBenchOptions& options, int64_t depth,
        const SequenceNeeds& needs, const ProgressFn& progress, const Cancel& cancel)
      : backend_(backend),
        model_(model),
        options_(options),
        depth_(depth),
        cancel_(cancel),
        ids_(some_tokens(n_token(options, depth), model.shape().n_vocab)) {
    base_ = reattend::prefill(
        backend, model, std::span(ids_).first(static_cast<size_t>(std::max<int64_t>(depth, 1))),
        {.n_ctx = static_cast<int32_t>(ids_.size()), .needs = needs, .progress = progress, .cancel = cancel});
  }
  const Prefilled& base() const { return base_; }

  Sample prefill() {
    const auto sequence = depth_ > 0 ? backend_.model->fork(*base_.sequence)
                                     : backend_.model->new_sequence(static_cast<int32_t>(options_.prompt), {});
    backend_.model->take_bytes_read();
    const double seconds =
        prefill_more(backend_, model_, *sequence,
                     std::span(ids_).subspan(static_cast<size_t>(depth_), static_cast<size_t>(options_.prompt)),
                     static_cast<int32_t>(depth_), {.cancel = cancel_});
    const ModelShape& s = model_.shape();
    const auto n = static_cast<double>(options_.prompt), before = static_cast<double>(depth_);
    // Counted: weights. Of the cache, what must be read at least: each position's rows once.
    double attended = 0, held = 0;  // positions, over all layers
    for (const LayerShape& layer : s.layers) {
      const double most = layer.window > 0 ? layer.window : before + n;
      attended += std::min(most, before + (n + 1) / 2), held += std::min(most + n, before + n);
    }
    const double bytes =
        static_cast<double>(backend_.model->take_bytes_read().weights) + head_bytes() * s.n_kv_head * held;
    return {n / seconds, bytes / n, layer_macs(model_) + attended * 2 * s.n_head * s.d_head};
  }

  /// By plain wall time of all steps, as the peer reports it.
  Sample decode(const Settings& settings) {
    const auto sequence = backend_.model->fork(*base_.sequence);
    const Generated run = generate(backend_, model_, *sequence, base_,
                                   {.settings = settings,
                                    .n_step = static_cast<int32_t>(options_.steps),
                                    .next_token = [&](int32_t t, StepLogits&) { return ids_[depth_ + t]; },
                                    .cancel = cancel_});
    cancel_.check();
    const ModelShape& s = model_.shape();
    const auto n = static_cast<double>(options_.steps);
    const double attended = static_cast<double>(run.bytes.attend) / n / head_bytes();
    const auto head = static_cast<double>(model_.output().n_row * model_.output().n_col);
    return {n / run.seconds, static_cast<double>(run.bytes.weights + run.bytes.attend + run.bytes.select) / n,
            layer_macs(model_) + head + attended * 2 * s.group() * s.d_head};
  }

 private:
  /// Key and value of one position of one KV head.
  double head_bytes() const { return 2.0 * static_cast<double>(row_bytes(backend_.kv, model_.shape().d_head)); }

  Backend& backend_;
  const Model& model_;
  const ModelBenchOptions& options_;
  int64_t depth_;
  Cancel cancel_;
  std::vector<int32_t> ids_;
  Prefilled base_;
};

void check(const ModelBenchOptions& options, const ModelShape& shape) {
  const int64_t after = std::max(options.prompt, options.steps + 1);
  const int64_t most = std::max<int64_t>(shape.n_ctx_train, options.ctx) - after;
  if (most < 0) {
    fail_usage({.where = "--prompt-tokens, --steps",
                .expected = fmt::format("at most the context of {}", most + after),
                .got = fmt::format("{}, {}", options.prompt, options.steps)});
  }
  for (const int64_t depth : options.depths) {
    if (depth >= 0 && depth <= most) continue;
    fail_usage({.where = "--depths",
                .expected = fmt::format("0 to {} (the context less {} tokens)", most, after),
                .got = std::to_string(depth)});
  }
}

/// Every step is full, scores and selects.
Settings scoring_policy(const ModelBenchOptions& options) {
  Settings settings("recycled");
  settings.set("K", options.budget), settings.set("S", int64_t{1});
  return settings;
}

/// full, every other policy, and recycled with a refresh at every step: the full step that scores. What does not fit
/// the model or the prompt is left out.
std::vector<Settings> costed_policies(const ModelBenchOptions& options, const ModelShape& shape, int64_t depth) {
  std::vector<Settings> policies = all_policies({{"K", options.budget}, {"S", options.stride}});
  policies.insert(policies.begin(), {Settings("full"), scoring_policy(options)});
  std::erase_if(policies, [&](const Settings& each) {
    try {
      make_policy(each, run_shape(shape, static_cast<int32_t>(std::max<int64_t>(depth, 1))));
      return false;
    } catch (const Error& error) {
      options.tell(fmt::format("left out: {}: {}", each.summary(), error.what()));
      return true;
    }
  });
  return policies;
}

class Bench {
 public:
  explicit Bench(const ModelBenchOptions& options)
      : options_(options),
        cancel_(options.cancel),
        progress_(options.progress),
        model_(Model::open(options.model)),
        pool_(options.threads) {
    check(options, model_.shape());
    backend_ = make_backend(options.backend, model_, pool_);
    report_ = {.model = model_.path().filename().string(),
               .cpu = std::string(Cpu::target_name()),
               .kv = std::string(name_of(options.backend.kv)),
               .activations = std::string(name_of(options.backend.activations)),
               .prefill = std::string(name_of(backend_.prefill)),
               .peer = options.peer,
               .threads = pool_.n_thread(),
               .repeats = options.repeats};
  }

  ModelBench run() {
    try {
      report_.peak = cpu::peak_gmacs(pool_, 0.2);
      measure_stream();
      const int64_t deepest =
          options_.depths.empty() ? 0 : *std::max_element(options_.depths.begin(), options_.depths.end());
      if (options_.kernels) {
        report_.kernels = time_kernels(pool_, model_,
                                       {.depth = static_cast<int32_t>(std::max<int64_t>(deepest, 1)),
                                        .budget = static_cast<int32_t>(options_.budget),
                                        .n_prompt = static_cast<int32_t>(options_.prompt),
                                        .kv = backend_.kv,
                                        .activations = backend_.activations,
                                        .progress = progress_,
                                        .cancel = cancel_});
      }
      for (const int64_t depth : options_.depths) {
        if (options_.rows) rows(depth);
      }
      if (options_.policies) policies(deepest);
    } catch (const Cancelled&) {
      report_.stopped = true;
    }
    return std::move(report_);
  }

 private:
  void measure_stream() {
    cancel_.check();
    const ReadRate rate = device_of(backend_.name).read_rate(pool_, 0.3);
    report_.stream.push_back(rate.best), report_.usual_stream.push_back(rate.median);
  }

  /// A slow minute of a shared machine falls on ours and on the peer's.
  void rows(int64_t depth) {
    Depth ours(backend_, model_, options_, depth, {}, progress_, cancel_);
    Settings recycled("recycled");
    recycled.set("K", options_.budget), recycled.set("S", options_.stride);
    std::vector<BenchRow> here = {{.work = "prefill", .policy = "full", .depth = depth},
                                  {.work = "decode", .policy = "full", .depth = depth}};
    if (depth > options_.budget) here.push_back({.work = "decode", .policy = recycled.summary(), .depth = depth});
    const std::string what = fmt::format("depth {}", depth);
    const auto keep = [&] {
      std::erase_if(here, [](const BenchRow& row) { return row.tok_per_s.empty(); });
      report_.rows.insert(report_.rows.end(), here.begin(), here.end());
    };
    try {
      repeats(ours, here, recycled, what);
    } catch (const Cancelled&) {
      keep();
      throw;
    }
    keep();
  }

  void repeats(Depth& ours, std::vector<BenchRow>& here, const Settings& recycled, const std::string& what) {
    Rounds rounds;
    rounds.add("stream", [&] { measure_stream(); });
    for (size_t i = 0; i < here.size(); ++i) {
      rounds.add(here[i].work + " " + here[i].policy, [&, i] {
        const Sample sample = i == 0 ? ours.prefill() : ours.decode(i == 1 ? Settings("full") : recycled);
        here[i].tok_per_s.push_back(sample.tok_per_s);
        here[i].bytes = sample.bytes, here[i].macs = sample.macs;
      });
    }
    bool flash = false;
    if (!options_.peer.empty()) rounds.add("peer", [&] { try_peer(here, flash = !flash); });
    rounds.run(static_cast<int32_t>(options_.repeats), report_rounds(progress_, what), cancel_);
  }

  /// What is ours stays where the peer fails; it is not asked again.
  void try_peer(std::vector<BenchRow>& here, bool flash) {
    if (!report_.peer_failure.empty()) return;
    try {
      peer(here, flash);
    } catch (const Error& error) {
      report_.peer_failure = error.what();
    }
  }

  void peer(std::vector<BenchRow>& here, bool flash) {
    const PeerResult theirs = run_peer({.program = options_.peer,
                                        .model = model_.path(),
                                        .depth = here.front().depth,
                                        .prompt = options_.prompt,
                                        .steps = options_.steps,
                                        .threads = pool_.n_thread(),
                                        .flash = flash},
                                       cancel_);
    for (BenchRow& row : here) {
      const std::vector<double>& from = row.work == "prefill" ? theirs.prefill : theirs.decode;
      std::vector<double>& to = flash ? row.peer_flash : row.peer_plain;
      to.insert(to.end(), from.begin(), from.end());
    }
  }

  void policies(int64_t depth) {
    const std::vector<Settings> all = costed_policies(options_, model_.shape(), depth);
    const SequenceNeeds needs =
        needs_of(all, model_.shape(), backend_.kv, static_cast<int32_t>(std::max<int64_t>(depth, 1)),
                 static_cast<int32_t>(n_token(options_, depth)));
    const Depth ours(backend_, model_, options_, depth, needs, progress_, cancel_);
    report_.policies = measure_costs(backend_, model_, ours.base(), all,
                                     {.n_step = static_cast<int32_t>(options_.steps),
                                      .repeats = static_cast<int32_t>(options_.repeats),
                                      .progress = progress_,
                                      .cancel = cancel_});
    report_.cost_depth = depth, report_.scoring = scoring_policy(options_);
  }

  const ModelBenchOptions& options_;
  Cancel cancel_;
  ProgressFn progress_;
  Model model_;
  ThreadPool pool_;
  Backend backend_;
  ModelBench report_;
};

}  // namespace

ModelBench bench_model(const ModelBenchOptions& options) {
  return Bench(options).run();
}

}  // namespace reattend
