// Copies prompts and steps from one trace to another; sums of attention rows are added up for steps that become prompt.
#include "traces/write/copy.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/cpu/ops.h"
#include "traces/schema.h"

namespace reattend {
namespace {

/// values [n_stored][...] -> those of the kept places.
template <class T>
void keep_layers(std::vector<T>& values, const std::vector<int32_t>& kept, size_t n_stored) {
  if (kept.size() == n_stored) return;
  const size_t per_layer = values.size() / n_stored;
  std::vector<T> out;
  out.reserve(kept.size() * per_layer);
  for (const int32_t i : kept) {
    const auto from = values.begin() + static_cast<std::ptrdiff_t>(i * per_layer);
    out.insert(out.end(), from, from + static_cast<std::ptrdiff_t>(per_layer));
  }
  values = std::move(out);
}

/// values [n][from] -> [n][to]; columns beyond a row's end hold 0.
template <class T>
void set_columns(std::vector<T>& values, size_t from, size_t to) {
  if (from == to || values.empty()) return;
  const size_t n = values.size() / from;
  std::vector<T> out(n * to, T{});
  for (size_t i = 0; i < n; ++i) std::copy_n(values.data() + i * from, std::min(from, to), out.data() + i * to);
  values = std::move(out);
}

}  // namespace

TraceHeader header_of(TraceReader& trace) {
  const TraceInfo& info = trace.info();
  if (!info.policy_known) {
    fail({.where = info.path.string(),
          .expected = "a trace whose policy is known here, for its settings are written again",
          .got = info.warning,
          .remedy = {}});
  }
  TraceHeader h;
  static_cast<TraceInfo&>(h) = info;
  h.expected_steps = std::max(1, info.n_step);
  h.prompt = trace.tokens();
  h.prompt.resize(static_cast<size_t>(info.n_prompt));
  for (int32_t id = 0; id < info.n_vocab; ++id) h.vocab.push_back(trace.token_text(id));
  return h;
}

TraceCopy::TraceCopy(TraceReader& trace, TraceWriter& writer, const TraceHeader& header, const Cancel& cancel)
    : trace_(trace), writer_(writer), header_(header), cancel_(cancel) {
  const TraceInfo& info = trace.info();
  for (int32_t i = 0; i < info.n_stored(); ++i) {
    const bool wanted = header.layers.empty() || std::ranges::count(header.layers, info.stored_layer(i)) > 0;
    if (wanted) kept_.push_back(i);
  }
}

void TraceCopy::prompt(int32_t n_step, ThreadPool& pool, const ProgressFn& progress) {
  const TraceInfo& info = trace_.info();
  const size_t n_position = static_cast<size_t>(info.n_prompt + n_step),
               width = static_cast<size_t>(info.n_head) * static_cast<size_t>(info.d_head);
  for (size_t i = 0; i < kept_.size(); ++i) {
    cancel_.check();
    const int32_t layer = info.stored_layer(kept_[i]), to = static_cast<int32_t>(i);
    const LayerData data = trace_.layer(layer, header_.has_values);
    const size_t row = static_cast<size_t>(row_bytes(data.kv_type, data.d_head)),
                 stride = static_cast<size_t>(data.n_position) * row;
    for (int32_t g = 0; g < info.n_kv_head; ++g) {
      const auto part = [&](const std::vector<std::byte>& all) {
        return all.empty() ? std::span<const std::byte>() : std::span(all).subspan(g * stride, n_position * row);
      };
      writer_.prompt_kv(to, g, part(data.keys), part(data.values));
    }
    std::vector<float> queries = trace_.prompt_queries(layer);
    const auto decoded = data.queries.begin() + static_cast<std::ptrdiff_t>(width);  // row 0 is the prompt's last
    queries.insert(queries.end(), decoded, decoded + static_cast<std::ptrdiff_t>(n_step * width));
    const size_t most = std::min<size_t>(schema::kPromptQueries, n_position) * width;
    writer_.prompt_queries(to, std::span(queries).last(std::min(most, queries.size())));
    if (header_.has_prompt_row_sums) writer_.prompt_row_sums(to, row_sums(data, layer, n_step, pool));
    if (progress) progress("copying the prompt", to + 1, static_cast<double>(kept_.size()), "layers");
  }
}

/// [n_head][L + n_step]: the prompt's, and the rows of the steps' queries as the engine would have added them.
std::vector<float> TraceCopy::row_sums(const LayerData& data, int32_t layer, int32_t n_step, ThreadPool& pool) {
  const TraceInfo& info = trace_.info();
  const auto n_prompt = static_cast<size_t>(info.n_prompt), n = n_prompt + static_cast<size_t>(n_step);
  const std::vector<float> old = trace_.prompt_row_sums(layer);
  if (n_step == 0) return old;
  std::vector<float> sums(static_cast<size_t>(info.n_head) * n);
  for (size_t h = 0; h < static_cast<size_t>(info.n_head); ++h) {
    std::copy_n(old.data() + h * n_prompt, n_prompt, sums.data() + h * n);
  }
  // Kernels may look at all rows of a block.
  const size_t row = static_cast<size_t>(row_bytes(data.kv_type, data.d_head)), block = kPiece * row;
  std::vector<std::byte> keys = data.keys;
  keys.resize(keys.size() + block);
  const auto n_block = static_cast<size_t>(n_piece(data.n_position));
  std::vector<const void*> blocks;
  for (size_t g = 0; g < static_cast<size_t>(info.n_kv_head); ++g) {
    const std::byte* const first = keys.data() + g * static_cast<size_t>(data.n_position) * row;
    for (size_t b = 0; b < n_block; ++b) blocks.push_back(first + b * block);
  }
  std::vector<KvBlocks> kv;
  for (size_t g = 0; g < static_cast<size_t>(info.n_kv_head); ++g) {
    kv.push_back({.keys = blocks.data() + g * n_block,
                  .values = blocks.data() + g * n_block,
                  .type = data.kv_type,
                  .d_head = data.d_head});
  }
  Cpu::Scratch scratch;
  const float* const queries = data.queries.data() + int64_t{info.n_head} * info.d_head;  // [n_step][n_head][d_head]
  Cpu::sum_prompt_rows(pool, scratch, queries, n_step, info.n_prompt, info.group(), kv, info.score_scale().as<float>(),
                       sums.data(), static_cast<int64_t>(n));
  return sums;
}

void TraceCopy::steps(int32_t first, int32_t last, const ProgressFn& progress) {
  const TraceInfo& info = trace_.info();
  const auto n_stored = static_cast<size_t>(info.n_stored());
  const schema::Sizes sizes = schema::sizes_of(header_);
  for (int32_t t = first; t <= last; ++t) {
    cancel_.check();
    StepData r = trace_.record(t);
    schema::for_each_column([&](const schema::Dataset& row, auto column) {
      auto& values = r.*column;
      if (row.has(schema::Dim::columns)) {
        set_columns(values, static_cast<size_t>(info.n_column), static_cast<size_t>(header_.n_column));
      }
      if (row.shape[1] == schema::Dim::n_layer) keep_layers(values, kept_, n_stored);
      // What an older trace does not know yet.
      if (row.since > info.minor)
        values.assign(sizes.per_row(row), schema::missing<schema::ElementOf<decltype(column)>>());
    });
    writer_.append(r);
    if (progress) progress("copying steps", t - first + 1, last - first + 1, "steps");
  }
}

}  // namespace reattend
