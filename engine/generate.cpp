// One page: prefill in chunks, then project, gate, attend, after, finish for every layer of every step.
#include "engine/generate.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "engine/logits.h"
#include "traces/schema.h"

namespace reattend {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Times a step without what its observers take.
class Stopwatch {
 public:
  void run() { begin_ = Clock::now(); }
  void pause() { total_ += seconds_since(begin_); }
  double total() const { return total_; }

 private:
  Clock::time_point begin_;
  double total_ = 0;
};

void check_ids(std::span<const int32_t> ids, int32_t n_vocab) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < n_vocab) continue;
    fail_usage({.where = "token " + std::to_string(i),
                .expected = "an id in 0.." + std::to_string(n_vocab - 1),
                .got = std::to_string(ids[i]),
                .remedy = "was it made by another model's tokenizer?"});
  }
}

RunShape run_shape(const ModelShape& shape, int32_t n_prompt) {
  return {.n_layer = shape.n_layer, .n_head = shape.n_head, .n_kv_head = shape.n_kv_head, .n_prompt = n_prompt};
}

void check_needs(const PromptNeeds& needs, const PromptNeeds& holds, const std::string& policy) {
  if (needs.row_sums && !holds.row_sums) {
    fail({.where = "policy " + policy,
          .expected = "the sums of the prompt's attention rows",
          .got = "a prompt that was prefilled without them",
          .remedy = "prefill it again for this policy"});
  }
  if (needs.window > holds.window) {
    fail({.where = "policy " + policy,
          .expected = "the queries of the last " + std::to_string(needs.window) + " prompt tokens",
          .got = "those of " + std::to_string(holds.window),
          .remedy = "prefill it again for this policy"});
  }
}

}  // namespace

PromptNeeds needs_of(std::span<const Settings> settings, const ModelShape& shape, int32_t n_prompt) {
  PromptNeeds all;
  for (const Settings& each : settings) {
    each.check_against_model(shape.n_layer);
    const PromptNeeds one = make_policy(each, run_shape(shape, n_prompt))->needs();
    all.row_sums = all.row_sums || one.row_sums;
    all.window = std::max(all.window, one.window);
  }
  return all;
}

double extend(Backend& backend, const Model& model, Sequence& sequence, std::span<const int32_t> ids, int32_t first,
              const PrefillOptions& options) {
  const ModelShape& shape = model.shape();
  check_ids(ids, shape.n_vocab);
  ModelOps& ops = *backend.model;
  const auto begin = Clock::now();
  const auto n_token = static_cast<int32_t>(ids.size());
  for (int32_t at = 0; at < n_token; at += options.chunk) {
    const int32_t n = std::min(options.chunk, n_token - at);
    ops.embed(sequence, ids.subspan(at, n), first + at);
    for (int32_t layer = 0; layer < shape.n_layer; ++layer) {
      options.cancel.check();
      ops.project(sequence, layer);
      ops.attend_prompt(sequence, layer);
      ops.remember_prompt(sequence, layer);
      for (Observer* each : options.observers) each->prompt_layer(ops, sequence, layer, first + at, n);
      ops.finish_layer(sequence, layer);
    }
    if (options.progress) options.progress("prefill", at + n, n_token, "tokens");
  }
  return seconds_since(begin);
}

Prefilled prefill(Backend& backend, const Model& model, std::span<const int32_t> prompt,
                  const PrefillOptions& options) {
  const ModelShape& shape = model.shape();
  const auto n_prompt = static_cast<int32_t>(std::min<size_t>(prompt.size(), std::numeric_limits<int32_t>::max()));
  const int32_t n_ctx = options.n_ctx > 0 ? options.n_ctx : n_prompt;
  if (n_prompt == 0) {
    fail_usage({.where = "prompt",
                .expected = "at least one token",
                .got = "none",
                .remedy = "give a text that is not empty"});
  }
  if (n_prompt > n_ctx) {
    fail_usage({.where = "prompt",
                .expected = "at most " + std::to_string(n_ctx) + " tokens (the context)",
                .got = std::to_string(prompt.size()),
                .remedy = "shorten it or give a larger --ctx"});
  }

  ModelOps& ops = *backend.model;
  // The queries that a trace stores are cheap, and most policies' windows fit.
  const PromptNeeds keeps = {.row_sums = options.needs.row_sums,
                             .window = std::max(options.needs.window, kRememberedQueries)};
  Prefilled out{.sequence = ops.new_sequence(n_ctx, keeps),
                .prompt = {prompt.begin(), prompt.end()},
                .logits = std::vector<float>(shape.n_vocab)};
  out.seconds = extend(backend, model, *out.sequence, prompt, 0, options);
  ops.logits(*out.sequence, -1, out.logits);
  check_logits(out.logits, n_prompt - 1);
  return out;
}

