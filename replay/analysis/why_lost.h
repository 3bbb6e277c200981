// Why a step did not attend to positions that its row gives weight: which they are, and what the policy's own plan and
// choice say of each.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "replay/analysis/lost.h"

namespace reattend {

/// A row of a recorded run.
struct RowPlace {
  int32_t layer = 0, kv_head = 0, step = 1;
  bool operator==(const RowPlace&) const = default;
};

/// The classes of `lost`, with those told apart that are neither first nor recent.
enum class LostKind : uint8_t {
  sink,
  recent,
  needle,  ///< it was away for kLongAway steps at least, and is wanted again
  repeat,  ///< the same token stands at an earlier position
  other,
};
inline constexpr std::array<std::string_view, 5> kLostKinds = {"sink", "recent", "needle", "repeat", "other"};
inline constexpr int32_t kLongAway = 16;

enum class LossCause : uint8_t {
  unknown,  ///< the plan does not say
  outside,  ///< the policy attends to first and last positions alone, and this is neither
  ranked,   ///< others ranked higher in the choice
  aged,     ///< it was chosen, and has made room for newer positions since
  weak,     ///< it is estimated to weigh less than min_weight
  evicted,  ///< it left the kept set, and nothing that left returns
};

struct LostPosition {
  int32_t position = 0;
  float weight = 0;
  LostKind kind = LostKind::other;
  int32_t last = 0;      ///< step that attended to it last; 0: the prompt's end, which attended to everything
  int32_t earlier = -1;  ///< the nearest earlier position of the same token; -1: none
  LossCause cause = LossCause::unknown;
  int32_t rank = -1;      ///< in the choice, 0 the best (of its page, where pages are chosen); -1: it did not compete
  int32_t rank_now = -1;  ///< in the step's own row: LostRow::ranks_now_by_score says by what
};

/// What a row loses under a policy.
struct LostRow {
  RowPlace at;
  double mass = 0;         ///< of the row, lost
  int32_t n_position = 0;  ///< not attended to
  int32_t n_half = 0;      ///< of these the heaviest, which hold half of the mass
  Select what;             ///< the choice that it attends with; chooses nothing where the policy has no kept set
  Attend attend;           ///< the policy's words for the set
  int32_t choice_step = -1, n_candidate = 0;
  int32_t attended = 0;                 ///< positions of the kept set that the step attends to
  int32_t tail = 0;                     ///< it attends to all before attend.lead and from here on as well
  bool ranks_now_by_score = false;      ///< as the choice ranks; otherwise by weight
  std::vector<LostPosition> positions;  ///< the heaviest first
  int32_t age() const { return at.step - choice_step; }
};

/// Throws Cancelled, or Error as Replayer::run() does. `texts` [L + T + 1], or empty.
LostRow lost_row(Replayer& replayer, const Settings& settings, const RowPlace& at, std::span<const std::string> texts,
                 ThreadPool& threads, const Cancel& cancel);

/// What else there is to say of one of them.
struct LossDetail {
  /// The first step since the choice in whose own ranking it is among those that are kept; -1: none, or the policy does
  /// not hold on to a choice of whole rows.
  int32_t wanted_from = -1;
  int32_t refresh_at = -1;  ///< the last step before this one at which a choice would have kept it until now; -1: none
  int32_t budget = -1;      ///< the K with which the choice that was made would have kept it; -1: not known
  /// Of an evicted one: the choice in which it left.
  int32_t left_at = -1, left_rank = -1, left_of = 0;
};
LossDetail loss_detail(Replayer& replayer, const Settings& settings, const LostRow& row, const LostPosition& lost,
                       ThreadPool& threads, const Cancel& cancel);

}  // namespace reattend
