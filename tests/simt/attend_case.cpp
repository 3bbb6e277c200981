// A case of decode attention: random caches in device layout, and the answer in double precision by plain loops.
#include "tests/simt/attend_case.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace reattend::simt {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> normal_floats(std::mt19937& random, int64_t n) {
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<size_t>(n));
  for (float& value : x) value = normal(random);
  return x;
}

/// One number of the result against the reference; empty if |got - expected| <= bound. NaN is never within it.
std::string check(const char* what, int32_t head, int32_t i, double got, double expected, double bound) {
  if (std::abs(got - expected) <= bound) return "";
  return std::string(what) + "[" + std::to_string(head) + "][" + std::to_string(i) + "] is " + std::to_string(got) +
         ", expected " + std::to_string(expected) + " within " + std::to_string(bound);
}

}  // namespace

AttendCase::AttendCase(const Shape& given, const Attend& attend, std::vector<std::vector<int32_t>> kept_sets,
                       int32_t selected_at, uint32_t seed)
    : shape(given), step{attend, given.p}, kept_positions(std::move(kept_sets)) {
  n_head = shape.n_kv_head * shape.group;
  n_block = n_piece(shape.p + 1);
  max_piece = n_block + 1;
  scale = 1 / std::sqrt(static_cast<float>(shape.d_head));
  for (const std::vector<int32_t>& set : kept_positions) {
    kept.push_back({set.data(), static_cast<int32_t>(set.size()), selected_at});
  }
  std::mt19937 random(seed);
  q = normal_floats(random, int64_t{n_head} * shape.d_head);
  const std::vector<Half> blank(static_cast<size_t>(kPiece * shape.d_head), to_half(kNan));
  keys.assign(static_cast<size_t>(shape.n_kv_head * n_block), blank);
  values = keys;
  for (int32_t h = 0; h < shape.n_kv_head; ++h) {
    for (const int32_t position : positions(h)) {
      for (auto* const cache : {&keys, &values}) {
        const std::vector<float> row = normal_floats(random, shape.d_head);
        Half* const to =
            (*cache)[static_cast<size_t>(h * n_block + position / kPiece)].data() + position % kPiece * shape.d_head;
        std::transform(row.begin(), row.end(), to, to_half);
      }
    }
  }
  for (const auto& block : keys) key_table_.push_back(block.data());
  for (const auto& block : values) value_table_.push_back(block.data());
  const auto n_state = static_cast<size_t>(n_head * max_piece), width = static_cast<size_t>(shape.d_head);
  piece_m.assign(n_state, kNan);
  piece_d.assign(n_state, kNan);
  piece_o.assign(n_state * width, kNan);
  out.assign(static_cast<size_t>(n_head) * width, kNan);
  scores.assign(static_cast<size_t>(n_head * (shape.p + 1)), kNan);
}

cuda::AttendArgs AttendCase::args() {
  return {.q = q.data(),
          .q_lead = q_lead.empty() ? nullptr : q_lead.data(),
          .keys = key_table_.data(),
          .values = value_table_.data(),
          .n_block = n_block,
          .step = &step,
          .kept = kept.empty() ? nullptr : kept.data(),
          .chosen = chosen.empty() ? nullptr : chosen.data(),
          .branch = branch,
          .scale = scale,
          .max_piece = max_piece,
          .piece_m = piece_m.data(),
          .piece_d = piece_d.data(),
          .piece_o = piece_o.data(),
          .out = out.data(),
          .scores = scores.data(),
          .score_stride = shape.p + 1};
}

std::vector<int32_t> AttendCase::positions(int32_t kv_head) const {
  const Attend& attend = step.attend;
  std::vector<int32_t> set;
  const auto add_run = [&](int32_t from, int32_t end) {
    for (int32_t i = from; i < end; ++i) set.push_back(i);
  };
  if (!attend.everything) {
    add_run(0, attend.lead);
    if (attend.kept) {
      const std::vector<int32_t>& ranked = kept_positions[static_cast<size_t>(kv_head)];
      const int32_t age = step.p - kept[static_cast<size_t>(kv_head)].selected_at;
      const int32_t room = std::max(0, attend.ages ? attend.keep - age + 1 : attend.keep);
      for (size_t i = 0; i < ranked.size() && i < static_cast<size_t>(room); ++i) set.push_back(ranked[i]);
    }
    const int32_t selected_at = attend.from_selected ? kept[static_cast<size_t>(kv_head)].selected_at : 0;
    add_run(std::max(attend.lead, selected_at + attend.tail), step.p + 1);
    if (set.size() <= static_cast<size_t>(step.p)) return set;
    set.clear();
  }
  add_run(0, step.p + 1);
  return set;
}

std::string AttendCase::difference() const {
  constexpr double rounding = 0x1p-24;
  const int32_t width = shape.d_head;
  for (int32_t head = 0; head < n_head; ++head) {
    const int32_t kv_head = head / shape.group;
    if (!chosen.empty() && chosen[static_cast<size_t>(kv_head)] != branch) continue;
    const std::vector<int32_t> set = positions(kv_head);
    const auto row = [&](const std::vector<std::vector<Half>>& cache, int32_t position) {
      return cache[static_cast<size_t>(kv_head * n_block + position / kPiece)].data() + position % kPiece * width;
    };
    std::vector<double> score, size;  // q k scale, and the same of absolute values: what rounding errors scale with
    for (size_t i = 0; i < set.size(); ++i) {
      const bool in_lead = !q_lead.empty() && static_cast<int32_t>(i) < step.attend.lead;
      const float* const query = (in_lead ? q_lead : q).data() + head * width;
      double sum = 0, absolute = 0;
      for (int32_t e = 0; e < width; ++e) {
        const double term = double{query[e]} * to_float(row(keys, set[i])[e]) * scale;
        sum += term, absolute += std::abs(term);
      }
      score.push_back(sum), size.push_back(absolute);
    }
    // A score is a chain of 8 products, then at most 4 sums over lanes, and the scaled query's own rounding.
    const double score_error = 14 * rounding * *std::max_element(size.begin(), size.end());
    const double m = *std::max_element(score.begin(), score.end());
    const double range = m - *std::min_element(score.begin(), score.end());
    // A weight errs by its score's error, by the rounding of s - m and by expf (2 ulp); a sum over a piece is a chain
    // of at most 64 rows, 5 lane and 4 warp sums; the merge adds 5 operations a piece.
    const double weight_error = score_error + (range + 2) * rounding;
    const double sum_error = (64 + 9 + 5 * n_piece(static_cast<int32_t>(set.size()))) * rounding;
    double d = 0, largest = 0;
    std::vector<double> o(static_cast<size_t>(width));
    for (size_t i = 0; i < set.size(); ++i) {
      const std::string wrong =
          check("scores", head, static_cast<int32_t>(i), double{scores[static_cast<size_t>(head * (shape.p + 1)) + i]},
                score[i], score_error);
      if (!wrong.empty()) return wrong;
      const double weight = std::exp(score[i] - m);
      d += weight;
      for (int32_t e = 0; e < width; ++e) {
        const double value = double{to_float(row(values, set[i])[e])};
        o[static_cast<size_t>(e)] += weight * value;
        largest = std::max(largest, std::abs(value));
      }
    }
    for (int32_t e = 0; e < width; ++e) {
      const std::string wrong = check("out", head, e, double{out[static_cast<size_t>(head * width + e)]},
                                      o[static_cast<size_t>(e)] / d, 2 * largest * (weight_error + sum_error));
      if (!wrong.empty()) return wrong;
    }
  }
  return "";
}

}  // namespace reattend::simt
