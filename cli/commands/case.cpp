// `reattend case`: conformance cases run teacher-forced, everything measured at every step, arrays written to HDF5.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/json_number.h"
#include "base/standard_streams.h"
#include "base/statistics.h"
#include "cli/command.h"
#include "cli/options/case_file.h"
#include "cli/options/model_options.h"
#include "engine/generate.h"
#include "engine/record/query_changes.h"
#include "kernels/measures/row_measures.h"
#include "replay/plans.h"
#include "traces/step_data.h"
#include "traces/write/array_file.h"

namespace reattend::cli {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int32_t kTop = 20;

/// Everything one run leaves: what a trace would hold of its steps, and what only cases measure, as [T][n_layer]
/// [n_kv_head] unless said otherwise.
struct Arrays : StepData {
  std::vector<float> margin;
  std::vector<float> kept_overlap, jaccard;  ///< of the kept set with this step's top-K
  std::vector<float> out_error;              ///< [T][n_layer][n_head]
  std::vector<int32_t> set_positions, set_offsets{0};
  std::vector<float> logits;  ///< [T + 1][n_vocab]
};

/// Measures every KV head of every step.
class ConformanceObserver final : public Observer {
 public:
  ConformanceObserver(const ModelShape& shape, const Settings& settings, int32_t n_prompt)
      : shape_(shape),
        policy_(make_policy(settings, run_shape(shape, n_prompt))),
        evicts_(policy_->plan(first_acting(shape), 1).branch.after.from_kept),
        n_prompt_(n_prompt),
        changes_(shape),
        late_margin_(static_cast<size_t>(shape.n_layer) * shape.n_kv_head, kNan) {}

  bool needs_full_rows() const override { return true; }

  void begin(SequenceView& sequence, const StepView& step) override {
    arrays_.logits.assign(step.logits().begin(), step.logits().end());
    for (int32_t layer = 0; layer < shape_.n_layer; ++layer) changes_.next(sequence.layer(layer));
  }

  void attended(const LayerView& view) override {
    const bool acts = shape_.acts(view.layer());
    for (int32_t g = 0; g < shape_.n_kv_head; ++g) {
      const std::span<const int32_t> set = view.attended(g);
      const std::span<const float> rows = acts ? view.full_row(g) : std::span<const float>();
      const Mass mass = acts ? measure_mass(rows, shape_.group(), set) : Mass{kNan, kNan};
      arrays_.recovered.push_back(static_cast<float>(mass.recovered));
      arrays_.oracle.push_back(static_cast<float>(mass.oracle));
      arrays_.positions.push_back(static_cast<int32_t>(set.size()));
      const auto at = arrays_.set_positions.insert(arrays_.set_positions.end(), set.begin(), set.end());
      std::sort(at, arrays_.set_positions.end());
      arrays_.set_offsets.push_back(static_cast<int32_t>(arrays_.set_positions.size()));
      Overlap overlap{kNan, kNan};
      // A kept set that a row's ranking made is held against the ranking of this row.
      if (const Select ranking = policy_->prompt(view.layer()); is_from_ranking(ranking, n_prompt_)) {
        overlap =
            measure_overlap(scores_of(rows, shape_.group(), ranking.reduce, ranking.pool), ranking.keep, view.kept(g));
      }
      arrays_.kept_overlap.push_back(static_cast<float>(overlap.overlap));
      arrays_.jaccard.push_back(static_cast<float>(overlap.jaccard));
    }
    measure_outputs(view);
    const QueryChanges::Cosines cosines = changes_.next(view);
    arrays_.cos_prev_pre.push_back(cosines.pre_rope);
    arrays_.cos_prev_post.push_back(cosines.post_rope);
  }

  void step_end(const StepView& step) override {
    for (size_t i = 0; i < step.heads.size(); ++i) {
      const HeadLog& head = step.heads[i];
      arrays_.full.push_back(head.full ? 1 : 0);
      arrays_.cos_last_full.push_back(head.cosine);
      // What a policy evicts after a step is shown with the next; its first choice is step 0's, as everybody's.
      arrays_.margin.push_back(
          evicts_ && step.t > 1 ? late_margin_[i] : std::fmin(head.margin_before, evicts_ ? kNan : head.margin_after));
      late_margin_[i] = head.margin_after;
    }
    arrays_.logits.insert(arrays_.logits.end(), step.logits().begin(), step.logits().end());
  }

