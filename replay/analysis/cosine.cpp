// Compares pairs of recorded queries as a gate compares them.
#include "replay/analysis/cosine.h"

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/cpu/ops.h"

namespace reattend {

double CosineRule::operator()(const PreparedLayer& prepared, QueryStage stage, int32_t unit, int32_t t,
                              int32_t reference) const {
  const bool post = stage == QueryStage::post_rope;
  const int32_t n_head = per_kv_head ? prepared.group() : prepared.n_head(), d_head = prepared.d_head();
  const float* const now = post ? prepared.query(t) : prepared.query_pre(t);
  const float* const then = post ? prepared.query(reference) : prepared.query_pre(reference);
  const int64_t first = int64_t{unit} * n_head * d_head;
  return Cpu::similarity(now + first, then + first, n_head, d_head, how);
}

LayerCosine cosines(const PreparedLayer& prepared, int32_t layer, std::span<const int32_t> strides,
                    const CosineRule& rule, ThreadPool& threads, const Cancel& cancel) {
  for (const int32_t stride : strides) {
    if (stride < 1) {
      fail_usage({.where = "stride", .expected = "at least 1", .got = fmt::format("{}", stride), .remedy = {}});
    }
  }
  LayerCosine out{
      .layer = layer, .n_step = prepared.n_step(), .n_unit = rule.n_unit(prepared), .n_reference = strides.size() + 1};
  out.all.resize(kStages.size() * out.n_reference * static_cast<size_t>(out.n_step) * out.n_unit);
  threads.run(out.n_step, [&](int64_t i, int) {
    cancel.check();
    const auto t = static_cast<int32_t>(i) + 1;
    for (size_t stage = 0; stage < kStages.size(); ++stage) {
      for (size_t r = 0; r < out.n_reference; ++r) {
        const int32_t reference = r == 0 ? t - 1 : (t - 1) / strides[r - 1] * strides[r - 1];
        for (int32_t unit = 0; unit < out.n_unit; ++unit) {
          out.all[((stage * out.n_reference + r) * out.n_step + static_cast<size_t>(i)) * out.n_unit + unit] =
              static_cast<float>(rule(prepared, kStages[stage], unit, t, reference));
        }
      }
    }
  });
  return out;
}

Spread cosine_spread(std::span<const LayerCosine> layers, size_t stage, size_t reference) {
  std::vector<float> values;
  for (const LayerCosine& layer : layers) {
    const auto n = static_cast<std::ptrdiff_t>(layer.n_step) * layer.n_unit;
    const auto from = layer.all.begin() + static_cast<std::ptrdiff_t>(stage * layer.n_reference + reference) * n;
    values.insert(values.end(), from, from + n);
  }
  return spread(std::move(values));
}

}  // namespace reattend
