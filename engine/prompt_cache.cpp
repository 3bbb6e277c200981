// Loads a prompt from a file, proves with one token that this engine computes the same bits, computes the rest, saves.
#include "engine/prompt_cache.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/cache/prompt_file.h"
#include "engine/logits.h"
#include "kernels/cpu/ops.h"

namespace reattend {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

int64_t row_bytes(const Backend& backend, const Model& model) {
  return row_bytes(backend.kv, model.shape().d_head);
}

std::string made_by(const Backend& backend) {
  return "reattend " REATTEND_VERSION " on " + backend.name + " (" + std::string(Cpu::target_name()) + ", cache " +
         std::string(name_of(backend.kv)) + ", activations " + std::string(name_of(backend.activations)) +
         ", prefill " + std::string(name_of(backend.prefill)) + ")";
}

PromptHeader header_of(const Backend& backend, const Model& model) {
  const ModelShape& shape = model.shape();
  PromptHeader header;
  header.n_layer = shape.n_layer, header.n_head = shape.n_head, header.n_kv_head = shape.n_kv_head;
  header.d_head = shape.d_head;
  header.row_bytes = static_cast<int32_t>(row_bytes(backend, model));
  header.model_sha256 = to_field<sizeof header.model_sha256>(model.sha256());
  header.model = to_field<sizeof header.model>(model.path().filename().string());
  header.made_by = to_field<sizeof header.made_by>(made_by(backend));
  return header;
}

/// Of a prompt of n tokens, how many positions each layer still holds: [n_layer].
std::vector<int32_t> held_of(const ModelShape& shape, int32_t n) {
  std::vector<int32_t> all;
  for (const LayerShape& layer : shape.layers) all.push_back(layer.window > 0 ? std::min(n, layer.window) : n);
  return all;
}

/// The file may be what somebody waited hours for: a mistake in --model must not cost it.
void check_model(const PromptFileReader& reader, const PromptHeader& now, const ModelShape& shape,
                 const fs::path& path) {
  const PromptHeader& file = reader.header();
  const auto shape_of = [](const PromptHeader& h) { return std::tie(h.n_layer, h.n_head, h.n_kv_head, h.d_head); };
  if (file.model_sha256 == now.model_sha256 && shape_of(file) == shape_of(now)) {
    const std::vector<int32_t> held = held_of(shape, file.n_prompt);
    if (std::ranges::equal(reader.n_held(), held)) return;
    fail({path.string(), "what the model's layers see of a prompt of " + std::to_string(file.n_prompt) + " tokens",
          "more or fewer positions of a layer", "delete it, or give another --prompt-cache"});
  }
  fail({path.string(), "a prompt cache of " + std::string(to_text(now.model)),
        "one of " + std::string(to_text(file.model)) +
            (file.model == now.model ? ", but not of the same bytes" : std::string()),
        "give another --prompt-cache, or delete it"});
}

/// How much of a file serves a prompt.
struct Reuse {
  int32_t n = 0;       ///< leading tokens to load; 0: none
  bool whole = false;  ///< all of the file's: its queries and sums hold, too
  bool save = true;
  PromptNeeds keeps;  ///< of the sequence to load into
  std::string notice;
};

/// What becomes of a file whose contents would be lost.
std::string fate(bool replace) {
  return replace ? " and replaces it" : "; the file stays (--replace-prompt-cache gives it this one)";
}

Reuse compare(const PromptFileReader& file, const PromptHeader& now, std::span<const int32_t> prompt,
              const PromptNeeds& needs, const PromptCacheFile& of) {
  const std::string name = of.path.string();
  const PromptHeader& header = file.header();
  const auto n_prompt = static_cast<int32_t>(prompt.size());
  const auto n_same = static_cast<int32_t>(
      std::mismatch(prompt.begin(), prompt.end(), file.ids().begin(), file.ids().end()).first - prompt.begin());
  const int32_t window = std::max(kRememberedQueries, needs.window);
  const bool begins = n_same == header.n_prompt;  // the prompt begins with the file's
  const bool has_sums = header.row_sums != 0 || !needs.row_sums;
  Reuse out{.save = begins || (of.replace && n_same < n_prompt)};
  if (header.made_by != now.made_by || header.row_bytes != now.row_bytes) {
    out.save = of.replace;
    out.notice = name + " was made by " + std::string(to_text(header.made_by)) + ", this is " +
                 std::string(to_text(now.made_by)) + ": the prompt is computed anew" + fate(of.replace);
  } else if (begins && has_sums && header.n_query >= std::min(header.n_prompt, window)) {
    out = {.n = header.n_prompt,
           .whole = true,
           .save = n_same < n_prompt,
           .keeps = {.row_sums = header.row_sums != 0, .window = std::max(window, header.n_query)}};
  } else if (needs.row_sums) {
    out.notice = name +
                 (begins ? " lacks the sums of attention rows that the policy starts from"
                         : " holds another prompt, and sums of attention rows can't be taken from it") +
                 ": the prompt is computed anew" + (n_same < n_prompt || begins ? fate(out.save) : "");
  } else {
    // Keys and values depend on what stands before them only; the last queries are made again. A layer that holds its
    // window alone lacks what a shorter beginning saw.
    out.n = std::max(0, std::min(n_same, n_prompt - window));
    const bool whole = std::ranges::all_of(file.n_held(), [&](int32_t n) { return n == header.n_prompt; });
    if (!whole && out.n < header.n_prompt) {
      out.n = 0;
      out.notice = name +
                   " holds a longer prompt, of which layers with a window keep the end alone: this one is computed" +
                   fate(out.save);
    }
    out.keeps = {.row_sums = false, .window = window};
    if (!begins && n_same < n_prompt) {
      out.notice = name + " holds another prompt (" + std::to_string(n_same) + " of its " +
                   std::to_string(header.n_prompt) + " tokens are the same): " + (out.n > 0 ? "the rest" : "this one") +
                   " is computed" + fate(of.replace);
    }
  }
  return out;
}

/// Bits of keys and values of one position. [n_layer][2][n_kv_head] rows
std::vector<std::byte> read_position(Backend& backend, const Model& model, Sequence& sequence, int32_t position) {
  const ModelShape& shape = model.shape();
  const size_t rows = static_cast<size_t>(row_bytes(backend, model)) * shape.n_kv_head;
  std::vector<std::byte> out(2 * rows * shape.n_layer);
  size_t at = 0;
  for (int32_t layer = 0; layer < shape.n_layer; ++layer) {
    for (const Item item : {Item::keys, Item::values}) {
      backend.model->read(sequence, item, layer, position, 1, std::span(out).subspan(at, rows));
      at += rows;
    }
  }
  backend.model->wait();
  return out;
}

/// Fills a new sequence with the first reuse.n tokens. The last of them is not loaded but computed, which gives the
/// backend the state that only a computed token leaves, and shows whether this engine still computes the file's bits;
/// nothing where it does not.
std::unique_ptr<Sequence> load(PromptFileReader& file, Backend& backend, const Model& model,
                               std::span<const int32_t> prompt, const PrefillOptions& options, const Reuse& reuse) {
  const PromptHeader& header = file.header();
  ModelOps& ops = *backend.model;
  const auto row = static_cast<size_t>(row_bytes(backend, model));
  const int32_t last = reuse.n - 1;
  check_memory(model.shape(), backend.kv, options.n_ctx, {.prompt = reuse.keeps, .summaries = options.needs.summaries});
  std::unique_ptr<Sequence> sequence = ops.new_sequence(options.n_ctx, reuse.keeps);
  std::vector<std::byte> expected;                 // as read_position() gives it
  std::vector<std::vector<std::byte>> remembered;  // [n_layer] queries, then sums
  std::vector<std::byte> rows;                     // [2][n_kv_head][last - first] of a layer
  for (int32_t layer = 0; layer < header.n_layer; ++layer) {
    options.cancel.check();
    const std::span<const std::byte> section = file.next_layer();
    const int32_t n_held = file.n_held()[static_cast<size_t>(layer)], first = header.n_prompt - n_held;
    const auto half = static_cast<size_t>(header.half_bytes(n_held)), column = half / header.n_kv_head;
    rows.clear();
    for (int32_t i = 0; i < 2 * header.n_kv_head; ++i) {  // keys of all KV heads, then values
      const auto begin = section.begin() + static_cast<std::ptrdiff_t>(i * column);
      const auto end = begin + static_cast<std::ptrdiff_t>((last - first) * row);
      rows.insert(rows.end(), begin, end);
      expected.insert(expected.end(), end, end + static_cast<std::ptrdiff_t>(row));
    }
    if (last > 0) {
      ops.write(*sequence, Item::keys, layer, first, last - first, std::span(rows).first(rows.size() / 2));
      ops.write(*sequence, Item::values, layer, first, last - first, std::span(rows).last(rows.size() / 2));
      ops.wait();
    }
    if (reuse.whole) remembered.emplace_back(section.begin() + static_cast<std::ptrdiff_t>(2 * half), section.end());
  }
  prefill_more(backend, model, *sequence, prompt.subspan(last, 1), last, {.cancel = options.cancel});
  if (read_position(backend, model, *sequence, last) != expected) return nullptr;
  // After the token, which must not be added to them a second time.
  for (int32_t layer = 0; layer < static_cast<int32_t>(remembered.size()); ++layer) {
    const std::span<const std::byte> all = remembered[layer];
    const auto n = static_cast<size_t>(header.query_bytes());
    ops.write(*sequence, Item::prompt_queries, layer, header.n_prompt - header.n_query, header.n_query, all.first(n));
    if (header.row_sums != 0) ops.write(*sequence, Item::row_sums, layer, 0, header.n_prompt, all.subspan(n));
  }
  ops.wait();
  return sequence;
}

void save(const fs::path& path, PromptHeader header, Backend& backend, const ModelShape& shape,
          const Prefilled& prefilled, const Cancel& cancel) {
  Sequence& sequence = *prefilled.sequence;
  ModelOps& ops = *backend.model;
  const PromptNeeds holds = sequence.holds();
  header.n_prompt = static_cast<int32_t>(prefilled.prompt.size());
  header.n_query = std::min(holds.window, header.n_prompt);
  header.row_sums = holds.row_sums ? 1 : 0;
  const std::vector<int32_t> n_held = held_of(shape, header.n_prompt);
  PromptFileWriter file(path, header, prefilled.prompt, n_held);
  for (int32_t layer = 0; layer < header.n_layer; ++layer) {
    cancel.check();
    const int32_t n_row = n_held[static_cast<size_t>(layer)], first = header.n_prompt - n_row;
    const auto half = static_cast<size_t>(header.half_bytes(n_row));
    const std::span<std::byte> section = file.begin_section(header.layer_bytes(n_row));
    ops.read(sequence, Item::keys, layer, first, n_row, section.first(half));
    ops.read(sequence, Item::values, layer, first, n_row, section.subspan(half, half));
    const auto n = static_cast<size_t>(header.query_bytes());
    ops.read(sequence, Item::prompt_queries, layer, header.n_prompt - header.n_query, header.n_query,
             section.subspan(2 * half, n));
    if (holds.row_sums) ops.read(sequence, Item::row_sums, layer, 0, header.n_prompt, section.subspan(2 * half + n));
    ops.wait();
    file.end_section();
  }
  file.publish();
}

}  // namespace

