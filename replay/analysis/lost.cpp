// Finds lost positions: a KV head's steps in order, for what is away must have been there; heads beside each other.
#include "replay/analysis/lost.h"

#include <algorithm>
#include <iterator>
#include <map>

namespace reattend {
namespace {

using Tokens = std::map<std::pair<int32_t, TokenClass>, LostToken>;

void join(Tokens& into, const LostToken& token) {
  const auto [at, fresh] = into.try_emplace({token.position, token.kind}, token);
  if (!fresh) at->second.add(token);
}

}  // namespace

struct LostTokens::Head {
  std::vector<float> row;     ///< [L + T] working space
  std::vector<int32_t> last;  ///< [L + T] step of the last attention; the prompt's last row attends to everything
  std::array<double, 3> mass{}, wanted{};
  std::array<int64_t, 3> n_event{};
  std::vector<std::array<double, 3>> step;  ///< [T]
  Tokens tokens;

  /// Step t of the KV head, which attended to `set`.
  void add(const PreparedLayer& prepared, int32_t layer, int32_t g, int32_t t, const PositionRuns& set,
           const LostRequest& request) {
    const int32_t p = prepared.position(t);
    prepared.copy_row(g, t, row.data());
    for (const PositionRuns::Run& run : set.runs()) {
      std::fill(row.begin() + run.begin, row.begin() + run.end, 0.0F);
      std::fill(last.begin() + run.begin, last.begin() + run.end, t);
    }
    for (int32_t j = 0; j <= p; ++j) {
      const float weight = row[static_cast<size_t>(j)];
      if (weight == 0) continue;
      const TokenClass kind = class_of(j, p, request);
      const auto k = static_cast<size_t>(kind);
      mass[k] += weight, step[static_cast<size_t>(t) - 1][k] += weight;
      if (!(weight > request.above)) continue;
      wanted[k] += weight, ++n_event[k];
      LostToken& token = tokens[{j, kind}];
      token.position = j, token.kind = kind, token.layer = layer, token.kv_head = g;
      ++token.n_event, token.mass += weight, token.away += t - last[static_cast<size_t>(j)];
      if (weight > token.largest) token.largest = weight, token.step = t;
      token.steps.push_back(t);
    }
  }
};

TokenClass class_of(int32_t position, int32_t p, const LostRequest& request) {
  if (position < request.sinks) return TokenClass::sink;
  return p - position < request.recent ? TokenClass::recent : TokenClass::needle;
}

void LostToken::add(const LostToken& other) {
  n_event += other.n_event, mass += other.mass, away += other.away;
  if (other.largest > largest) {
    largest = other.largest, step = other.step, layer = other.layer, kv_head = other.kv_head;
  }
  std::vector<int32_t> both;
  std::set_union(steps.begin(), steps.end(), other.steps.begin(), other.steps.end(), std::back_inserter(both));
  steps = std::move(both);
}

LostTokens::LostTokens(const TraceInfo& info, int32_t layer, const LostRequest& request)
    : request_(request), layer_(layer), n_step_(info.n_step), heads_(static_cast<size_t>(info.n_kv_head)) {
  const auto n = static_cast<size_t>(info.n_prompt) + static_cast<size_t>(info.n_step);
  for (Head& head : heads_) head.row.resize(n), head.last.resize(n, 0), head.step.resize(static_cast<size_t>(n_step_));
}
LostTokens::~LostTokens() = default;

void LostTokens::add(const PreparedLayer& prepared, Steps steps, const LayerReplay& replay, ThreadPool& threads,
                     const Cancel& cancel) {
  threads.run(static_cast<int64_t>(heads_.size()), [&](int64_t i, int) {
    const auto g = static_cast<int32_t>(i);
    for (int32_t t = steps.first; t <= steps.last; ++t) {
      cancel.check();
      heads_[static_cast<size_t>(g)].add(prepared, layer_, g, t,
                                         replay.sets[static_cast<size_t>(t - 1) * heads_.size() + g], request_);
    }
  });
}

LayerLost LostTokens::take() {
  LayerLost out{.layer = layer_, .n_step = n_step_, .n_row = int64_t{n_step_} * static_cast<int64_t>(heads_.size())};
  out.step.resize(static_cast<size_t>(out.n_step));
  Tokens tokens;
  for (const Head& head : heads_) {
    for (size_t k = 0; k < kTokenClasses.size(); ++k) {
      out.mass[k] += head.mass[k], out.wanted[k] += head.wanted[k], out.n_event[k] += head.n_event[k];
      for (size_t i = 0; i < out.step.size(); ++i) out.step[i][k] += head.step[i][k];
    }
    for (const auto& [key, token] : head.tokens) join(tokens, token);
  }
  for (auto& [key, token] : tokens) out.tokens.push_back(std::move(token));
  return out;
}

std::vector<LostToken> most_lost(std::span<const LayerLost> layers, size_t n) {
  Tokens tokens;
  for (const LayerLost& layer : layers) {
    for (const LostToken& token : layer.tokens) join(tokens, token);
  }
  std::vector<LostToken> out;
  for (auto& [key, token] : tokens) out.push_back(std::move(token));
  std::stable_sort(out.begin(), out.end(), [](const LostToken& a, const LostToken& b) { return a.mass > b.mass; });
  if (out.size() > n) out.resize(n);
  return out;
}

}  // namespace reattend
