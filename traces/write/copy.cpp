// Blocks in, blocks out; only sums of attention rows are computed, for steps that become prompt.
#include "traces/write/copy.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "kernels/cpu/ops.h"
#include "traces/schema.h"

namespace reattend {
namespace {

int32_t number(const TraceInfo& info, const char* name, int32_t otherwise) {
  const std::string text = info.attribute(name);
  int32_t value = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

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
  if (!std::ranges::equal(info.overlap_k, schema::kOverlapSizes)) {
    fail({.where = info.path.string() + ": attribute overlap_k",
          .expected = "64, 256, 1024",
          .got = info.attribute("overlap_k"),
          .remedy = "copy it with the program that wrote it"});
  }
  TraceHeader h;
  h.created_utc = info.attribute("created_utc");
  h.engine_version = info.attribute("engine_version");
  h.command_line = info.attribute("command_line");
  h.model = info.attribute("model");
  h.model_sha256 = info.attribute("model_sha256");
  h.architecture = info.attribute("architecture");
  h.device = info.attribute("device");
  h.cpu_target = info.attribute("cpu_target");
  h.activations = info.attribute("activations");
  h.threads = number(info, "threads", 0);
  h.n_layer = info.n_layer, h.n_head = info.n_head, h.n_kv_head = info.n_kv_head, h.d_head = info.d_head;
  h.d_model = number(info, "d_model", 0);
  h.rope = info.rope;
  h.kv_type = info.kv_type;
  h.settings = info.settings;
  h.shadow = info.shadow;
  h.values = info.has_values, h.row_sums = info.has_prompt_row_sums;
  h.maps = info.maps, h.n_map = info.n_map, h.map_bin = info.map_bin, h.n_column = info.n_column;
  h.measure_every = info.measure_every;
  h.layers = info.layers;
  h.n_skipped = info.n_skipped;
  h.expected_steps = std::max(1, info.n_step);
  if (const std::string reduce = info.attribute("overlap_reduce"); !reduce.empty()) h.overlap_reduce = reduce;
  h.overlap_pool = number(info, "overlap_pool", h.overlap_pool);
  h.prompt = trace.tokens();
  h.prompt.resize(static_cast<size_t>(info.n_prompt));
  for (int32_t id = 0; id < info.n_vocab; ++id) h.vocab.push_back(trace.token_text(id));
  h.end_tokens = info.end_tokens;
  h.calibration = info.calibration;
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
    const LayerData data = trace_.layer(layer, header_.values);
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
    if (header_.row_sums) writer_.prompt_row_sums(to, row_sums(data, layer, n_step, pool));
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
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(info.d_head)));
  const float* const queries = data.queries.data() + int64_t{info.n_head} * info.d_head;  // [n_step][n_head][d_head]
  Cpu::sum_prompt_rows(pool, scratch, queries, n_step, info.n_prompt, info.group(), kv, scale, sums.data(),
                       static_cast<int64_t>(n));
  return sums;
}

void TraceCopy::steps(int32_t first, int32_t last, const ProgressFn& progress) {
  const TraceInfo& info = trace_.info();
  const auto n_stored = static_cast<size_t>(info.n_stored());
  for (int32_t t = first; t <= last; ++t) {
    cancel_.check();
    StepRecord r = trace_.record(t);
    if (!header_.values) r.values.clear();
    set_columns(r.map_dense, static_cast<size_t>(info.n_column), static_cast<size_t>(header_.n_column));
    set_columns(r.map_binned, static_cast<size_t>(info.n_column), static_cast<size_t>(header_.n_column));
    const auto keep = [&](auto&... values) { (keep_layers(values, kept_, n_stored), ...); };
    keep(r.keys, r.values, r.queries, r.map_positions, r.map_weights, r.map_rest, r.map_dense, r.map_binned, r.overlap,
         r.decision, r.reason, r.cos_last_full, r.cos_prev_pre, r.cos_prev_post, r.recovered, r.oracle, r.positions);
    writer_.append(r);
    if (progress) progress("copying steps", t - first + 1, last - first + 1, "steps");
  }
}

}  // namespace reattend
