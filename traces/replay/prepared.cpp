// Scores every recorded query against its keys once, with the engine's own operations, so that ranks are the same bits.
#include "traces/replay/prepared.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <span>
#include <string>

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/attn_state.h"
#include "kernels/cpu/ops.h"
#include "traces/replay/sums.h"

namespace reattend {
namespace {

/// Rankings shorter than this are not worth another pass over the keys when a larger budget is asked for.
constexpr int32_t kLeastDepth = 1024;

[[noreturn]] void fail_shape(const TraceInfo& info, const std::string& what) {
  fail({.where = info.path.string(),
        .expected = what,
        .got = "other sizes",
        .remedy = "the file is damaged; `reattend trace check` says where"});
}

/// Whether no element is an infinity or no number: all bits of its exponent set. T is the element's unsigned bits.
template <class T>
bool finite_bits(std::span<const std::byte> bytes, T exponent) {
  bool finite = true;
  for (size_t i = 0; i + sizeof(T) <= bytes.size(); i += sizeof(T)) {
    T bits;
    std::memcpy(&bits, bytes.data() + i, sizeof bits);
    finite &= (bits & exponent) != exponent;
  }
  return finite;
}

bool is_finite(std::span<const std::byte> bytes, KvType type) {
  return type == KvType::f32 ? finite_bits<uint32_t>(bytes, 0x7f800000U) : finite_bits<uint16_t>(bytes, 0x7c00U);
}

}  // namespace

/// Working space of one thread.
struct PreparedLayer::Scratch {
  std::vector<float> rows;  ///< [group][stride]
  std::vector<float> reduced, pooled;
  std::vector<int32_t> best;
  std::vector<float> m, d;  ///< [n_piece][group]
  std::vector<float> o;     ///< [group][d_head] of a piece
  std::vector<float> total_m, total_d, total_o;
};

PreparedLayer::PreparedLayer(const TraceInfo& info, LayerData data)
    : data_(std::move(data)),
      n_prompt_(info.n_prompt),
      n_step_(info.n_step),
      scale_(static_cast<float>(1 / std::sqrt(static_cast<double>(info.d_head)))) {
  const int64_t n_position = data_.n_position, width = int64_t{data_.n_head} * data_.d_head;
  if (n_prompt_ < 1 || n_step_ < 0 || data_.n_head < 1 || data_.n_kv_head < 1 || data_.d_head < 1 ||
      data_.n_head % data_.n_kv_head != 0 || data_.n_head != info.n_head || data_.n_kv_head != info.n_kv_head ||
      data_.d_head != info.d_head || n_position < int64_t{n_prompt_} + n_step_ || data_.n_step < n_step_) {
    fail_shape(info, "a layer of the shape that the trace's attributes say");
  }
  const auto kv_bytes = static_cast<size_t>(n_position * data_.n_kv_head * row_bytes(data_.kv_type, data_.d_head));
  if (data_.keys.size() < kv_bytes || (!data_.values.empty() && data_.values.size() < kv_bytes) ||
      data_.queries.size() < static_cast<size_t>((int64_t{n_step_} + 1) * width)) {
    fail_shape(info, "keys, values and queries of every position and step");
  }
  if (!is_finite(data_.keys, data_.kv_type) || !is_finite(data_.values, data_.kv_type) ||
      !is_finite(std::as_bytes(std::span(data_.queries)), KvType::f32)) {
    fail({.where = info.path.string(),
          .expected = "finite queries, keys and values",
          .got = "infinities or no numbers",
          .remedy = "the trace holds a run that broke down, or is damaged"});
  }
  const int64_t block_bytes = kPiece * row_bytes(data_.kv_type, data_.d_head);
  for (int32_t g = 0; g < data_.n_kv_head; ++g) {
    const int64_t begin = g * n_position * row_bytes(data_.kv_type, data_.d_head);
    for (int32_t b = 0; b < n_piece(data_.n_position); ++b) {
      key_blocks_.push_back(data_.keys.data() + begin + b * block_bytes);
      value_blocks_.push_back(data_.values.empty() ? nullptr : data_.values.data() + begin + b * block_bytes);
    }
  }
  query_pre_.assign(data_.queries.begin(), data_.queries.begin() + (int64_t{n_step_} + 1) * width);
  for (int32_t t = 0; t <= n_step_; ++t) info.rope.rotate(query_pre_.data() + t * width, data_.n_head, -position(t));
  row_start_.resize(static_cast<size_t>(n_step_) + 2);
  for (int32_t t = 0; t <= n_step_; ++t) row_start_[t + 1] = row_start_[t] + static_cast<size_t>(n_row(t));
}

const float* PreparedLayer::query(int32_t t) const {
  return data_.queries.data() + int64_t{t} * data_.n_head * data_.d_head;
}
const float* PreparedLayer::query_pre(int32_t t) const {
  return query_pre_.data() + int64_t{t} * data_.n_head * data_.d_head;
}
const float* PreparedLayer::row(int32_t kv_head, int32_t t) const {
  return rows_.data() + static_cast<size_t>(kv_head) * row_start_.back() + row_start_[t];
}
void PreparedLayer::copy_row(int32_t kv_head, int32_t t, float* out) const {
  std::copy_n(row(kv_head, t), n_row(t), out);
}
const int32_t* PreparedLayer::ranks(int32_t kv_head, int32_t t) const {
  return ranks_.data() + unit(kv_head, t) * rank_depth_;
}
const float* PreparedLayer::output(int32_t t) const {
  return outputs_.data() + int64_t{t} * data_.n_head * data_.d_head;
}

KvBlocks PreparedLayer::blocks(int32_t kv_head) const {
  const int64_t first = int64_t{kv_head} * n_piece(data_.n_position);
  return {.keys = key_blocks_.data() + first,
          .values = value_blocks_.data() + first,
          .type = data_.kv_type,
          .d_head = data_.d_head};
}

std::vector<float> PreparedLayer::full_row(int32_t kv_head, int32_t t) const {
  const int32_t n = n_row(t);
  if (rows_ready_) return {row(kv_head, t), row(kv_head, t) + n};
  std::vector<float> scores(static_cast<size_t>(group()) * n), mean(static_cast<size_t>(n));
  cpu::score_run(query(t) + int64_t{kv_head} * group() * d_head(), group(), blocks(kv_head), n, scale_, scores.data(),
                 n);
  for (int32_t h = 0; h < group(); ++h) cpu::softmax(scores.data() + int64_t{h} * n, n);
  cpu::reduce_heads(scores.data(), group(), n, n, Reduce::mean, mean.data());
  return mean;
}

double PreparedLayer::best_mass(int32_t kv_head, int32_t t, int32_t n) const {
  if (n <= depth_) return best_mass_[unit(kv_head, t) * depth_ + n - 1];
  const float* all = row(kv_head, t);
  std::vector<float> copy(all, all + n_row(t));
  if (n < n_row(t)) std::nth_element(copy.begin(), copy.begin() + n, copy.end(), std::greater<>());
  return run_sum(copy.data(), 0, n);
}

int64_t PreparedLayer::bytes() const {
  return static_cast<int64_t>(data_.keys.size() + data_.values.size() +
                              4 * (data_.queries.size() + query_pre_.size() + rows_.size() + best_mass_.size() +
                                   ranks_.size() + outputs_.size()));
}

void PreparedLayer::prepare(const RankNeed& rank, int32_t depth, bool outputs, ThreadPool& pool, const Cancel& cancel) {
  Pass pass = {.masses = !rows_ready_ || depth > depth_,
               .ranks = rank.present && (rank != rank_ || depth > rank_depth_),
               .outputs = outputs && has_values() && !outputs_ready_};
  pass.scores = !rows_ready_ || pass.ranks || pass.outputs;
  if (!pass.scores && !pass.masses) return;
  const auto roomy = static_cast<int32_t>(std::bit_ceil(static_cast<uint32_t>(std::max(depth, kLeastDepth))));
  if (pass.masses) {
    depth_ = std::max(depth_, std::min(roomy, n_row(n_step_)));
    best_mass_.assign(unit(n_kv_head(), 0) * depth_, 0);
  }
  if (pass.ranks) {
    rank_ = {};  // whatever happens on the way, half a ranking is none
    wanted_ = rank;
    rank_depth_ = std::max(rank_depth_, std::min(roomy, n_row(n_step_)));
    ranks_.resize(unit(n_kv_head(), 0) * rank_depth_);
  }
  rows_.resize(static_cast<size_t>(n_kv_head()) * row_start_.back());
  if (pass.outputs) outputs_.resize((static_cast<size_t>(n_step_) + 1) * n_head() * d_head());
  std::vector<Scratch> scratch(static_cast<size_t>(pool.n_thread()));
  rows_ready_ = false;
  pool.run(int64_t{n_kv_head()} * (n_step_ + 1), [&](int64_t i, int thread) {
    cancel.check();
    const auto n = static_cast<int32_t>(i);
    prepare_step(n / (n_step_ + 1), n % (n_step_ + 1), pass, scratch[static_cast<size_t>(thread)]);
  });
  rows_ready_ = true;
  if (pass.ranks) rank_ = wanted_;
  outputs_ready_ = outputs_ready_ || pass.outputs;
}

/// Outputs of full attention, and the softmax rows on the way.
void PreparedLayer::attend_all(int32_t kv_head, int32_t t, Scratch& s) {
  const int32_t n = n_row(t), d = d_head();
  const int64_t stride = static_cast<int64_t>(s.rows.size()) / group();
  const float* q = query(t) + int64_t{kv_head} * group() * d;
  s.total_m.assign(group(), -std::numeric_limits<float>::infinity());
  s.total_d.assign(group(), 0);
  s.total_o.assign(static_cast<size_t>(group()) * d, 0);
  const size_t n_state = static_cast<size_t>(n_piece(n)) * static_cast<size_t>(group());
  s.m.resize(n_state), s.d.resize(n_state), s.o.resize(s.total_o.size());
  for (int32_t piece = 0; piece < n_piece(n); ++piece) {
    float *const m = s.m.data() + piece * group(), *const d_sum = s.d.data() + piece * group();
    cpu::attend_piece(q, group(), blocks(kv_head), everything_up_to(n), piece, scale_, m, d_sum, s.o.data(),
                      s.rows.data(), stride);
    for (int32_t h = 0; h < group(); ++h) {
      const std::span<float> into(s.total_o.data() + h * d, d);
      merge<float>(s.total_m[h], s.total_d[h], into, m[h], d_sum[h], std::span<const float>(s.o.data() + h * d, d));
    }
  }
  for (int32_t h = 0; h < group(); ++h) {
    cpu::finish_row(s.rows.data() + h * stride, n, s.m.data() + h, s.d.data() + h, group());
  }
  float* out = outputs_.data() + (int64_t{t} * n_head() + int64_t{kv_head} * group()) * d;
  for (int32_t i = 0; i < group() * d; ++i) out[i] = s.total_o[i] / s.total_d[i / d];
}

void PreparedLayer::prepare_step(int32_t kv_head, int32_t t, const Pass& pass, Scratch& s) {
  if (pass.scores) score_step(kv_head, t, pass, s);
  if (!pass.masses) return;
  const int32_t n = n_row(t), k = std::min(depth_, n);
  const float* mean = rows_.data() + static_cast<size_t>(kv_head) * row_start_.back() + row_start_[t];
  // The kernel's selection: 25 us for 1,024 of 5,600, where nth_element and sort took 80.
  s.best.resize(static_cast<size_t>(k));
  cpu::top_k(mean, n, k, s.best.data());
  float* best = best_mass_.data() + unit(kv_head, t) * depth_;
  double sum = 0;
  for (int32_t i = 0; i < k; ++i) best[i] = static_cast<float>(sum += mean[s.best[i]]);
}

void PreparedLayer::score_step(int32_t kv_head, int32_t t, const Pass& pass, Scratch& s) {
  const int32_t n = n_row(t);
  const int64_t stride = (int64_t{n} + 63) / 64 * 64;
  s.rows.resize(static_cast<size_t>(group() * stride));
  if (pass.outputs) {
    attend_all(kv_head, t, s);
  } else {
    const float* q = query(t) + int64_t{kv_head} * group() * d_head();
    cpu::score_run(q, group(), blocks(kv_head), n, scale_, s.rows.data(), stride);
    for (int32_t h = 0; h < group(); ++h) cpu::softmax(s.rows.data() + h * stride, n);
  }
  float* mean = rows_.data() + static_cast<size_t>(kv_head) * row_start_.back() + row_start_[t];
  cpu::reduce_heads(s.rows.data(), group(), stride, n, Reduce::mean, mean);
  if (const double mass = run_sum(mean, 0, n); !(mass > 0.5 && mass < 2)) {
    fail({.where = fmt::format("step {}, KV head {}", t, kv_head),
          .expected = "finite queries and keys",
          .got = fmt::format("an attention row of mass {}", mass),
          .remedy = "the trace holds a run that broke down, or is damaged"});
  }
  if (!pass.ranks) return;
  s.reduced.resize(n), s.pooled.resize(n);
  cpu::reduce_heads(s.rows.data(), group(), stride, n, wanted_.reduce, s.reduced.data());
  cpu::max_pool(s.reduced.data(), n, wanted_.pool, s.pooled.data());
  cpu::top_k(s.pooled.data(), n, std::min(rank_depth_, n), ranks_.data() + unit(kv_head, t) * rank_depth_);
}

}  // namespace reattend
