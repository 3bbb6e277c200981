// `reattend run`: generates text under a policy and prints the numbers that can't flatter.
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_number.h"
#include "base/standard_streams.h"
#include "base/utf8.h"
#include "cli/command.h"
#include "cli/options/model_options.h"
#include "cli/options/policy_options.h"
#include "cli/options/prompt_cache_option.h"
#include "cli/options/prompt_options.h"
#include "cli/options/prompt_text.h"
#include "engine/generate.h"
#include "engine/record/nvtx.h"
#include "policies/policy.h"
#include "report/table.h"

namespace reattend::cli {
namespace {

constexpr double kStreamSeconds = 0.5;

struct RunOptions {
  ModelOptions model;
  PromptOptions prompt;
  PromptCacheOption prompt_cache;
  PolicyOptions policy;
  SamplerOptions sampler;
  int64_t steps = 128;
  bool ignore_end = false, shadow = false, list_policies = false;
};

/// Counts full and partial steps over layers and KV heads.
class StepCounter : public Observer {
 public:
  void step_end(const StepView& step) override {
    step.for_acting([this](const HeadLog& head) {
      ++(head.full ? full_ : partial_);
      positions_ += head.positions;
    });
  }
  int64_t total() const { return full_ + partial_; }
  /// Where no policy acts every step is full.
  double full() const { return total() > 0 ? static_cast<double>(full_) / static_cast<double>(total()) : 1; }
  /// Attended to per step, layer and KV head.
  double positions() const { return total() > 0 ? static_cast<double>(positions_) / static_cast<double>(total()) : 0; }

 private:
  int64_t full_ = 0, partial_ = 0, positions_ = 0;
};

/// What a run prints, once.
struct RunReport {
  std::string model, policy, text{};
  std::vector<int32_t> tokens{};
  std::vector<size_t> token_ends{};  ///< bytes of the text that is there after each token
  int64_t n_prompt = 0, n_step = 0, threads = 0;
  double decode_seconds = 0;
  BytesRead bytes{};
  double full = 0, positions = 0;  ///< share of steps and KV heads that were full; attended to in each
  double stream_gbps = 0;          ///< 0: not measured
  uint64_t logits_hash = 0;
  bool stopped = false;
  bool ended = false;  ///< the model's own end came before the last step asked for