CachedPrefill prefill_cached(Backend& backend, const Model& model, std::span<const int32_t> prompt,
                             const PrefillOptions& given, const PromptCacheFile& of) {
  const fs::path& path = of.path;
  if (path.empty()) return {prefill(backend, model, prompt, given)};
  refuse_to_replace(path, true, "--prompt-cache");
  const auto begin = Clock::now();
  const PromptHeader now = header_of(backend, model);
  PrefillOptions options = given;
  if (options.n_ctx == 0) options.n_ctx = static_cast<int32_t>(prompt.size());
  const bool fits = !prompt.empty() && prompt.size() <= static_cast<size_t>(options.n_ctx);
  CachedPrefill out;
  Reuse reuse;
  std::error_code ignored;
  if (fits && fs::exists(path, ignored)) {
    PromptFileReader file(path);
    check_model(file, now, model.shape(), path);
    reuse = compare(file, now, prompt, options.needs.prompt, of);
    if (reuse.n > 0) out.sequence = load(file, backend, model, prompt, options, reuse);
    if (reuse.n > 0 && !out.sequence) {
      reuse = {.save = of.replace,
               .notice = path.string() + " holds other bits than this engine computes: the prompt is computed anew" +
                         fate(of.replace)};
    }
  }
  if (reuse.save) check_folder_of(path, "--prompt-cache");
  if (of.tell && !reuse.notice.empty()) of.tell(reuse.notice);
  if (out.sequence) {
    out.n_loaded = reuse.n;
    out.load_seconds = seconds_since(begin);
    prefill_more(backend, model, *out.sequence, prompt.subspan(reuse.n), reuse.n, options);
    out.prompt.assign(prompt.begin(), prompt.end());
    out.logits.resize(static_cast<size_t>(model.shape().n_vocab));
    backend.model->predict(*out.sequence, -1);
    backend.model->read_logits(out.logits);
    check_logits(out.logits, static_cast<int32_t>(prompt.size()) - 1);
    out.seconds = seconds_since(begin);
  } else {
    static_cast<Prefilled&>(out) = prefill(backend, model, prompt, options);
  }
  if (reuse.save) save(path, now, backend, model.shape(), out, options.cancel);
  return out;
}

}  // namespace reattend
