// Times attention, scores and choices over all layers of a random cache; what prompts need, over one layer.
#include <algorithm>
#include <cmath>
#include <memory_resource>
#include <numeric>
#include <random>

#include "bench/kernel_timer.h"
#include "engine/backend/memory.h"
#include "engine/cache/kv_cache.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/random_rows.h"

namespace reattend {
namespace {

class Attention {
 public:
  Attention(KernelTimer& timer, ThreadPool& pool, const ModelShape& shape, const KernelOptions& options)
      : timer_(timer),
        pool_(pool),
        options_(options),
        depth_(options.depth),
        budget_(std::clamp(options.budget, 1, options.depth)),
        n_kv_(shape.n_kv_head),
        group_(shape.group()),
        d_head_(shape.d_head),
        row_(row_bytes(options.kv, shape.d_head)),
        scale_(1 / std::sqrt(static_cast<float>(shape.d_head))),
        cache_shape_{shape.n_layer, shape.n_kv_head, shape.d_head, options.kv, options.depth + options.n_prompt},
        blocks_(cache_shape_.block_bytes(), static_cast<size_t>(cache_shape_.n_column()), memory_.maps()),
        cache_(cache_shape_, blocks_, memory_.maps()),
        q_(some_floats(int64_t{options.n_prompt} * shape.n_head * shape.d_head, 5)),
        out_(q_.size()) {
    cache_.grow(depth_ + options.n_prompt);
    for (int32_t layer = 0; layer < shape.n_layer; ++layer) {
      options.cancel.check();
      std::vector<KvBlocks>& kv = layers_.emplace_back();
      for (int32_t g = 0; g < n_kv_; ++g) kv.push_back(cache_.blocks(layer, g));
      pool.run(n_kv_, [&](int64_t g, int) { fill(layer, static_cast<int32_t>(g)); });
    }
  }

  void time() {
    const int32_t n = depth_, k = budget_;
    const std::string depth = std::to_string(n), budget = std::to_string(k);
    decode("attention, run of " + depth, everything_up_to(n), false);
    decode("attention, run of " + depth + ", rows left behind", everything_up_to(n), true);
    if (k < n) decode("attention, run of " + budget, everything_up_to(k), false);
    std::vector<int32_t> kept(static_cast<size_t>(n));
    std::iota(kept.begin(), kept.end(), 0);
    std::shuffle(kept.begin(), kept.end(), std::mt19937(4));
    const PositionSet set{.kept = kept.data(), .n_kept = k, .tail = n, .end = n};
    decode("attention, " + budget + " kept, gathered", set, false);
    packed(set, "attention, " + budget + " kept, packed");
    scoring();
    choices();
    prompt();
  }

 private:
  double units() const { return static_cast<double>(layers_.size()) * n_kv_; }
  double bytes_of(double n_position) const { return units() * n_position * 2 * static_cast<double>(row_); }
  double macs_of(double n_position) const { return units() * n_position * group_ * d_head_ * 2; }

  void fill(int32_t layer, int32_t g) {
    const int32_t n = cache_.size();
    for (int32_t begin = 0; begin < n; begin += kPiece) {
      const int32_t count = std::min(kPiece, n - begin);
      const auto bytes = static_cast<size_t>(count * row_);
      const auto seed = static_cast<uint64_t>((layer * n_kv_ + g) * int64_t{n} + begin) * 2;
      random_rows(options_.kv, d_head_, count, seed, {static_cast<std::byte*>(cache_.key(layer, g, begin)), bytes});
      random_rows(options_.kv, d_head_, count, seed + 1,
                  {static_cast<std::byte*>(cache_.value(layer, g, begin)), bytes});
    }
  }

  void attend(size_t layer, std::span<const PositionSet> sets, float* const* rows) {
    Cpu::attend(pool_, scratch_, q_.data(), group_, layers_[layer], sets, scale_, out_.data(), rows, stride());
  }
  int64_t stride() const { return (int64_t{depth_} + 63) / 64 * 64; }

