// Collects what a prefill would have remembered of these tokens, and hands it to the backend as a restored prompt's.
#include "engine/record/decode_into_prompt.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace reattend {
namespace {

/// Queries of the steps, and their rows over everything added up where the prompt's sums are held.
class PromptObserver final : public Observer {
 public:
  PromptObserver(const ModelShape& shape, const Sequence& prompt, int32_t n_step)
      : shape_(shape),
        holds_(prompt.holds()),
        n_prompt_(prompt.size()),
        stride_(static_cast<size_t>(n_prompt_ + n_step)),
        queries_(shape.n_layer),
        sums_(shape.n_layer) {}

  bool needs_full_rows() const override { return true; }
  void begin(SequenceView& sequence, const StepView&) override {
    for (int32_t layer = 0; layer < shape_.n_layer; ++layer) {
      const LayerView& view = sequence.layer(layer);
      queries_[layer] = view.prompt_queries(std::min(holds_.window, n_prompt_));
      if (!holds_.row_sums || !shape_.acts(layer)) continue;
      const std::vector<float> before = view.prompt_row_sums();
      sums_[layer].resize(shape_.n_head * stride_);
      for (int32_t h = 0; h < shape_.n_head; ++h) {
        std::copy_n(before.data() + static_cast<size_t>(h) * n_prompt_, n_prompt_, sums_[layer].data() + h * stride_);
      }
    }
  }
  void attended(const LayerView& view) override {
    std::vector<float>& queries = queries_[view.layer()];
    const std::span<const float> query = view.queries(QueryStage::post_rope);
    queries.insert(queries.end(), query.begin(), query.end());
    const size_t most = static_cast<size_t>(holds_.window) * width();
    if (queries.size() > most) queries.erase(queries.begin(), queries.end() - static_cast<std::ptrdiff_t>(most));
    if (!holds_.row_sums || !shape_.acts(view.layer())) return;
    const size_t n = view.n_position();
    const std::span<const float> rows = view.full_rows();
    for (int32_t h = 0; h < shape_.n_head; ++h) {
      const float* const row = rows.data() + h * n;                  // [n]
      float* const sums = sums_[view.layer()].data() + h * stride_;  // [n]
      for (size_t j = 0; j < n; ++j) sums[j] += row[j];
    }
  }
  /// To be called once, with all steps done.
  void restore(ModelOps& ops, Sequence& sequence) const {
    const int32_t n = sequence.size();
    ops.write(sequence, Item::keys, 0, n, 0, {});  // the prompt reaches to here
    for (int32_t layer = 0; layer < shape_.n_layer; ++layer) {
      const auto& queries = queries_[layer];
      ops.write(sequence, Item::prompt_queries, layer, 0, static_cast<int32_t>(queries.size() / width()),
                std::as_bytes(std::span(queries)));
      if (holds_.row_sums && shape_.acts(layer))
        ops.write(sequence, Item::row_sums, layer, 0, n, std::as_bytes(std::span(sums_[layer])));
    }
    ops.wait();
  }

 private:
  size_t width() const { return static_cast<size_t>(shape_.n_head) * shape_.d_head; }

  const ModelShape& shape_;
  const PromptNeeds holds_;
  const int32_t n_prompt_;
  const size_t stride_;                      ///< positions of the prompt with the steps
  std::vector<std::vector<float>> queries_;  ///< [n_layer] of [window][n_head][d_head]
  std::vector<std::vector<float>> sums_;     ///< [n_layer] of [n_head][stride]
};

}  // namespace

void decode_into_prompt(Backend& backend, const Model& model, Prefilled& prefilled, const GenerateOptions& options) {
  auto sequence = backend.model->fork(*prefilled.sequence);
  PromptObserver observer(model.shape(), *sequence, options.n_step);
  Observer* const observers[] = {&observer};
  GenerateOptions all = options;
  all.observers = observers;
  Generated run = generate(backend, model, *sequence, prefilled, all);
  options.cancel.check();
  if (static_cast<int32_t>(run.tokens.size()) < options.n_step) {
    fail_usage({.where = "--steps",
                .expected = "a run of more than " + std::to_string(options.n_step) + " steps",
                .got = "one that ended after " + std::to_string(run.tokens.size()),
                .remedy = "begin earlier, or go on after the end of the text with --ignore-end"});
  }
  observer.restore(*backend.model, *sequence);
  prefilled.sequence = std::move(sequence);
  prefilled.prompt.insert(prefilled.prompt.end(), run.tokens.begin(), run.tokens.end());
  prefilled.logits = std::move(run.logits);
}

}  // namespace reattend
