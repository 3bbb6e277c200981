// What a setting is tried for: its predicted KL and time against the bounds, as numbers and in words.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "replay/async.h"
#include "tune/tune.h"
#include "viz/session/provider.h"

namespace reattend::viz {

/// A setting's numbers, as `reattend tune` has them.
struct Judged {
  Settings settings;
  Metrics metrics;
  std::shared_ptr<const TuneResult> under;  ///< what it was held against
};

/// What settings on a trace are held against: nothing was tried yet.
std::shared_ptr<const TuneResult> tuning_of(const TraceInfo& info, const TuneBounds& bounds,
                                            const std::vector<VerifiedSetting>& verified);
/// What is asked of a replay so that its answer can be judged, once it has errors.
AsyncRequest request_to_judge(const TuneResult& tuned, const Settings& settings);
Judged judge_answer(const std::shared_ptr<const TuneResult>& tuned, const AsyncAnswer& answer);

/// Judges the session's setting as soon as all layers are replayed.
class Goal final : public Provider {
 public:
  Goal(BackgroundTasks& tasks, int kind) : tasks_(tasks), kind_(kind) {}
  void enter(std::shared_ptr<Replayer> replayer) override;
  void update(const Session& session) override;
  bool idle() const override;

  /// The newest that is known, of an older setting until the newest was judged; null until there is one.
  const Judged* judged() const { return judged_.get(); }

 private:
  BackgroundTasks& tasks_;
  const int kind_;
  std::shared_ptr<const Judged> judged_;
  std::shared_ptr<const AsyncAnswer> asked_of_;  ///< that was sent to be judged last
  /// Guarded by tasks_; shared with its task.
  std::shared_ptr<std::shared_ptr<const Judged>> found_ = std::make_shared<std::shared_ptr<const Judged>>();
};

/// A piece of the strip over all panes.
struct GoalText {
  std::string text, help;
  bool current = true;  ///< of the setting under trial, not of an older one
};
/// "KL 0.0819 (0.0471 to 0.143)", "KL measured 0.0656 (predicted 0.0819)", or why there is none.
GoalText kl_in_words(const Session& session);
/// "7.94 ms/token, full attention 15.61: 1.97 times as fast", how much of it is a guess, or why there is none.
GoalText time_in_words(const Session& session);

/// How the setting stands to a bound.
enum class Verdict : uint8_t { within, beyond, unknown };
struct GoalBound {
  Bound bound;
  double value = 0;  ///< nan where it is not known
  Verdict verdict = Verdict::unknown;
};
/// Those that the setting is held against, in the order of Bounded: as measured where it was, else as predicted.
std::vector<GoalBound> bounds_of(const Session& session);

}  // namespace reattend::viz