  void decode(const std::string& name, const PositionSet& set, bool leaves_rows) {
    const std::vector<PositionSet> sets(static_cast<size_t>(n_kv_), set);
    std::vector<float> space(leaves_rows ? static_cast<size_t>(int64_t{n_kv_} * group_ * stride()) : 0);
    std::vector<float*> rows;
    for (int32_t g = 0; leaves_rows && g < n_kv_; ++g)
      rows.push_back(&space[static_cast<size_t>(int64_t{g} * group_ * stride())]);
    timer_.add(name, bytes_of(set.size()), macs_of(set.size()), [&] {
      for (size_t layer = 0; layer < layers_.size(); ++layer) attend(layer, sets, leaves_rows ? rows.data() : nullptr);
    });
  }

  void packed(const PositionSet& set, const std::string& name) {
    const auto n_unit = layers_.size() * static_cast<size_t>(n_kv_);
    const auto size = static_cast<size_t>(set.n_kept * row_);
    std::pmr::vector<std::byte> rows(2 * n_unit * size, memory_.maps());
    for (size_t i = 0; i < 2 * n_unit; ++i) {
      random_rows(options_.kv, d_head_, set.n_kept, i, std::span(rows).subspan(i * size, size));
    }
    timer_.add(name, bytes_of(set.size()), macs_of(set.size()), [&] {
      std::vector<PositionSet> sets(static_cast<size_t>(n_kv_), set);
      for (size_t layer = 0, unit = 0; layer < layers_.size(); ++layer) {
        for (PositionSet& each : sets) {
          each.packed_keys = rows.data() + 2 * unit * size, each.packed_values = rows.data() + (2 * unit + 1) * size;
          each.packed_type = options_.kv, ++unit;
        }
        attend(layer, sets, nullptr);
      }
    });
  }

  /// Calls what(layer, g, its scratch rows) for every KV head of every layer, as the engine shares them out.
  template <class What>
  void for_units(const What& what) {
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      pool_.run(n_kv_, [&](int64_t g, int) { what(layer, static_cast<size_t>(g)); });
    }
  }

  void scoring() {
    const auto n = depth_;
    std::vector<float> rows(static_cast<size_t>(int64_t{n_kv_} * group_ * stride()));
    timer_.add("scores of all " + std::to_string(n) + " keys", bytes_of(n) / 2, macs_of(n) / 2, [&] {
      for_units([&](size_t layer, size_t g) {
        Cpu::score_run(q_.data() + g * static_cast<size_t>(group_ * d_head_), group_, layers_[layer][g], n, scale_,
                       &rows[g * static_cast<size_t>(group_ * stride())], stride());
      });
    });
    // What follows a full step, whose rows are in the cache.
    const std::vector<float> raw = some_floats(int64_t{group_} * stride(), 7);
    for (int32_t h = 0; h < n_kv_ * group_; ++h) {
      std::copy_n(raw.data() + h % group_ * stride(), n, &rows[static_cast<size_t>(h * stride())]);
      Cpu::softmax(&rows[static_cast<size_t>(h * stride())], n);
    }
    std::vector<float> reduced(static_cast<size_t>(n_kv_ * n)), wide(reduced.size());
    std::vector<int32_t> best(static_cast<size_t>(n_kv_ * budget_));
    timer_.add("maximum, pool 7, top " + std::to_string(budget_), 0, 0, [&] {
      for_units([&](size_t, size_t g) {
        float* const one = &reduced[g * static_cast<size_t>(n)];
        float* const pooled = &wide[g * static_cast<size_t>(n)];
        Cpu::reduce_heads(&rows[g * static_cast<size_t>(int64_t{group_} * stride())], group_, stride(), n, Reduce::max,
                          one);
        Cpu::max_pool(one, n, 7, pooled);
        Cpu::top_k(pooled, n, budget_, &best[g * static_cast<size_t>(budget_)]);
      });
    });
    timer_.add("top " + std::to_string(budget_) + " of " + std::to_string(n), 0, 0, [&] {
      for_units([&](size_t, size_t g) {
        Cpu::top_k(&reduced[g * static_cast<size_t>(n)], n, budget_, &best[g * static_cast<size_t>(budget_)]);
      });
    });
  }

