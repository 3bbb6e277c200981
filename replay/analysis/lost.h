// Positions that a policy no longer read and that attention wanted: which, what kind, how much and how often.
#pragma once
#include <array>
#include <span>
#include <string_view>
#include <vector>

#include "replay/replay.h"

namespace reattend {

/// Where a position stands from a step's point of view.
enum class TokenClass : uint8_t { sink, recent, needle };
inline constexpr std::array<std::string_view, 3> kTokenClasses = {"sink", "recent", "needle"};

struct LostRequest {
  double above = 0.01;  ///< share of a row from which on a position counts as wanted
  int32_t sinks = 4;    ///< the first positions
  int32_t recent = 64;  ///< the last ones, the current one included
};
/// Sinks come first: a position among the first is one however recent it is.
TokenClass class_of(int32_t position, int32_t p, const LostRequest& request);

/// All that happened to one position in one class. An event: a step, layer and KV head whose row gave it more than
/// `above` while the policy did not attend to it.
struct LostToken {
  int32_t position = 0;
  TokenClass kind = TokenClass::sink;
  int64_t n_event = 0;
  double mass = 0;    ///< of all events, rows have 1
  double away = 0;    ///< summed over events: steps since that KV head last attended to it
  float largest = 0;  ///< the largest weight, and where it was
  int32_t step = 0, layer = 0, kv_head = 0;
  std::vector<int32_t> steps;  ///< at which there was an event, ascending

  void add(const LostToken& other);
  int64_t n_step() const { return static_cast<int64_t>(steps.size()); }
};

struct LayerLost {
  int32_t layer = 0, n_step = 0;
  int64_t n_row = 0;                        ///< T n_kv_head
  std::array<double, 3> mass{};             ///< [classes] everything lost, however little at a time, summed over rows
  std::array<double, 3> wanted{};           ///< of that, what events lost
  std::array<int64_t, 3> n_event{};         ///< [classes]
  std::vector<std::array<double, 3>> step;  ///< [T][classes] lost at step t (at t - 1), summed over KV heads
  std::vector<LostToken> tokens;            ///< by position and class
};

/// A layer, some of its steps after the others: sets of all steps need not be there at once.
class LostTokens {
 public:
  LostTokens(const TraceInfo& info, int32_t layer, const LostRequest& request);
  ~LostTokens();
  /// `replay` is of this layer and has the sets of these steps, which follow those added so far.
  void add(const PreparedLayer& prepared, Steps steps, const LayerReplay& replay, ThreadPool& threads,
           const Cancel& cancel);
  LayerLost take();

 private:
  struct Head;
  const LostRequest request_;
  const int32_t layer_, n_step_;
  std::vector<Head> heads_;  ///< [n_kv_head]
};

/// Tokens of some layers together, most mass first, at most n of them.
std::vector<LostToken> most_lost(std::span<const LayerLost> layers, size_t n);

}  // namespace reattend