  double tokens_per_second() const { return decode_seconds > 0 ? static_cast<double>(n_step) / decode_seconds : 0; }
  double ms_per_token() const { return n_step > 0 ? decode_seconds * 1e3 / static_cast<double>(n_step) : 0; }
  double gbps() const {
    const auto total = static_cast<double>(bytes.weights + bytes.attend + bytes.select);
    return decode_seconds > 0 ? total / decode_seconds / 1e9 : 0;
  }
  double of_stream() const { return stream_gbps > 0 ? gbps() / stream_gbps : 0; }
};

nlohmann::json to_json(const RunReport& report, const CachedPrefill& prefilled) {
  nlohmann::json json = {{"model", report.model},
                         {"policy", report.policy},
                         {"threads", report.threads},
                         {"n_prompt", report.n_prompt},
                         {"n_step", report.n_step},
                         {"decode_s", report.decode_seconds},
                         {"tokens_per_s", report.tokens_per_second()},
                         {"ms_per_token", report.ms_per_token()},
                         {"bytes_weights", report.bytes.weights},
                         {"bytes_attend", report.bytes.attend},
                         {"bytes_select", report.bytes.select},
                         {"gb_per_s", report.gbps()},
                         {"stream_gb_per_s", report.stream_gbps},
                         {"of_stream", report.stopped ? nlohmann::json() : nlohmann::json(report.of_stream())},
                         {"full_share", report.full},
                         {"recycled", 1 - report.full},  // for one version: what the share was told as before
                         {"positions", report.positions},
                         {"logits_hash", fmt::format("{:016x}", report.logits_hash)},
                         {"stopped", report.stopped},
                         {"ended", report.ended},
                         {"text", report.text},
                         {"tokens", report.tokens},
                         {"token_ends", report.token_ends}};
  PromptCacheOption::report(prefilled, json);
  return json;
}

void print_lines(const RunReport& report, const std::string& prefill_line) {
  print_note("\n{}\n", prefill_line);
  const std::string stream =
      report.stream_gbps > 0 ? fmt::format(" ({:.0f} % of stream {:.1f})", 100 * report.of_stream(), report.stream_gbps)
                             : std::string();
  print_note("decode   {} tokens  {:.1f} tok/s  {:.2f} ms/token  {:.1f} GB/s{}  #{:016x}\n", report.n_step,
             report.tokens_per_second(), report.ms_per_token(), report.gbps(), stream, report.logits_hash);
  if (report.ended) print_note("end      the model's own, after {} tokens; --ignore-end goes on\n", report.n_step);
  print_note("policy   {}  {:.0f} positions attended to per step and head, {:.0f} % of the steps in full\n",
             report.policy, report.positions, 100 * report.full);
}

void list_policies(const Globals& globals) {
  Table list = {
      .columns = {
          {.key = "name"}, {.key = "keeps"}, {.key = "reads"}, {.key = "memory"}, {.key = "cost"}, {.key = "source"}}};
  for (const PolicyInfo& policy : policy_registry()) {
    list.rows.push_back({std::string(policy.name), std::string(policy.keeps), std::string(policy.reads),
                         std::string(policy.memory), std::string(policy.cost), std::string(policy.source)});
  }
  print_out("{}", globals.json ? json_text(to_json(list)) + "\n" : to_text(unfolded(list)));
}

void run(const RunOptions& options, const Globals& globals) {
  if (options.list_policies) return list_policies(globals);
  const Settings settings = options.policy.settings();
  note_without_effect({&settings, 1});
  const BackendOptions device = options.model.backend();
  const Model model = Model::open(find_model(options.model.model));
  options.prompt.check_model(model);
  options.policy.check_layers(settings, model.shape().n_layer);
  const Tokenizer tokenizer = options.prompt.tokenizer_choice.open(model.file());
  const std::vector<int32_t> prompt = options.prompt.split(tokenizer, globals.json).prompt;
  const int32_t n_ctx = options.model.n_ctx(model.shape(), static_cast<int64_t>(prompt.size()), options.steps);
  note_where_nothing_acts({&settings, 1}, run_shape(model.shape(), static_cast<int32_t>(prompt.size())));

  ThreadPool pool(globals.threads);
  Backend backend = make_backend(device, model, pool);
  CachedPrefill prefilled = prefill_cached(
      backend, model, prompt,
      {.n_ctx = n_ctx,
       .needs = needs_of({&settings, 1}, model.shape(), backend.kv, static_cast<int32_t>(prompt.size()), n_ctx),
       .progress = make_progress(globals.progress),
       .cancel = globals.cancel},
      options.prompt_cache.cache());

  RunReport report = {.model = model.path().filename().string(),
                      .policy = settings.summary(),
                      .n_prompt = static_cast<int64_t>(prompt.size()),
                      .threads = pool.n_thread()};
  Sampler sampler(options.sampler);
  Utf8Stream characters;
  const auto show = [&report, &globals](const std::string& text) {
    report.text += text;
    if (globals.json) return;
    print_out("{}", text);
    flush_out();
  };
  StepCounter counter;
  std::vector<Observer*> observers = {&counter};
  const std::unique_ptr<Observer> ranges = make_nvtx_observer();
  if (ranges != nullptr) observers.push_back(ranges.get());
  // Progress would run through the text; the text is the progress.
  const Generated generated = generate(backend, model, *prefilled.sequence, prefilled,
                                       {.settings = settings,
                                        .n_step = static_cast<int32_t>(options.steps),
                                        .shadow = options.shadow,
                                        .next_token =
                                            [&](int32_t /*t*/, StepLogits& logits) {
                                              const int32_t id = sampler.sample(logits);
                                              if (tokenizer.is_end(id) && !options.ignore_end) return int32_t{-1};
                                              show(characters.push(tokenizer.piece(id)));
                                              report.token_ends.push_back(report.text.size());
                                              return id;
                                            },
                                        .hash = true,
                                        .observers = observers,
                                        .progress = globals.json ? make_progress(globals.progress) : ProgressFn(),
                                        .cancel = globals.cancel});
  show(characters.finish());
  if (!report.token_ends.empty()) report.token_ends.back() = report.text.size();  // half a character at the end

  report.n_step = static_cast<int64_t>(generated.tokens.size());
  report.tokens = generated.tokens;
  report.decode_seconds = generated.seconds;
  report.bytes = generated.bytes;
  report.full = counter.full();
  report.positions = counter.positions();
  report.logits_hash = generated.logits_hash;
  report.stopped = globals.cancel.raised();
  report.ended = report.n_step < options.steps && !report.stopped;
  prefilled.sequence.reset(), backend = {};  // the stream is measured with 256 MB, which need not come on top
  if (!report.stopped) report.stream_gbps = device_of(options.model.device).read_rate(pool, kStreamSeconds).best;
  if (globals.json) {
    nlohmann::json json = to_json(report, prefilled);
    options.prompt.report(tokenizer, prompt, json);
    print_out("{}\n", json_text(json));
  } else {
    print_out("\n");
    flush_out();
    print_lines(report, options.prompt_cache.line(prefilled));
  }
  if (report.stopped) throw Cancelled{};
}

void add_options(CLI::App* command, const std::shared_ptr<RunOptions>& options) {
  options->model.add_to(*command);
  options->model.add_prefill_to(*command);
  options->prompt.add_to(*command);
  options->prompt_cache.add_to(*command);
  add_sampler_options(*command, options->sampler);
  options->policy.add_to(*command);
  command->add_option("--steps,-n", options->steps, "Tokens to generate")->type_name("N")->capture_default_str();
  command->add_flag("--ignore-end", options->ignore_end, "Go on after the end-of-text token");
  command->add_flag("--shadow", options->shadow, "The policy decides and is counted, the output stays full attention");
  command->add_flag("--list-policies", options->list_policies, "List the policies and what each costs");
  command->footer(
      "Examples:\n"
      "  reattend run --prompt \"Why is the sky blue?\"\n"
      "  reattend run --prompt-file book.txt --raw --steps 256 --policy recycled --stride 16 --budget 512\n"
      "  reattend run --prompt \"Tell me a story.\" --temperature 0.8 --top-p 0.95 --seed 7\n"
      "  reattend run --prompt \"What is <|im_end|> for?\" --show-tokens --steps 0\n"
      "  reattend run --list-policies\n\n"
      "Text goes to stdout, numbers to stderr (with --json: all as one object to stdout). GB/s are bytes counted, not\n"
      "estimated; stream is this machine's read bandwidth, measured after the run.");
}

}  // namespace

const Command kRun =
    make_command<RunOptions, add_options, run>("run", "Generate text under a policy; prints speed, bytes and a hash");

}  // namespace reattend::cli