  void choices() {
    constexpr int32_t kPage = 16;
    const int32_t n_page = depth_ / kPage;
    if (n_page == 0) return;
    const auto width = static_cast<size_t>(n_page) * 2 * static_cast<size_t>(d_head_);
    std::vector<std::vector<float>> bounds(layers_.size() * static_cast<size_t>(n_kv_), std::vector<float>(width));
    for_units([&](size_t layer, size_t g) {
      for (int32_t i = 0; i < n_page; ++i) {
        Cpu::page_bounds(
            layers_[layer][g], i * kPage, kPage,
            &bounds[layer * static_cast<size_t>(n_kv_) + g][static_cast<size_t>(int64_t{i} * 2 * d_head_)]);
      }
    });
    const double floats = units() * static_cast<double>(width);
    timer_.add("scores of " + std::to_string(n_page) + " pages", 4 * floats, floats * group_, [&] {
      for_units([&](size_t layer, size_t g) {
        std::vector<float> out(static_cast<size_t>(n_page));
        Cpu::page_scores(q_.data() + g * static_cast<size_t>(group_ * d_head_), group_, d_head_,
                         bounds[layer * static_cast<size_t>(n_kv_) + g].data(), n_page, out.data());
      });
    });
  }

  /// One layer, whose keys and values are read at least once.
  void prompt() {
    const int32_t n = options_.n_prompt;
    const std::string what = "prompt of " + std::to_string(n) + " at " + std::to_string(depth_) + ": ";
    const double macs = 2.0 * n_kv_ * group_ * d_head_ * n * (depth_ + (n + 1) / 2.0);
    const double bytes = 2.0 * n_kv_ * (depth_ + n) * static_cast<double>(row_);
    for (const PromptProducts products : {PromptProducts::f32, PromptProducts::bf16}) {
      if (products == PromptProducts::bf16 && !Cpu::has_bf16_prompt()) continue;
      timer_.add(what + "attention of a layer, " + std::string(name_of(products)), bytes, macs, [&, products] {
        Cpu::attend_prompt(pool_, scratch_, q_.data(), n, depth_, group_, layers_[0], scale_, 0, products, out_.data());
      });
    }
    std::vector<float> sums(static_cast<size_t>(n_kv_ * group_) * static_cast<size_t>(depth_ + n));
    timer_.add(what + "rows of a layer, summed", bytes / 2, macs / 2, [&] {
      Cpu::sum_prompt_rows(pool_, scratch_, q_.data(), n, depth_, group_, layers_[0], scale_, sums.data(), depth_ + n);
    });
  }

  KernelTimer& timer_;
  ThreadPool& pool_;
  const KernelOptions& options_;
  int32_t depth_, budget_, n_kv_, group_, d_head_;
  int64_t row_;
  float scale_;
  BackendMemory memory_{BackendMemory::Kind::plain};  // its huge pages
  CacheShape cache_shape_;
  BlockPool blocks_;
  KvCache cache_;
  std::vector<std::vector<KvBlocks>> layers_;  ///< [n_layer][n_kv_head]
  Cpu::Scratch scratch_;
  std::vector<float> q_, out_;  ///< [n_prompt][n_head][d_head]
};

}  // namespace

void time_attention(KernelTimer& timer, ThreadPool& pool, const ModelShape& shape, const KernelOptions& options) {
  Attention(timer, pool, shape, options).time();
}

}  // namespace reattend
