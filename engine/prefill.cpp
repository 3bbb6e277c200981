// The prefill loop: for every chunk and layer project, attend to all that came before, remember, finish.
#include "engine/prefill.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <string>

#include "base/error.h"
#include "engine/logits.h"

namespace reattend {

void check_ids(std::span<const int32_t> ids, int32_t n_vocab) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < n_vocab) continue;
    fail_usage({.where = "token " + std::to_string(i),
                .expected = "an id in 0.." + std::to_string(n_vocab - 1),
                .got = std::to_string(ids[i]),
                .remedy = "was it made by another model's tokenizer?"});
  }
}

double prefill_more(Backend& backend, const Model& model, Sequence& sequence, std::span<const int32_t> ids,
                    int32_t first, const PrefillOptions& options) {
  const ModelShape& shape = model.shape();
  check_ids(ids, shape.n_vocab);
  ModelOps& ops = *backend.model;
  const auto n_token = static_cast<int32_t>(ids.size());
  ObserverList observers(options.observers);
  SequenceView view(backend, shape, sequence, first + n_token);
  const auto begin = std::chrono::steady_clock::now();
  for (int32_t at = 0; at < n_token; at += options.chunk) {
    const int32_t n = std::min(options.chunk, n_token - at);
    ops.embed(sequence, ids.subspan(at, n), first + at);
    for (int32_t layer = 0; layer < shape.n_layer; ++layer) {
      options.cancel.check();
      ops.project(sequence, layer);
      ops.attend_prompt(sequence, layer);
      ops.remember_prompt(sequence, layer);
      observers.prompt_layer(view.layer(layer, n));
      ops.finish_layer(sequence, layer);
    }
    if (options.progress) options.progress("prefill", at + n, n_token, "tokens");
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
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

  check_memory(shape, backend.kv, n_ctx, options.needs);
  ModelOps& ops = *backend.model;
  // The queries that a trace stores are cheap, and most policies' windows fit.
  const PromptNeeds keeps = {.row_sums = options.needs.prompt.row_sums,
                             .window = std::max(options.needs.prompt.window, kRememberedQueries)};
  Prefilled out{.sequence = ops.new_sequence(n_ctx, keeps),
                .prompt = {prompt.begin(), prompt.end()},
                .logits = std::vector<float>(shape.n_vocab)};
  out.seconds = prefill_more(backend, model, *out.sequence, prompt, 0, options);
  ops.predict(*out.sequence, -1);
  ops.read_logits(out.logits);
  check_logits(out.logits, n_prompt - 1);
  return out;
}

}  // namespace reattend
