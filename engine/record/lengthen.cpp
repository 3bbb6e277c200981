// Collects what a prefill would have remembered of these tokens, and hands it to the backend as a restored prompt's.
#include "engine/record/lengthen.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace reattend {
namespace {

/// Queries of the steps, and their rows over everything added up where the prompt's sums are held.
class StepKeeper final : public Observer {
 public:
  StepKeeper(const ModelShape& shape, const Sequence& prompt, int32_t n_step)
      : shape_(shape),
        holds_(prompt.holds()),
        n_prompt_(prompt.size()),
        stride_(static_cast<size_t>(n_prompt_ + n_step)),
        queries_(shape.n_layer),
        sums_(shape.n_layer) {}

  bool measures() const override { return true; }
  void begin(ModelOps& ops, Sequence& sequence, const StepView&) override {
    for (int32_t layer = 0; layer < shape_.n_layer; ++layer) {
      const int32_t n_query = std::min(holds_.window, n_prompt_);
      queries_[layer].resize(n_query * width());
      ops.read(sequence, Item::prompt_queries, layer, 0, 0, n_query, bytes_of(queries_[layer]));
      if (!holds_.row_sums) continue;
      std::vector<float> before(static_cast<size_t>(shape_.n_head) * n_prompt_);
      ops.read(sequence, Item::row_sums, layer, 0, 0, 0, bytes_of(before));
      sums_[layer].resize(shape_.n_head * stride_);
      for (int32_t h = 0; h < shape_.n_head; ++h) {
        std::copy_n(before.data() + static_cast<size_t>(h) * n_prompt_, n_prompt_, sums_[layer].data() + h * stride_);
      }
    }
  }
  void attended(ModelOps& ops, Sequence& sequence, int32_t t, int32_t layer) override {
    std::vector<float>& queries = queries_[layer];
    queries.resize(queries.size() + width());
    ops.read(sequence, Item::queries_post, layer, 0, 0, 1, bytes_of(queries).last(width() * sizeof(float)));
    const size_t most = static_cast<size_t>(holds_.window) * width();
    if (queries.size() > most) queries.erase(queries.begin(), queries.end() - static_cast<std::ptrdiff_t>(most));
    if (!holds_.row_sums) return;
    const size_t n = static_cast<size_t>(n_prompt_) + t;
    row_.resize(shape_.group() * n);
    for (int32_t h = 0; h < shape_.n_head; ++h) {
      if (h % shape_.group() == 0) ops.read(sequence, Item::row, layer, h / shape_.group(), 0, 0, bytes_of(row_));
      const float* const row = row_.data() + h % shape_.group() * n;  // [n]
      float* const sums = sums_[layer].data() + h * stride_;          // [n]
      for (size_t j = 0; j < n; ++j) sums[j] += row[j];
    }
  }
  /// To be called once, with all steps done.
  void restore(ModelOps& ops, Sequence& sequence) const {
    const int32_t n = sequence.size();
    ops.write(sequence, Item::keys, 0, 0, n, 0, {});  // the prompt reaches to here
    for (int32_t layer = 0; layer < shape_.n_layer; ++layer) {
      const auto& queries = queries_[layer];
      ops.write(sequence, Item::prompt_queries, layer, 0, 0, static_cast<int32_t>(queries.size() / width()),
                std::as_bytes(std::span(queries)));
      if (holds_.row_sums) ops.write(sequence, Item::row_sums, layer, 0, 0, n, std::as_bytes(std::span(sums_[layer])));
    }
  }

 private:
  size_t width() const { return static_cast<size_t>(shape_.n_head) * shape_.d_head; }
  static std::span<std::byte> bytes_of(std::vector<float>& values) { return std::as_writable_bytes(std::span(values)); }

  const ModelShape& shape_;
  const PromptNeeds holds_;
  const int32_t n_prompt_;
  const size_t stride_;                      ///< positions of the lengthened prompt
  std::vector<std::vector<float>> queries_;  ///< [n_layer] of [window][n_head][d_head]
  std::vector<std::vector<float>> sums_;     ///< [n_layer] of [n_head][stride]
  std::vector<float> row_;                   ///< [group][p + 1]
};

}  // namespace

void lengthen(Backend& backend, const Model& model, Prefilled& prefilled, const GenerateOptions& options) {
  auto sequence = backend.model->fork(*prefilled.sequence);
  StepKeeper keeper(model.shape(), *sequence, options.n_step);
  Observer* const observers[] = {&keeper};
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
  keeper.restore(*backend.model, *sequence);
  prefilled.sequence = std::move(sequence);
  prefilled.prompt.insert(prefilled.prompt.end(), run.tokens.begin(), run.tokens.end());
  prefilled.logits = std::move(run.logits);
}

}  // namespace reattend
