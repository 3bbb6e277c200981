// Times weight products as a step makes them: groups that share activations, every layer with matrices of its own.
#include <algorithm>
#include <cstddef>
#include <memory_resource>
#include <random>
#include <span>

#include "base/page_memory.h"
#include "bench/kernel_timer.h"
#include "kernels/cpu/ops.h"

namespace reattend {
namespace {

/// Weights that one measurement holds at most, and least: enough for an even share among threads.
constexpr int64_t kMostBytes = int64_t{512} << 20, kLeastBytes = int64_t{32} << 20;

/// Packed matrices of random bytes; none of them is an infinity or a nan in any type, for bits 6 and 7 are never set.
class RandomMatrices {
 public:
  explicit RandomMatrices(int64_t most_bytes) : bytes_(static_cast<size_t>(most_bytes)) {
    std::mt19937_64 bits(1);
    constexpr uint64_t kMask = 0x3F3F3F3F3F3F3F3FULL;
    for (size_t at = 0; at + sizeof(uint64_t) <= bytes_.size(); at += sizeof(uint64_t)) {
      const uint64_t word = bits() & kMask;
      std::copy_n(reinterpret_cast<const std::byte*>(&word), sizeof word, bytes_.data() + at);
    }
  }
  Cpu::Matrix make(TensorType type, int64_t n_row, int64_t n_col, std::pmr::memory_resource* memory) const {
    const auto size = static_cast<size_t>(matrix_bytes(type, n_row, n_col));
    return Cpu::pack(
        {.name = "random", .type = type, .n_row = n_row, .n_col = n_col, .bytes = std::span(bytes_).first(size)},
        memory);
  }

 private:
  std::vector<std::byte> bytes_;
};

/// The products that one activation vector goes through together.
struct Products {
  std::vector<Cpu::Matrix> matrices;
  int64_t n_col = 0;
};

class Weights {
 public:
  Weights(ThreadPool& pool, Activations how, int64_t most_token, int64_t widest)
      : pool_(pool),
        how_(how),
        x_(some_floats(most_token * widest, 3)),
        y_(static_cast<size_t>(most_token * 4 * widest)) {}

  /// Where its matrices belong: one behind the other in huge pages, as a backend's weights lie.
  std::pmr::memory_resource* memory() { return &memory_; }
  void add(std::vector<Cpu::Matrix> matrices) {
    const int64_t n_col = matrices[0].n_col();
    for (const Cpu::Matrix& each : matrices) {
      bytes += static_cast<double>(each.bytes());
      macs += static_cast<double>(each.n_row() * n_col);
    }
    groups_.push_back({std::move(matrices), n_col});
  }
  void run(int64_t n_token) {
    for (const Products& group : groups_) {
      std::vector<Cpu::Product> products;
      int64_t stride = 0, at = 0;
      for (const Cpu::Matrix& each : group.matrices) stride += each.n_row();
      if (y_.size() < static_cast<size_t>(n_token * stride)) y_.resize(static_cast<size_t>(n_token * stride));
      for (const Cpu::Matrix& each : group.matrices) {
        products.push_back({&each, y_.data() + at, stride});
        at += each.n_row();
      }
      Cpu::matmul(pool_, scratch_, how_, x_.data(), n_token, products);
    }
  }
  double bytes = 0, macs = 0;  ///< of one token

 private:
  static constexpr size_t kChunk = size_t{64} << 20;
  PageMemory pages_;
  std::pmr::monotonic_buffer_resource memory_{kChunk, &pages_};
  ThreadPool& pool_;
  Activations how_;
  Cpu::Scratch scratch_;
  std::vector<float> x_, y_;
  std::vector<Products> groups_;
};

}  // namespace

void time_weights(KernelTimer& timer, ThreadPool& pool, const Model& model, const KernelOptions& options) {
  const ModelShape& s = model.shape();
  const int64_t widest = std::max({int64_t{s.d_model}, int64_t{s.d_ffn}, int64_t{s.n_head} * s.d_head});
  int64_t most = 0;
  const auto size_of = [&](const TensorView& view) {
    most = std::max(most, static_cast<int64_t>(view.bytes.size()));
    return view.bytes.size();
  };
  size_t layer_bytes = 0;
  const LayerWeights& one = model.layers().front();
  for (const TensorView* each : one.matrices()) layer_bytes += size_of(*each);
  size_of(model.output());
  const auto elements = int64_t{s.d_model} * s.d_ffn;
  for (const TensorFormat& format : tensor_formats()) {
    if (s.d_model % format.block_size != 0 || s.d_ffn % format.block_size != 0) continue;
    most = std::max(most, matrix_bytes(format.type, 1, elements));
  }
  const RandomMatrices random(most);
  {
    Weights layers(pool, options.activations, options.n_prompt, widest);
    const auto like = [&](const TensorView& view) {
      return random.make(view.type, view.n_row, view.n_col, layers.memory());
    };
    const auto pack = [&](std::initializer_list<const TensorView*> views) {
      std::vector<Cpu::Matrix> matrices;
      for (const TensorView* each : views) matrices.push_back(like(*each));
      layers.add(std::move(matrices));
    };
    size_t bytes = 0;
    for (const LayerWeights& w : model.layers()) {
      options.cancel.check();
      if (bytes > 0 && bytes + layer_bytes > static_cast<size_t>(kMostBytes)) break;
      pack({&w.attn_q, &w.attn_k, &w.attn_v}), pack({&w.attn_output});
      pack({&w.ffn_gate, &w.ffn_up}), pack({&w.ffn_down});
      bytes += layer_bytes;
    }
    const std::string type(format_of(one.ffn_up.type).name);
    timer.add("prompt of " + std::to_string(options.n_prompt) + ": weights of layers, " + type, layers.bytes,
              layers.macs * options.n_prompt, [&] { layers.run(options.n_prompt); });
    timer.add("weights of layers, " + type, layers.bytes, layers.macs, [&] { layers.run(1); });
    Weights head(pool, options.activations, 1, widest);
    std::vector<Cpu::Matrix> output;
    output.push_back(random.make(model.output().type, model.output().n_row, model.output().n_col, head.memory()));
    head.add(std::move(output));
    timer.add("logits, " + std::string(format_of(model.output().type).name), head.bytes, head.macs,
              [&] { head.run(1); });
  }
  for (const TensorFormat& format : tensor_formats()) {
    if (s.d_model % format.block_size != 0 || s.d_ffn % format.block_size != 0) continue;
    Weights weights(pool, options.activations, 1, widest);
    const auto add = [&](int64_t n_row, int64_t n_col) {
      std::vector<Cpu::Matrix> matrices;
      matrices.push_back(random.make(format.type, n_row, n_col, weights.memory()));
      weights.add(std::move(matrices));
    };
    // A small model's pool is its largest matrix, and packing is quicker than finding out how often it takes.
    while (weights.bytes < static_cast<double>(std::min(kLeastBytes, elements * 256))) {
      options.cancel.check();
      add(s.d_ffn, s.d_model), add(s.d_model, s.d_ffn);
    }
    timer.add("product, " + std::string(format.name), weights.bytes, weights.macs, [&] { weights.run(1); });
  }
}

}  // namespace reattend
