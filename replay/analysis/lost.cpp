// A KV head's steps in order, for what is away must be known to have been there; heads beside each other.
#include "replay/analysis/lost.h"

#include <algorithm>
#include <map>

namespace reattend {
namespace {

using Tokens = std::map<std::pair<int32_t, TokenClass>, LostToken>;

void join(Tokens& into, const LostToken& token) {
  const auto [at, fresh] = into.try_emplace({token.position, token.kind}, token);
  if (!fresh) at->second.add(token);
}

struct HeadLost {
  std::array<double, 3> mass{}, wanted{};
  std::array<int64_t, 3> n_event{};
  std::vector<std::array<double, 3>> step;
  Tokens tokens;
};

HeadLost lost_by_head(const PreparedLayer& prepared, const LayerReplay& replay, int32_t g, const LostRequest& request,
                      const Cancel& cancel) {
  const int32_t n_step = prepared.n_step();
  HeadLost out;
  out.step.resize(static_cast<size_t>(n_step));
  std::vector<float> row(static_cast<size_t>(prepared.n_row(n_step)));
  std::vector<int32_t> last(row.size(), 0);  // step of the last attention; the prompt's last row attends to everything
  for (int32_t t = 1; t <= n_step; ++t) {
    cancel.check();
    const int32_t p = prepared.position(t);
    prepared.copy_row(g, t, row.data());
    for (const int32_t position : replay.sets[static_cast<size_t>(t - 1) * prepared.n_kv_head() + g]) {
      row[static_cast<size_t>(position)] = 0;
      last[static_cast<size_t>(position)] = t;
    }
    for (int32_t j = 0; j <= p; ++j) {
      const float weight = row[static_cast<size_t>(j)];
      if (weight == 0) continue;
      const TokenClass kind = class_of(j, p, request);
      const auto k = static_cast<size_t>(kind);
      out.mass[k] += weight, out.step[static_cast<size_t>(t) - 1][k] += weight;
      if (!(weight > request.above)) continue;
      out.wanted[k] += weight, ++out.n_event[k];
      LostToken& token = out.tokens[{j, kind}];
      if (token.steps.empty()) {
        token.position = j, token.kind = kind, token.layer = replay.layer, token.kv_head = g;
        token.steps.resize(static_cast<size_t>(n_step) + 1);
      }
      ++token.n_event, token.mass += weight, token.away += t - last[static_cast<size_t>(j)];
      if (weight > token.largest) token.largest = weight, token.step = t;
      token.steps[static_cast<size_t>(t)] = true;
    }
  }
  return out;
}

}  // namespace

TokenClass class_of(int32_t position, int32_t p, const LostRequest& request) {
  if (position < request.sinks) return TokenClass::sink;
  return p - position < request.recent ? TokenClass::recent : TokenClass::needle;
}

void LostToken::add(const LostToken& other) {
  n_event += other.n_event, mass += other.mass, away += other.away;
  if (other.largest > largest) {
    largest = other.largest, step = other.step, layer = other.layer, kv_head = other.kv_head;
  }
  for (size_t i = 0; i < steps.size(); ++i) steps[i] = steps[i] || other.steps[i];
}

int64_t LostToken::n_step() const {
  return std::count(steps.begin(), steps.end(), true);
}

LayerLost lost_tokens(const PreparedLayer& prepared, const LayerReplay& replay, const LostRequest& request,
                      ThreadPool& threads, const Cancel& cancel) {
  const int32_t n_kv = prepared.n_kv_head();
  std::vector<HeadLost> heads(static_cast<size_t>(n_kv));
  threads.run(n_kv, [&](int64_t g, int) {
    heads[static_cast<size_t>(g)] = lost_by_head(prepared, replay, static_cast<int32_t>(g), request, cancel);
  });
  LayerLost out{.layer = replay.layer, .n_step = prepared.n_step(), .n_row = int64_t{prepared.n_step()} * n_kv};
  out.step.resize(static_cast<size_t>(out.n_step));
  Tokens tokens;
  for (const HeadLost& head : heads) {
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