Generated generate(Backend& backend, const Model& model, Sequence& sequence, const Prefilled& prefilled,
                   const GenerateOptions& options) {
  const ModelShape& shape = model.shape();
  const auto n_prompt = static_cast<int32_t>(prefilled.prompt.size());
  options.settings.check_against_model(shape.n_layer);
  const auto policy = make_policy(options.settings, run_shape(shape, n_prompt));
  const PromptNeeds needs = policy->needs();
  check_needs(needs, sequence.holds(), options.settings.policy());
  const bool measure =
      std::any_of(options.observers.begin(), options.observers.end(), [](const Observer* o) { return o->measures(); });
  const bool timed = std::any_of(options.observers.begin(), options.observers.end(),
                                 [](const Observer* o) { return o->times_choices(); });
  ModelOps& ops = *backend.model;
  SelectionOps& selection = *backend.selection;
  const auto tell = [&](auto&& what) {
    for (Observer* each : options.observers) what(*each);
  };

  for (int32_t layer = 0; layer < shape.n_layer; ++layer) {
    selection.after_prompt(sequence, layer, policy->prompt(layer), policy->plan(layer, 1).compare, needs, measure);
  }
  Generated out{.logits = prefilled.logits,
                .logits_hash = hash_logits(prefilled.logits, n_prompt - 1, 0xcbf29ce484222325ULL)};
  std::vector<HeadLog> heads(static_cast<size_t>(shape.n_layer) * shape.n_kv_head);
  tell([&](Observer& o) {
    o.begin(ops, sequence,
            {.t = 0,
             .p = n_prompt - 1,
             .token = prefilled.prompt.back(),
             .logits = out.logits,
             .heads = heads,
             .seconds = prefilled.seconds});
  });
  ops.take_bytes_read();

  const Clock::time_point begin = Clock::now();
  for (int32_t t = 1; t <= options.n_step; ++t) {
    if (options.cancel.raised()) break;
    const int32_t token = options.next_token(t, out.logits);
    if (token < 0) break;
    check_ids({&token, 1}, shape.n_vocab);
    const int32_t p = n_prompt - 1 + t;
    Stopwatch watch, choosing;
    const auto choose = [&](auto&& what) {
      if (timed) choosing.run();
      what();
      if (timed) choosing.pause();
    };
    tell([&](Observer& o) { o.step_begin(t, p); });
    watch.run();
    ops.embed(sequence, {&token, 1}, p);
    for (int32_t layer = 0; layer < shape.n_layer; ++layer) {
      const Plan plan = policy->plan(layer, t);
      watch.pause();
      tell([&](Observer& o) { o.layer_begin(t, layer, plan); });
      watch.run();
      ops.project(sequence, layer);
      choose([&] {
        selection.gate(sequence, layer, plan, measure);
        selection.before(sequence, layer, plan);
      });
      selection.attend(sequence, layer, plan, options.shadow);
      watch.pause();
      tell([&](Observer& o) { o.attended(ops, sequence, t, layer); });
      watch.run();
      choose([&] { selection.after(sequence, layer, plan); });
      ops.finish_layer(sequence, layer);
      selection.log(sequence, layer,
                    std::span(heads).subspan(static_cast<size_t>(layer) * shape.n_kv_head, shape.n_kv_head));
      watch.pause();
      tell([&](Observer& o) { o.layer_end(t, layer); });
      watch.run();
    }
    ops.logits(sequence, -1, out.logits);
    watch.pause();
    out.logits_hash = hash_logits(out.logits, p, out.logits_hash);  // observers see no step without a prediction

    const StepView step = {.t = t,
                           .p = p,
                           .token = token,
                           .logits = out.logits,
                           .heads = heads,
                           .seconds = watch.total(),
                           .choosing_seconds = choosing.total(),
                           .bytes = ops.take_bytes_read()};
    out.tokens.push_back(token);
    out.seconds += step.seconds;
    out.bytes.weights += step.bytes.weights, out.bytes.attend += step.bytes.attend,
        out.bytes.select += step.bytes.select;
    tell([&](Observer& o) { o.step_end(step); });
    if (options.progress) options.progress("decode", t, options.n_step, "tokens");
  }
  tell([](Observer& o) { o.end(); });
  out.wall_seconds = seconds_since(begin);
  return out;
}

}  // namespace reattend