  const Arrays& arrays() const { return arrays_; }

 private:
  static int32_t first_acting(const ModelShape& shape) {
    int32_t layer = 0;
    while (layer + 1 < shape.n_layer && !shape.acts(layer)) ++layer;
    return layer;
  }

  void measure_outputs(const LayerView& view) {
    if (!shape_.acts(view.layer())) {
      arrays_.out_error.insert(arrays_.out_error.end(), static_cast<size_t>(shape_.n_head), kNan);
      return;
    }
    const std::span<const float> full = view.full_outputs(), heads = view.outputs();
    for (int32_t h = 0; h < shape_.n_head; ++h) {
      const size_t at = static_cast<size_t>(h) * shape_.d_head, d = shape_.d_head;
      arrays_.out_error.push_back(static_cast<float>(relative_error(heads.subspan(at, d), full.subspan(at, d))));
    }
  }

  const ModelShape& shape_;
  std::unique_ptr<Policy> policy_;
  bool evicts_;  ///< each step drops a position from the kept set
  int32_t n_prompt_;
  QueryChanges changes_;
  std::vector<float> late_margin_;  ///< [n_layer * n_kv_head]
  Arrays arrays_;
};

Arrays run_case(Backend& backend, const Model& model, const Case& one, const Prefilled& prefilled,
                const Settings& settings, bool shadow, const ProgressFn& progress, const Cancel& cancel) {
  ConformanceObserver observer(model.shape(), settings, static_cast<int32_t>(one.prompt.size()));
  Observer* observers[] = {&observer};
  const auto sequence = backend.model->fork(*prefilled.sequence);
  const GenerateOptions options = {.settings = settings,
                                   .n_step = one.n_step(),
                                   .shadow = shadow,
                                   .next_token = [&](int32_t t, StepLogits&) { return one.continuation[t - 1]; },
                                   .observers = observers,
                                   .progress = progress,
                                   .cancel = cancel};
  generate(backend, model, *sequence, prefilled, options);
  cancel.check();
  return observer.arrays();
}

/// Adds what needs the full run on the same tokens beside it, and writes the file.
nlohmann::json write_case(const Case& one, const Arrays& run, const Arrays& full, const ModelShape& shape,
                          const std::string& path, bool force) {
  const int64_t n_step = one.n_step(), n_layer = shape.n_layer, g = shape.n_kv_head, v = shape.n_vocab;
  std::vector<float> nll, kl, top_logits, norm, mean;
  std::vector<uint8_t> agree;
  std::vector<int32_t> top_ids, steps;
  for (int64_t t = 0; t <= n_step; ++t) {
    const std::span<const float> mine = std::span(run.logits).subspan(t * v, v),
                                 theirs = std::span(full.logits).subspan(t * v, v);
    const std::vector<double> log_mine = log_softmax(mine), log_full = log_softmax(theirs);
    nll.push_back(static_cast<float>(-log_mine[one.continuation[t]]));
    kl.push_back(static_cast<float>(kl_divergence(log_full, log_mine)));
    agree.push_back(arg_max(mine) == arg_max(theirs) ? 1 : 0);
    std::vector<int32_t> order(static_cast<size_t>(v));
    for (int32_t i = 0; i < v; ++i) order[i] = i;
    const auto n_top = std::min<int64_t>(kTop, v);
    std::partial_sort(order.begin(), order.begin() + n_top, order.end(),
                      [&](int32_t a, int32_t b) { return mine[a] != mine[b] ? mine[a] > mine[b] : a < b; });
    double sum = 0, squares = 0;
    for (const float x : mine) sum += x, squares += static_cast<double>(x) * x;
    for (int64_t i = 0; i < n_top; ++i) top_ids.push_back(order[i]), top_logits.push_back(mine[order[i]]);
    norm.push_back(static_cast<float>(std::sqrt(squares)));
    mean.push_back(static_cast<float>(sum / static_cast<double>(v)));
    steps.push_back(static_cast<int32_t>(t));
  }
  std::vector<float> stride(static_cast<size_t>(n_layer * g));
  for (int64_t i = 0; i < n_layer * g; ++i) {
    if (!shape.acts(static_cast<int32_t>(i / g))) {
      stride[i] = kNan;
      continue;
    }
    int64_t n_full = 0;
    for (int64_t t = 0; t < n_step; ++t) n_full += run.full[t * n_layer * g + i];
    stride[i] = n_full == 0 ? std::numeric_limits<float>::infinity()
                            : static_cast<float>(static_cast<double>(n_step) / static_cast<double>(n_full));
  }
  const int64_t n_top = std::min<int64_t>(kTop, v);
  ArrayFile file(path, force);
  file.write("full", run.full, {n_step, n_layer, g});
  file.write("cos", run.cos_last_full, {n_step, n_layer, g});
  file.write("margin", run.margin, {n_step, n_layer, g});
  file.write("set_positions", run.set_positions, {static_cast<int64_t>(run.set_positions.size())});
  file.write("set_offsets", run.set_offsets, {static_cast<int64_t>(run.set_offsets.size())});
  file.write("positions", run.positions, {n_step, n_layer, g});
  file.write("recovered", run.recovered, {n_step, n_layer, g});
  file.write("oracle", run.oracle, {n_step, n_layer, g});
  file.write("overlap", run.kept_overlap, {n_step, n_layer, g});
  file.write("jaccard", run.jaccard, {n_step, n_layer, g});
  file.write("out_error", run.out_error, {n_step, n_layer, shape.n_head});
  file.write("cos_prev_pre", run.cos_prev_pre, {n_step, n_layer});
  file.write("cos_prev_post", run.cos_prev_post, {n_step, n_layer});
  file.write("effective_stride", stride, {n_layer, g});
  file.write("logits", run.logits, {n_step + 1, v});
  file.write("logits_steps", steps, {n_step + 1});
  file.write("top_ids", top_ids, {n_step + 1, n_top});
  file.write("top_logits", top_logits, {n_step + 1, n_top});
  file.write("logits_norm", norm, {n_step + 1});
  file.write("logits_mean", mean, {n_step + 1});
  file.write("nll", nll, {n_step + 1});
  file.write("kl", kl, {n_step + 1});
  file.write("agree", agree, {n_step + 1});
  file.close();

  const auto average = [](const std::vector<float>& values, size_t from) {
    Mean out;  // of layers without a window
    for (size_t i = from; i < values.size(); ++i) out.add(values[i]);
    return out.value();
  };
  double n_agree = 0;
  for (size_t t = 1; t < agree.size(); ++t) n_agree += agree[t];
  return {{"case", one.name},
          {"policy", one.settings.summary()},
          {"prompt_tokens", one.prompt.size()},
          {"steps", n_step},
          {"nll", average(nll, 1)},
          {"kl", average(kl, 1)},
          {"agreement", n_agree / static_cast<double>(n_step)},
          {"recovered", average(run.recovered, 0)},
          {"file", path}};
}

struct Options {
  std::vector<std::string> cases;
  std::string out;
  std::string device = "cpu", kv = "f32", activations = "f32";
  bool force = false, shadow = false;
};

std::string out_path(const Options& options, const Case& one) {
  if (options.cases.size() == 1) return options.out;
  return (std::filesystem::path(options.out) / (one.name + ".h5")).string();
}

void run(const Options& options, const Globals& globals) {
  std::vector<Case> cases;
  for (const std::string& path : options.cases) cases.push_back(read_case(path));
  // Checked before any work: a run of minutes must not end at a name that is taken.
  if (std::error_code made; cases.size() > 1 && !std::filesystem::create_directories(options.out, made) && made) {
    fail({.where = options.out, .expected = "a folder that can be made", .got = made.message()});
  }
  std::set<std::string> names;
  for (const Case& one : cases) {
    refuse_to_replace(out_path(options, one), options.force);
    if (!names.insert(one.name).second) {
      fail_usage({.where = one.name,
                  .expected = "case files of different names, which their output files get",
                  .got = "two of this name",
                  .remedy = "run them one by one"});
    }
  }
  ThreadPool pool(globals.threads);
  const ProgressFn progress = make_progress(globals.progress);
  ModelOptions how;
  how.device = options.device, how.kv = options.kv, how.activations = options.activations;
  const BackendOptions backend_options = how.backend();

  // Cases of one model and prompt share its prefill; those that share the continuation too, the full run beside it.
  std::vector<bool> done(cases.size());
  nlohmann::json results = nlohmann::json::array();
  for (size_t i = 0; i < cases.size(); ++i) {
    if (done[i]) continue;
    const Model model = Model::open(cases[i].model);
    Backend backend = make_backend(backend_options, model, pool);
    int32_t longest = 0;
    std::vector<Settings> policies;
    const auto shares = [&](size_t j) {
      return !done[j] && cases[j].model == cases[i].model && cases[j].prompt == cases[i].prompt;
    };
    for (size_t j = i; j < cases.size(); ++j) {
      if (!shares(j)) continue;
      check_against_model(cases[j], model.shape().n_layer, model.shape().n_vocab);
      longest = std::max(longest, cases[j].n_step());
      policies.push_back(cases[j].settings);
    }
    const int32_t n_ctx = how.n_ctx(model.shape(), static_cast<int64_t>(cases[i].prompt.size()), longest);
    const SequenceNeeds needs =
        needs_of(policies, model.shape(), backend.kv, static_cast<int32_t>(cases[i].prompt.size()), n_ctx);
    const Prefilled prefilled =
        prefill(backend, model, cases[i].prompt,
                {.n_ctx = n_ctx, .needs = needs, .progress = progress, .cancel = globals.cancel});
    std::map<std::vector<int32_t>, Arrays> full;
    for (size_t j = i; j < cases.size(); ++j) {
      if (!shares(j)) continue;
      const Case& one = cases[j];
      auto at = full.find(one.continuation);
      if (at == full.end()) {
        at = full.emplace(one.continuation,
                          run_case(backend, model, one, prefilled, Settings("full"), false, progress, globals.cancel))
                 .first;
      }
      const bool is_full = one.settings.is_full();
      const Arrays mine =
          is_full ? at->second
                  : run_case(backend, model, one, prefilled, one.settings, options.shadow, progress, globals.cancel);
      results.push_back(write_case(one, mine, at->second, model.shape(), out_path(options, one), options.force));
      const nlohmann::json& r = results.back();
      if (!globals.json) {
        print_out(
            "{}: {} on {} tokens, {} steps: KL {:.6f}, agreement {:.3f}, NLL {:.4f}, recovered mass {:.4f} -> {}\n",
            one.name, r["policy"].get<std::string>(), one.prompt.size(), one.n_step(), r["kl"].get<double>(),
            r["agreement"].get<double>(), r["nll"].get<double>(), r["recovered"].get<double>(),
            r["file"].get<std::string>());
      }
      if (j != i) done[j] = true;
    }
    done[i] = true;
  }
  if (globals.json) print_out("{}\n", json_text(results, 2));
}

void add_options(CLI::App* command, const std::shared_ptr<Options>& options) {
  command->add_option("cases", options->cases, "Case files (JSON: model, policy, prompt, continuation)")->required();
  command->add_option("--out", options->out, "HDF5 file to write; with several cases a folder that gets one file each")
      ->required();
  command->add_option("--device", options->device, "cpu, or reference (double precision, plain loops)")
      ->capture_default_str();
  command->add_option("--kv", options->kv, "Cache: f32, f16, bf16 or q8")->capture_default_str();
  command->add_option("--activations", options->activations, "f32, or q8: quantised to 8 bits per block of 32")
      ->capture_default_str();
  command->add_flag("--shadow", options->shadow, "The policy decides but the output stays full attention");
  command->add_flag("--force", options->force, "Replace existing files");
  command->footer(
      "Examples:\n  reattend case tests/golden/policies/tiny_recycled_s4_k16.json --out out.h5\n"
      "  reattend case a.json b.json --out folder --device reference");
}

}  // namespace

const Command kCase = make_command<Options, add_options, run>(
    "case", "Run conformance case files teacher-forced and write what they measure to HDF5");

}  // namespace reattend::cli
