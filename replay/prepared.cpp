// Scores every recorded query against its keys once, with the engine's own operations, so that ranks are the same bits.
#include "replay/prepared.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <span>
#include <string>

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/attn_state.h"
#include "kernels/choose.h"
#include "kernels/cpu/ops.h"
#include "kernels/measures/row_sums.h"
#include "traces/schema.h"

namespace reattend {
namespace {

[[noreturn]] void fail_shape(const TraceInfo& info, const std::string& expected, const std::string& got) {
  fail({.where = info.path.string(),
        .expected = expected,
        .got = got,
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
  std::vector<float> mean, reduced, pooled;
  std::vector<int32_t> best;
  std::vector<float> m, d;  ///< [n_piece][group]
  std::vector<float> o;     ///< [group][d_head] of a piece
  std::vector<float> total_m, total_d, total_o;
};

PreparedLayer::PreparedLayer(const TraceInfo& info, LayerData data)
    : data_(std::move(data)),
      n_prompt_(info.n_prompt),
      n_step_(info.n_step),
      scale_(info.score_scale().as<float>()),
      cache_type_(info.kv_type) {
  const int64_t n_position = data_.n_position, width = int64_t{data_.n_head} * data_.d_head;
  if (n_prompt_ < 1 || n_step_ < 0 || data_.n_head < 1 || data_.n_kv_head < 1 || data_.d_head < 1 ||
      data_.n_head % data_.n_kv_head != 0 || data_.n_head != info.n_head || data_.n_kv_head != info.n_kv_head ||
      data_.d_head != info.d_head || n_position < int64_t{n_prompt_} + n_step_ || data_.n_step < n_step_) {
    fail_shape(info,
               fmt::format("a layer of {} query heads over {} KV heads of {} channels, {} steps after a prompt of {}",
                           info.n_head, info.n_kv_head, info.d_head, n_step_, n_prompt_),
               fmt::format("{} over {} of {}, {} steps in {} positions", data_.n_head, data_.n_kv_head, data_.d_head,
                           data_.n_step, n_position));
  }
  const auto kv_bytes = static_cast<size_t>(n_position * data_.n_kv_head * row_bytes(data_.kv_type, data_.d_head));
  const auto n_query = static_cast<size_t>((int64_t{n_step_} + 1) * width);
  if (data_.keys.size() < kv_bytes || (!data_.values.empty() && data_.values.size() < kv_bytes) ||
      data_.queries.size() < n_query) {
    fail_shape(info, fmt::format("{} bytes of keys and, if any, of values, {} numbers of queries", kv_bytes, n_query),
               fmt::format("{}, {}, {}", data_.keys.size(), data_.values.size(), data_.queries.size()));
  }
  if (!is_finite(data_.keys, data_.kv_type) || !is_finite(data_.values, data_.kv_type) ||
      !is_finite(std::as_bytes(std::span(data_.queries)), KvType::f32)) {
    fail({.where = info.path.string(),
          .expected = "finite queries, keys and values",
          .got = "NaN or Inf",
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
  compared_.resize(static_cast<size_t>(all_unit(n_kv_head(), 0)));
  steps_ = all_steps();
}

const float* PreparedLayer::query(int32_t t) const {
  return data_.queries.data() + int64_t{t} * data_.n_head * data_.d_head;
}
const float* PreparedLayer::query_pre(int32_t t) const {
  return query_pre_.data() + int64_t{t} * data_.n_head * data_.d_head;
}
std::vector<int32_t> PreparedLayer::ranks(int32_t kv_head, int32_t t) const {
  std::vector<int32_t> positions(static_cast<size_t>(std::min(ranking.lists.depth(), n_row(t))));
  ranking.lists.copy(unit(kv_head, t), static_cast<int32_t>(positions.size()), positions.data());
  return positions;
}
const float* PreparedLayer::output(int32_t t) const {
  return outputs_.data() + int64_t{t - steps_.first} * data_.n_head * data_.d_head;
}

KvBlocks PreparedLayer::blocks(int32_t kv_head) const {
  const int64_t first = int64_t{kv_head} * n_piece(data_.n_position);
  return {.keys = key_blocks_.data() + first,
          .values = value_blocks_.data() + first,
          .type = data_.kv_type,
          .d_head = data_.d_head};
}

void PreparedLayer::copy_row(int32_t kv_head, int32_t t, float* out) const {
  const int32_t n = n_row(t);
  const auto copy = [&](const MassRow& row) {
    for (int32_t i = 0; i < n; ++i) out[i] = static_cast<float>(mass_of(row[i]));
  };
  if (rows_ready_ && steps_.holds(t)) return copy(mass_row(kv_head, t));
  const int64_t stride = (int64_t{n} + 63) / 64 * 64;
  std::vector<float> rows(static_cast<size_t>(group() * stride)), mean(static_cast<size_t>(n));
  Cpu::score_run(query(t) + int64_t{kv_head} * group() * d_head(), group(), blocks(kv_head), n, scale_, rows.data(),
                 stride);
  for (int32_t h = 0; h < group(); ++h) Cpu::softmax(rows.data() + h * stride, n);
  Cpu::reduce_heads(rows.data(), group(), stride, n, Reduce::mean, mean.data());
  // Rounded as rows are that are kept, so that nobody can tell how the row was come by.
  MassRows one;
  one.resize(1, 1, n);
  one.set(0, 0, mean.data());
  copy(one.row(0, 0));
}

MassUnits PreparedLayer::best_mass(int32_t kv_head, int32_t t, int32_t n) const {
  if (masses_ready_ && n <= best_.depth()) return best_.sum(unit(kv_head, t), n);
  const MassRow row = mass_row(kv_head, t);
  std::vector<MassUnits> all(static_cast<size_t>(n_row(t)));  // a row deeper than the masses that are known
  for (int32_t i = 0; i < n_row(t); ++i) all[static_cast<size_t>(i)] = row[i];
  std::nth_element(all.begin(), all.begin() + n - 1, all.end(), std::greater<>());
  return std::accumulate(all.begin(), all.begin() + n, MassUnits{0});
}

float PreparedLayer::compare(const Comparison& how, int32_t kv_head, int32_t t, int32_t reference) {
  if (!how.present || reference < 0) return std::numeric_limits<float>::quiet_NaN();
  const bool post = how.stage == QueryStage::post_rope;
  Compared& known = compared_[static_cast<size_t>(all_unit(kv_head, t))];
  const int32_t kind = 1 + (static_cast<int32_t>(how.how) * 2 + (post ? 1 : 0)) * 2 + (how.per_kv_head ? 1 : 0);
  if (known.how == kind && known.reference == reference) return known.cosine;
  const int64_t first = how.per_kv_head ? int64_t{kv_head} * group() * d_head() : 0;
  const float* now = (post ? query(t) : query_pre(t)) + first;
  const float* then = (post ? query(reference) : query_pre(reference)) + first;
  const float cosine = Cpu::similarity(now, then, how.per_kv_head ? group() : n_head(), d_head(), how.how);
  known = {.reference = reference, .how = kind, .cosine = cosine};
  return cosine;
}

PreparedLayer::Pass PreparedLayer::missing(const Need& need) const {
  Pass pass = {.rows = !rows_ready_,
               .masses = need.mass_depth > 0 && (!masses_ready_ || need.mass_depth > best_.depth()),
               .ranks = need.rank.present && (need.rank != rank_ || need.rank_depth > ranking.lists.depth()),
               .outputs = need.outputs && has_values() && !outputs_ready_};
  pass.scores = pass.rows || pass.masses || pass.ranks || pass.outputs;
  return pass;
}

bool PreparedLayer::has(const Need& need) const {
  return steps_ == all_steps() && !missing(need).scores;
}

void PreparedLayer::prepare(const Need& need, ThreadPool& pool, const Cancel& cancel) {
  if (steps_ != all_steps()) {
    keep_open({});
    forget_steps();
    steps_ = all_steps();
  }
  const Pass pass = missing(need);
  if (pass.scores) make(need, pass, true, pool, cancel);
  if (need.kept_depth == 0) return;
  Ranking& kept = need.from_prompt ? prompt_ranking : ranking;
  const int32_t room = std::min(roomy_kept(need.kept_depth), kept.lists.depth());
  if (kept.masses.depth() < std::min(need.kept_depth, room) || kept.masses.has_overlaps() != need.has_overlaps) {
    kept.masses.resize(n_unit(), room, need.has_overlaps);
  }
}

void PreparedLayer::prepare_part(const Need& need, Steps steps, std::span<const int32_t> open,  // [n_kv_head]
                                 ThreadPool& pool, const Cancel& cancel) {
  keep_open(open);
  forget_steps();
  steps_ = steps;
  make(need, missing(need), false, pool, cancel);
  Ranking& kept = need.from_prompt ? prompt_ranking : ranking;
  if (need.kept_depth > 0)
    kept.masses.resize(n_unit(), std::min(need.kept_depth, kept.lists.depth()), need.has_overlaps);
}

/// The rankings of these steps, [n_kv_head], each prepared now or open already.
void PreparedLayer::keep_open(std::span<const int32_t> open) {
  const bool any = std::any_of(open.begin(), open.end(), [](int32_t t) { return t >= 0; });
  if (!any) return open_.resize(0, 0, n_row(n_step_));
  const int32_t depth = ranking.lists.depth();
  if (open_.depth() != depth) open_.resize(n_kv_head(), depth, n_row(n_step_));
  std::vector<int32_t> list;
  for (int32_t g = 0; g < n_kv_head(); ++g) {
    const int32_t t = open[static_cast<size_t>(g)];
    if (!steps_.holds(t)) continue;
    list.resize(static_cast<size_t>(std::min(depth, n_row(t))));
    ranking.lists.copy(unit(g, t), static_cast<int32_t>(list.size()), list.data());
    open_.set(g, list.data(), static_cast<int32_t>(list.size()));
  }
}

void PreparedLayer::forget_steps() {
  rows_ready_ = masses_ready_ = outputs_ready_ = false;
  rank_ = {};
  rows_.resize(0, 1, n_prompt_), best_.resize(0, 0);
  ranking.lists.resize(0, 0, n_row(n_step_)), ranking.masses.resize(0, 0, false);
  prompt_ranking.masses.resize(0, 0, false);
  outputs_.resize(0), current_.resize(0);
}

void PreparedLayer::forget() {
  forget_steps();
  keep_open({});
  prompt_choice_ = {};
  prompt_ranking.lists.resize(0, 0, n_row(n_step_));
  steps_ = all_steps();
}

/// `roomy`: depths are raised to ones that serve most requests.
void PreparedLayer::make(const Need& need, const Pass& pass, bool roomy, ThreadPool& pool, const Cancel& cancel) {
  const auto depth = [&](int32_t wanted) { return roomy ? this->roomy(wanted) : wanted; };
  // Whatever happens on the way, half of anything is nothing.
  if (pass.rows) rows_.resize(n_kv_head(), steps_.size(), n_row(steps_.first));
  if (pass.masses) {
    masses_ready_ = false;
    best_.resize(n_unit(), std::max(best_.depth(), depth(need.mass_depth)));
  }
  if (pass.ranks) {
    rank_ = {};
    wanted_ = need.rank;
    ranking.lists.resize(n_unit(), std::max(ranking.lists.depth(), depth(need.rank_depth)), n_row(n_step_));
    ranking.masses.resize(n_unit(), 0, false);
    current_.resize(static_cast<size_t>(n_unit()));
  }
  if (pass.outputs) outputs_.resize(static_cast<size_t>(output_count(steps_)));
  std::vector<Scratch> scratch(static_cast<size_t>(pool.n_thread()));
  pool.run(n_unit(), [&](int64_t i, int thread) {
    cancel.check();
    const auto n = static_cast<int32_t>(i);
    prepare_step(n / steps_.size(), steps_.first + n % steps_.size(), pass, scratch[static_cast<size_t>(thread)]);
  });
  rows_ready_ = true;
  masses_ready_ = masses_ready_ || pass.masses;
  if (pass.ranks) rank_ = wanted_;
  outputs_ready_ = outputs_ready_ || pass.outputs;
}

std::vector<float> PreparedLayer::window_rows(const std::vector<float>& queries, int32_t window,
                                              ThreadPool& pool) const {
  std::vector<float> sums(static_cast<size_t>(n_head() * window_stride()));
  std::vector<KvBlocks> kv;
  for (int32_t g = 0; g < n_kv_head(); ++g) kv.push_back(blocks(g));
  const int64_t n_query = int64_t{window} * n_head() * d_head();
  Cpu::Scratch scratch;
  Cpu::sum_prompt_rows(pool, scratch, queries.data() + (static_cast<int64_t>(queries.size()) - n_query), window,
                       n_row(0) - window, group(), kv, scale_, sums.data(), window_stride());
  return sums;
}

bool PreparedLayer::has_prompt(const Select& by) const {
  const Select& made = prompt_choice_;
  return made.chooses() && by.window == made.window && by.reduce == made.reduce && by.pool == made.pool &&
         by.end == made.end;
}

void PreparedLayer::prepare_prompt(const Select& by, const std::vector<float>& queries, ThreadPool& pool) {
  prompt_choice_ = {};
  const std::vector<float> rows = window_rows(queries, by.window, pool);
  const int32_t n = n_row(0);
  prompt_ranking.lists.resize(n_kv_head(), by.end, n_row(n_step_));
  prompt_ranking.masses.resize(n_unit(), 0, false);
  std::vector<float> score(static_cast<size_t>(n)), scratch(static_cast<size_t>(n));
  std::vector<int32_t> best(static_cast<size_t>(by.end));
  for (int32_t g = 0; g < n_kv_head(); ++g) {
    score_rows<Cpu>(by, rows.data() + g * group() * window_stride(), group(), window_stride(), n, score.data(),
                    scratch.data());
    Cpu::top_k(score.data(), by.end, by.end, best.data());
    prompt_ranking.lists.set(g, best.data(), by.end);
  }
  prompt_choice_ = by;
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
    Cpu::attend_piece(q, group(), blocks(kv_head), everything_up_to(n), piece, scale_, m, d_sum, s.o.data(),
                      s.rows.data(), stride);
    for (int32_t h = 0; h < group(); ++h) {
      const std::span<float> into(s.total_o.data() + h * d, d);
      merge<float>(s.total_m[h], s.total_d[h], into, m[h], d_sum[h], std::span<const float>(s.o.data() + h * d, d));
    }
  }
  for (int32_t h = 0; h < group(); ++h) {
    Cpu::finish_row(s.rows.data() + h * stride, n, s.m.data() + h, s.d.data() + h, group());
  }
  float* out = outputs_.own() + (int64_t{t - steps_.first} * n_head() + int64_t{kv_head} * group()) * d;
  for (int32_t i = 0; i < group() * d; ++i) out[i] = s.total_o[i] / s.total_d[i / d];
}

void PreparedLayer::prepare_step(int32_t kv_head, int32_t t, const Pass& pass, Scratch& s) {
  score_step(kv_head, t, pass, s);
  const int32_t n = n_row(t);
  if (pass.rows) rows_.set(kv_head, t - steps_.first, s.mean.data());
  if (pass.masses) {
    const int32_t k = std::min(best_.depth(), n);
    s.best.resize(static_cast<size_t>(k));
    Cpu::top_k(s.mean.data(), n, k, s.best.data());
    best_.set(unit(kv_head, t), mass_row(kv_head, t), s.best.data(), k);
  }
  if (pass.ranks) {
    const int32_t k = std::min(ranking.lists.depth(), n);
    s.reduced.resize(n), s.pooled.resize(n), s.best.resize(static_cast<size_t>(k));
    const int64_t stride = static_cast<int64_t>(s.rows.size()) / group();
    Cpu::reduce_heads(s.rows.data(), group(), stride, n, wanted_.reduce, s.reduced.data());
    Cpu::max_pool(s.reduced.data(), n, wanted_.pool, s.pooled.data());
    Cpu::top_k(s.pooled.data(), n, k, s.best.data());
    ranking.lists.set(unit(kv_head, t), s.best.data(), k);
    const auto current = std::find(s.best.begin(), s.best.end(), position(t));
    current_.own()[static_cast<size_t>(unit(kv_head, t))] =
        current == s.best.end() ? n_row(n_step_) : static_cast<int32_t>(current - s.best.begin());
  }
}

/// The group's rows and their mean.
void PreparedLayer::score_step(int32_t kv_head, int32_t t, const Pass& pass, Scratch& s) {
  const int32_t n = n_row(t);
  const int64_t stride = (int64_t{n} + 63) / 64 * 64;
  s.rows.resize(static_cast<size_t>(group() * stride)), s.mean.resize(n);
  if (pass.outputs) {
    attend_all(kv_head, t, s);
  } else {
    const float* q = query(t) + int64_t{kv_head} * group() * d_head();
    Cpu::score_run(q, group(), blocks(kv_head), n, scale_, s.rows.data(), stride);
    for (int32_t h = 0; h < group(); ++h) Cpu::softmax(s.rows.data() + h * stride, n);
  }
  Cpu::reduce_heads(s.rows.data(), group(), stride, n, Reduce::mean, s.mean.data());
  const double mass = run_sum(s.mean.data(), 0, n);
  if (!(mass > 0.5 && mass < 2)) {
    fail({.where = fmt::format("step {}, KV head {}", t, kv_head),
          .expected = "finite queries and keys",
          .got = fmt::format("an attention row of mass {}", mass),
          .remedy = "the trace holds a run that broke down, or is damaged"});
  }
}

}  // namespace reattend
