// Cuts and joins traces, and refuses what can't be cut or joined.
#include "traces/write/edit.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/error.h"
#include "traces/write/copy.h"

namespace reattend {
namespace {

/// Everything in which two parts of one recording are the same, as text.
std::vector<std::pair<std::string, std::string>> nature(const TraceInfo& info) {
  const auto text = [&](const char* name) {
    const auto found = info.attributes.find(name);
    return found == info.attributes.end() ? std::string("unknown") : found->second;
  };
  return {
      {"model", text("model_sha256")},
      {"layers of the model", text("n_layer")},
      {"query heads", text("n_head")},
      {"KV heads", text("n_kv_head")},
      {"head width", text("d_head")},
      {"vocabulary", text("n_vocab")},
      {"cache type", text("kv_type")},
      {"settings", info.settings.to_toml()},
      {"shadow", text("shadow")},
      {"layers", info.layers.empty() ? "all" : text("layers")},
      {"maps", std::string(name_of(info.maps)) + " " + std::to_string(info.n_map) + " " + std::to_string(info.map_bin)},
      {"measured steps", "every " + std::to_string(info.measure_every)},
      {"values", info.has_values ? "yes" : "no"}};
}

void check_same_nature(const TraceInfo& a, const TraceInfo& b) {
  const auto first = nature(a), second = nature(b);
  for (size_t i = 0; i < first.size(); ++i) {
    if (first[i].second == second[i].second) continue;
    fail_usage({.where = b.path.string(),
                .expected = first[i].first + " as in " + a.path.string() + " (" + first[i].second + ")",
                .got = second[i].second,
                .remedy = "only parts of one recording can be joined"});
  }
}

void check_follows(TraceReader& a, TraceReader& b) {
  const TraceInfo &first = a.info(), &second = b.info();
  const int32_t end = first.n_prompt + first.n_step;
  if (second.n_prompt != end) {
    const bool turned = second.n_prompt + second.n_step == first.n_prompt;
    fail_usage({.where = second.path.string(),
                .expected = "a prompt of " + std::to_string(end) + " tokens, where " + first.path.string() + " ends",
                .got = std::to_string(second.n_prompt),
                .remedy = turned ? "give them in the other order" : "give parts that follow each other"});
  }
  const std::vector<int32_t> before = a.tokens(), after = b.tokens();
  const auto differs = std::mismatch(before.begin(), before.begin() + end, after.begin()).first - before.begin();
  if (differs == end) return;
  fail_usage({.where = second.path.string() + ": token " + std::to_string(differs),
              .expected = "that of " + first.path.string() + " (" + std::to_string(before[differs]) + ")",
              .got = std::to_string(after[differs]),
              .remedy = "only parts of one recording can be joined"});
}

/// Queries of the second part looked at the keys of its prompt: they must be those that the first part holds.
void check_same_keys(TraceReader& a, TraceReader& b, const Cancel& cancel) {
  const TraceInfo& info = a.info();
  for (int32_t i = 0; i < info.n_stored(); ++i) {
    cancel.check();
    const int32_t layer = info.stored_layer(i);
    const LayerData first = a.layer(layer, false), second = b.layer(layer, false);
    const size_t row = static_cast<size_t>(row_bytes(first.kv_type, first.d_head)),
                 n = static_cast<size_t>(first.n_position) * row, stride = static_cast<size_t>(second.n_position) * row;
    for (size_t g = 0; g < static_cast<size_t>(info.n_kv_head); ++g) {
      const std::byte* const ours = first.keys.data() + g * n;
      const auto same = std::mismatch(ours, ours + n, second.keys.data() + g * stride).first - ours;  // bytes
      if (static_cast<size_t>(same) == n) continue;
      fail_usage({.where = b.info().path.string() + ": prompt/keys of layer " + std::to_string(layer),
                  .expected = "the keys that " + info.path.string() + " ends with",
                  .got = "keys that differ from position " + std::to_string(static_cast<size_t>(same) / row) +
                         " on in KV head " + std::to_string(g),
                  .remedy = "both have to come from one run, or from full-attention runs of one program"});
    }
  }
}

void check_steps(const TraceInfo& info, int32_t first, int32_t last) {
  if (info.n_step > 0 && first >= 1 && first <= last && last <= info.n_step) return;
  fail_usage({.where = "--steps",
              .expected = "steps within 1 to " + std::to_string(info.n_step) + ", which " + info.path.string() + " has",
              .got = std::to_string(first) + ":" + std::to_string(last)});
}

}  // namespace

int32_t slice_trace(const std::filesystem::path& source, const std::filesystem::path& target, const TraceSlice& slice,
                    bool force, ThreadPool& pool, const ProgressFn& progress, const Cancel& cancel) {
  const auto trace = TraceReader::open(source);
  const TraceInfo& info = trace->info();
  const int32_t first = slice.first_step, last = slice.last_step > 0 ? slice.last_step : info.n_step;
  check_steps(info, first, last);
  TraceHeader header = header_of(*trace);
  header.n_skipped += first - 1;
  header.expected_steps = last - first + 1;
  const std::vector<int32_t> tokens = trace->tokens();
  header.prompt.assign(tokens.begin(), tokens.begin() + info.n_prompt + first - 1);
  header.n_column = header.columns_for(header.expected_steps);
  header.has_values = header.has_values && slice.values;
  if (!slice.layers.empty()) {
    header.layers = slice.layers;
    std::ranges::sort(header.layers);
    header.layers.erase(std::unique(header.layers.begin(), header.layers.end()), header.layers.end());
    for (const int32_t l : header.layers) trace->prompt_queries(l);  // refuses a layer that is not stored
    if (header.layers.size() == static_cast<size_t>(info.n_layer)) header.layers.clear();
  }
  TraceWriter writer(target, force, Appears::when_whole);
  writer.begin(header);
  TraceCopy copy(*trace, writer, header, cancel);
  copy.prompt(first - 1, pool, progress);
  writer.start(trace->record(first - 1));
  copy.steps(first, last, progress);
  writer.close();
  return header.expected_steps;
}

int32_t merge_traces(const std::filesystem::path& first, const std::filesystem::path& second,
                     const std::filesystem::path& target, bool force, ThreadPool& pool, const ProgressFn& progress,
                     const Cancel& cancel) {
  const auto a = TraceReader::open(first), b = TraceReader::open(second);
  check_same_nature(a->info(), b->info());
  check_follows(*a, *b);
  check_same_keys(*a, *b, cancel);
  TraceHeader header = header_of(*a);
  header.expected_steps = std::max(1, a->info().n_step + b->info().n_step);
  header.n_column = header.columns_for(header.expected_steps);
  TraceWriter writer(target, force, Appears::when_whole);
  writer.begin(header);
  TraceCopy start(*a, writer, header, cancel), rest(*b, writer, header, cancel);
  start.prompt(0, pool, progress);
  writer.start(a->record(0));
  start.steps(1, a->info().n_step, progress);
  rest.steps(1, b->info().n_step, progress);
  writer.close();
  return a->info().n_step + b->info().n_step;
}

}  // namespace reattend
