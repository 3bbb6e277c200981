// The prefill loop: for every chunk and layer project, attend to all that came before, remember, finish.
#include "engine/prefill.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <string>

#include <fmt/format.h>

#include "base/error.h"
#include "base/free_memory.h"
#include "engine/logits.h"

namespace reattend {

RunShape run_shape(const ModelShape& shape, int32_t n_prompt) {
  return {.n_layer = shape.n_layer,
          .n_head = shape.n_head,
          .n_kv_head = shape.n_kv_head,
          .d_head = shape.d_head,
          .n_prompt = n_prompt,
          .windows = shape.windows()};
}

int64_t sequence_bytes(const ModelShape& shape, KvType kv, int32_t n_ctx, bool row_sums) {
  const int64_t position = 2 * row_bytes(kv, shape.d_head) * shape.n_kv_head;  // of a layer
  int64_t bytes = 0;
  for (const LayerShape& layer : shape.layers) {
    const int64_t n =
        layer.window > 0 ? std::min<int64_t>(n_ctx, layer.window + 4 * kPiece) : n_ctx;  // a chunk, and parts of blocks
    bytes += n * position;
    if (row_sums) bytes += int64_t{n_ctx} * shape.n_head * static_cast<int64_t>(sizeof(float));
  }
  return bytes;
}

void check_memory(const ModelShape& shape, KvType kv, int32_t n_ctx, bool row_sums) {
  constexpr double kGb = 1e9;
  const int64_t needed = sequence_bytes(shape, kv, n_ctx, row_sums), free = free_memory();
  if (needed <= free) return;
  fail({.where = "memory",
        .expected =
            fmt::format("{:.1f} GB for keys and values of {} positions{} (cache {})", static_cast<double>(needed) / kGb,
                        n_ctx, row_sums ? " and sums of their rows" : "", name_of(kv)),
        .got = fmt::format("{:.1f} GB free", static_cast<double>(free) / kGb),
        .remedy = std::string("give a shorter prompt or fewer steps") + (kv == KvType::q8 ? "" : ", or --kv q8") +
                  (row_sums ? ", or leave the sums out (--no-prompt-rows where one records; h2o needs them)" : "")});
}

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

  check_memory(shape, backend.kv, n_ctx, options.needs.row_sums);
  ModelOps& ops = *backend.model;
  // The queries that a trace stores are cheap, and most policies' windows fit.
  const PromptNeeds keeps = {.row_sums = options.needs.row_sums,
                             .window = std::max(options.needs.window, kRememberedQueries)};
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
