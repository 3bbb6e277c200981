// Settings whose numbers became known on the open trace, in the order in which they did.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "tune/tune.h"
#include "viz/session/provider.h"

namespace reattend::viz {

struct TriedSetting {
  Settings settings;
  /// Of this session all of it; of a project file what TriedNumbers name, and `layers` is empty. `measured` is what an
  /// engine found, where somebody had it measured (Tried::add_measured).
  Metrics metrics;
  bool from_file = false;
};

/// Settings with the numbers that the trace predicts of them; no task of its own.
class Tried final : public Provider {
 public:
  /// More are not kept: those tried first go.
  static constexpr size_t kMost = 1000;

  Tried(BackgroundTasks&, int) {}
  void enter(std::shared_ptr<Replayer>) override;
  /// Takes what the goal judged.
  void update(const Session& session) override;
  bool idle() const override { return true; }

  const std::vector<TriedSetting>& settings() const { return settings_; }
  /// Changes with them.
  uint64_t version() const { return version_; }
  /// What this session's replay says of a setting; null where it has not been judged.
  const Metrics* known(const Settings& settings) const;
  /// What known() was held against; null before anything was.
  const std::shared_ptr<const TuneResult>& judged_under() const { return under_; }
  /// The trace that was entered last is the one before it with more steps: what was tried stays, with its old numbers.
  void take_up_again();
  /// What a project file has; of a setting that is here already nothing.
  void add_from_file(TriedSetting tried);
  /// What an engine measured of a setting, which joins the list unless it is there.
  void add_measured(const Settings& settings, const Score& score);
  void forget(const Settings& settings);

 private:
  TriedSetting* find(const Settings& settings);
  TriedSetting& add(TriedSetting tried);

  std::vector<TriedSetting> settings_, before_;  ///< of the trace, of the one before
  std::shared_ptr<const TuneResult> under_;
  std::optional<Settings> newest_;  ///< that the goal judged
  uint64_t version_ = 1;
};

/// Those that no other of them beats in cost and harm (Metrics::predicted_kl, or the estimate where none is
/// predicted), fastest first; indices into `tried`.
std::vector<size_t> front_of(const std::vector<TriedSetting>& tried, bool has_kl);

/// "S=10 K=64": the setting without its policy where that is the one that `others` has.
std::string in_few_words(const Settings& settings, const Settings& others);

}  // namespace reattend::viz
