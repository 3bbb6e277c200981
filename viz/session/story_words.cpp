// Losses in words: each policy's by what its own choice ranks.
#include <fmt/format.h>

#include "viz/session/session.h"
#include "viz/session/story.h"
#include "viz/session/token_text.h"

namespace reattend::viz {
namespace {

std::string when(int32_t step) {
  return step == 0 ? "at the end of the prompt" : fmt::format("at step {}", step);
}

/// "rank 412 of 5,010", counted from 1.
std::string rank_in_words(int32_t rank, int32_t of) {
  return fmt::format("rank {} of {}", rank + 1, of);
}

/// What places in a choice go by.
std::string_view by_what(Rank by) {
  switch (by) {
    case Rank::nothing:
      break;
    case Rank::row:
      return "by that step's attention";
    case Rank::attended:
      return "by that step's attention, the mean over all heads";
    case Rank::sums:
      return "by the attention of all queries so far";
    case Rank::window:
      return "by the attention of the last prompt tokens";
    case Rank::pages:
      return "by the bound of the page's keys";
    case Rank::vote:
      return "by the votes of all heads";
    case Rank::sketch:
      return "as estimated from the sketch of the keys";
  }
  return "";
}

std::string place_in_choice(const LostRow& row, const LostPosition& lost) {
  const std::string what = row.what.page > 1 ? fmt::format("its page (positions {} to {}) was {} pages",
                                                           lost.position / row.what.page * row.what.page,
                                                           (lost.position / row.what.page + 1) * row.what.page - 1,
                                                           rank_in_words(lost.rank, row.n_candidate))
                                             : rank_in_words(lost.rank, row.n_candidate);
  return fmt::format("{} {} {}", what, when(row.choice_step), by_what(row.what.by));
}

/// What else would have kept it.
std::string remedy_in_words(const LossDetail& detail, int32_t keep) {
  std::string out;
  if (detail.wanted_from >= 0) {
    out =
        fmt::format(" Wanted from step {} on: that step's own row has it among the best {}.", detail.wanted_from, keep);
  }
  if (detail.budget >= 0) out += fmt::format(" K = {} would have kept it", detail.budget);
  if (detail.refresh_at >= 0) {
    out += fmt::format("{} a choice at step {}", detail.budget >= 0 ? ", or" : " Kept by", detail.refresh_at);
  }
  return out.empty() ? out : out + ".";
}

}  // namespace

std::string summary_in_words(const LostRow& row) {
  if (row.n_position == 0) return "Nothing is lost: the step attends to every position.";
  return fmt::format("Lost: {:.2f} % of the mass, in {} positions, half of it in {}.", 100 * row.mass, row.n_position,
                     row.n_half);
}

std::string cause_in_words(const LostRow& row, const LostPosition& lost) {
  const char* const unit = row.what.page > 1 ? "page rank" : "rank";
  switch (lost.cause) {
    case LossCause::unknown:
      break;
    case LossCause::outside:
      return "outside the window";
    case LossCause::ranked:
      return fmt::format("{} {}, {} kept", unit, lost.rank + 1, row.what.keep);
    case LossCause::aged:
      return fmt::format("rank {}, {} left", lost.rank + 1, row.attended);
    case LossCause::weak:
      return "below min_weight";
    case LossCause::evicted:
      return fmt::format("gone from step {} on", lost.last + 1);
  }
  return "not known";
}

std::string reason_in_words(const LostRow& row, const LostPosition& lost, const LossDetail* detail) {
  const int32_t keep = row.what.keep;
  const char* const unit = row.what.page > 1 ? "pages" : "positions";
  switch (lost.cause) {
    case LossCause::unknown:
      break;
    case LossCause::outside:
      if (row.attend.lead == 0) {
        return fmt::format("The policy attends to positions {} and later alone at this step.", row.tail);
      }
      return fmt::format("It is outside the window: the policy attends to the first {} positions, and to {} and later.",
                         row.attend.lead, row.tail);
    case LossCause::ranked: {
      std::string out = fmt::format("It was {}; the best {} {} are kept", place_in_choice(row, lost), keep, unit);
      if (row.attend.ages && row.age() > 1) {
        out += fmt::format(", of which {} are left {} steps later", row.attended, row.age());
      }
      return out + "." + (detail != nullptr ? remedy_in_words(*detail, keep) : "");
    }
    case LossCause::aged:
      return fmt::format(
                 "It was {}, among the best {} that are kept; but each newer position takes a place, and {} steps "
                 "later {} of them are left.",
                 place_in_choice(row, lost), keep, row.age(), row.attended) +
             (detail != nullptr ? remedy_in_words(*detail, keep) : "");
    case LossCause::weak:
      return fmt::format("It was {}, but is estimated to weigh less than min_weight = {:g}.",
                         place_in_choice(row, lost), row.what.min_weight);
    case LossCause::evicted: {
      std::string out =
          fmt::format("It left the kept set and is gone from step {} on; what left never returns.", lost.last + 1);
      if (detail == nullptr || detail->left_rank < 0) return out;
      return out + fmt::format(" It was {} {} {}; {} are kept.", rank_in_words(detail->left_rank, detail->left_of),
                               when(detail->left_at), by_what(row.what.by), keep);
    }
  }
  return "The policy does not attend to it; the replay does not know why.";
}

std::string story_in_words(const Story& story, const OpenedTrace& trace) {
  constexpr int32_t kBeside = 3;  // tokens that the rest of a character may be in
  const std::string token = fmt::format("Position {}, \u201c{}\u201d", story.position,
                                        excerpt(trace.token_texts, story.position, kBeside).own);
  const LostPosition* const lost = story.lost();
  if (lost == nullptr) {
    const bool exists = story.position < trace.info.n_prompt + story.at.step;
    return fmt::format("{}: {}", token,
                       exists ? "the step attends to it." : "there is no such token at this step yet.");
  }
  std::string text = fmt::format("{}, {:.3f} % of the mass, ", token, 100 * lost->weight);
  const int32_t ago = story.at.step - lost->last;
  text += lost->last == 0 ? "last read at the end of the prompt. "
                          : fmt::format("last read {} step{} ago. ", ago, ago == 1 ? "" : "s");
  text += reason_in_words(*story.row, *lost, story.detail ? &*story.detail : nullptr);
  if (lost->earlier >= 0) text += fmt::format(" The same token stands at position {}.", lost->earlier);
  return text;
}

}  // namespace reattend::viz
