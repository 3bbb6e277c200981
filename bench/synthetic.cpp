// Fills caches with random rows, and lists the shapes of published models.
#include "bench/synthetic.h"

#include <array>

#include "kernels/cpu/random_rows.h"

namespace reattend {
namespace {

/// The llama 3.1 scheme of rotary factors does not change what a step costs; keys are random anyway.
ModelShape shape_of(std::string name, int32_t n_layer, int32_t n_head, int32_t n_kv_head, int32_t d_head, int32_t d_ffn,
                    int32_t n_vocab, int32_t n_ctx) {
  ModelShape shape;
  shape.architecture = "llama", shape.name = std::move(name);
  shape.n_layer = n_layer, shape.n_head = n_head, shape.n_kv_head = n_kv_head, shape.d_head = d_head;
  shape.d_model = n_head * d_head, shape.d_ffn = d_ffn, shape.n_vocab = n_vocab, shape.n_ctx_train = n_ctx;
  shape.set_layers({.layout = RopeLayout::pairs, .base = 500000, .d_head = d_head, .factors = {}});
  return shape;
}

const std::array<NamedShape, 3>& shapes() {
  static const std::array<NamedShape, 3> all = {{
      {shape_of("smollm2-135m", 30, 9, 3, 64, 1536, 49152, 8192), true},
      {shape_of("llama-3.2-1b", 16, 32, 8, 64, 8192, 128256, 131072), true},
      {shape_of("llama-3.1-8b", 32, 32, 8, 128, 14336, 128256, 131072), false},
  }};
  return all;
}

}  // namespace

SyntheticContext::SyntheticContext(Backend& backend, const Model& model, ThreadPool& pool, int32_t n_ctx)
    : backend_(backend), model_(model), pool_(pool) {
  const ModelShape& shape = model.shape();
  ModelOps& ops = *backend.model;
  prefilled_.sequence = ops.new_sequence(n_ctx, {.window = 1});
  prefilled_.logits.resize(static_cast<size_t>(shape.n_vocab));
  std::vector<float> query(static_cast<size_t>(shape.n_head) * shape.d_head);
  for (int32_t layer = 0; layer < shape.n_layer; ++layer) {
    random_rows(KvType::f32, shape.n_head * shape.d_head, 1, static_cast<uint64_t>(layer),
                std::as_writable_bytes(std::span(query)));
    ops.write(*prefilled_.sequence, Item::prompt_queries, layer, 0, 1, std::as_bytes(std::span(query)));
    ops.wait();
  }
}

void SyntheticContext::grow_to(int32_t n, const ProgressFn& progress, const Cancel& cancel) {
  const ModelShape& shape = model_.shape();
  Sequence& sequence = *prefilled_.sequence;
  const int64_t row = row_bytes(backend_.kv, shape.d_head);
  constexpr int32_t kAtOnce = 4096;
  const int64_t n_column = int64_t{2} * shape.n_layer * shape.n_kv_head;  // keys and values of each KV head
  std::vector<std::byte> chunk(static_cast<size_t>(int64_t{2} * shape.n_kv_head * kAtOnce * row));
  const int32_t from = sequence.size();
  for (int32_t at = from; at < n; at += kAtOnce) {
    const int32_t count = std::min(kAtOnce, n - at);
    const auto bytes = static_cast<size_t>(count * row), half = bytes * shape.n_kv_head;
    for (int32_t layer = 0; layer < shape.n_layer; ++layer) {
      cancel.check();
      pool_.run(int64_t{2} * shape.n_kv_head, [&](int64_t i, int) {
        const auto seed = static_cast<uint64_t>((layer * int64_t{2} * shape.n_kv_head + i) + at * n_column);
        random_rows(backend_.kv, shape.d_head, count, seed,
                    std::span(chunk).subspan(i % 2 * half + i / 2 * bytes, bytes));
      });
      backend_.model->write(sequence, Item::keys, layer, at, count, std::span(chunk).first(half));
      backend_.model->write(sequence, Item::values, layer, at, count, std::span(chunk).subspan(half, half));
      backend_.model->wait();
    }
    if (progress) progress("fill the cache", at + count - from, n - from, "positions");
  }
  prefilled_.prompt.resize(static_cast<size_t>(std::max(n, from)), 1);
}

const NamedShape* find_shape(std::string_view name) {
  for (const NamedShape& each : shapes()) {
    if (each.shape.name == name) return &each;
  }
  return nullptr;
}

std::string shape_names() {
  std::string names;
  for (const NamedShape& each : shapes()) names += (names.empty() ? "" : ", ") + each.shape.name;
  return names;
}

int64_t weight_bytes(const NamedShape& named, TensorType type) {
  const ModelShape& s = named.shape;
  const int64_t d = s.d_model, d_q = int64_t{s.n_head} * s.d_head, d_kv = int64_t{s.n_kv_head} * s.d_head;
  const int64_t layer = matrix_bytes(type, 2 * d_q + 2 * d_kv, d) + 3 * matrix_bytes(type, s.d_ffn, d);
  return s.n_layer * layer + (named.tied ? 1 : 2) * matrix_bytes(type, s.n_vocab, d);
}

}  // namespace reattend
