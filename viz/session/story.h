// Why the selected step loses what it loses: its lost positions, the reason and the cures of one of them, and that
// position's life under the policy.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "replay/async.h"
#include "viz/session/cure.h"
#include "viz/session/ledger.h"
#include "viz/session/provider.h"

namespace reattend::viz {

struct OpenedTrace;

/// What one position has of a layer, at every step from the one on that has it.
struct Lane {
  int32_t layer = 0;
  std::vector<float> weights;  ///< [T] of the KV head's row; negative where the policy does not attend to the position
};

/// A cure with what it would change of the prediction, once that is known.
struct PricedCure {
  Cure cure;
  std::optional<Price> price;
};

/// All that is known so far; grows until it is whole.
struct Story {
  Settings settings;
  RowPlace at;
  int32_t position = -1;  ///< the one that is looked at: the heaviest that is lost where none is selected
  std::shared_ptr<const LostRow> row;
  std::optional<LossDetail> detail;  ///< nothing where the step attends to the position
  std::vector<PricedCure> cures;
  bool cured = false;                              ///< `cures` is complete, but for prices
  std::shared_ptr<const std::vector<Lane>> lanes;  ///< by layer, of the KV head; those that are replayed so far
  bool whole = false;

  /// Null where the step attends to the position.
  const LostPosition* lost() const;
};

class Stories final : public Provider {
 public:
  Stories(BackgroundTasks& tasks, int kind) : tasks_(tasks), kind_(kind) {}
  ~Stories() override;
  void enter(std::shared_ptr<Replayer> replayer) override;
  void update(const Session& session) override;
  bool idle() const override;

  /// Of the session's setting and selection, or of older ones until that is known; null until there is one. Whoever
  /// draws asks in every frame.
  const Story* ask();

 private:
  struct Job;
  BackgroundTasks& tasks_;
  const int kind_;
  std::shared_ptr<ThreadPool> threads_ = std::make_shared<ThreadPool>(1);  ///< the queue's
  std::shared_ptr<Replayer> replayer_;                                     ///< the queue's
  std::shared_ptr<Job> job_;
  std::shared_ptr<const Story> story_;
  std::shared_ptr<const std::vector<std::string>> texts_;  ///< of the trace's tokens, for tasks
  bool asked_ = false;
};

/// "lost 3.1 % of its mass in 212 positions, half of it in 6".
std::string summary_in_words(const LostRow& row);
/// Why a position was lost, with ranks and steps, in whole sentences.
std::string reason_in_words(const LostRow& row, const LostPosition& lost, const LossDetail* detail);
/// All that there is to say of the story's position, its token first: why it is lost, or that it is not.
std::string story_in_words(const Story& story, const OpenedTrace& trace);
/// The reason in a few words, for a table.
std::string cause_in_words(const LostRow& row, const LostPosition& lost);

}  // namespace reattend::viz
