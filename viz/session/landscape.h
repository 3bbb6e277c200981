// Maps of settings: every pair of values of two parameters, judged by replay from coarse to fine while somebody looks.
#pragma once
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tune/tune.h"
#include "viz/session/axes.h"
#include "viz/session/provider.h"

namespace reattend::viz {

class Measured;
struct MeasuredSetting;

/// The share of the memory that cells which are replayed side by side may take; 34 MB of 2 GB, which leaves enough for
/// the layers of 512 steps at 8K.
inline constexpr int64_t kMapMemoryShare = 64;

struct LandscapeCell {
  Settings settings;
  std::string impossible;          ///< why the trace or the policy does not take it; empty: it does
  std::optional<Metrics> metrics;  ///< once it has been replayed; the tuner's
};

/// Rows of cells, the lowest first.
struct Landscape {
  Axis across, upwards;
  std::vector<LandscapeCell> cells;  ///< [upwards.size()][across.size()]
  size_t n_known = 0, n_possible = 0;
  TuneResult judged;           ///< candidates of what is known, fastest first, and the tuner's choice among them
  std::vector<size_t> front;   ///< cells on the Pareto front of cost and estimate, fastest first
  std::optional<size_t> best;  ///< the tuner's choice, if it is a cell: the others are no faster than full attention
  uint64_t version = 0;        ///< changes with what is known; no other map has it

  size_t cell(size_t across_place, size_t upwards_place) const { return upwards_place * across.size() + across_place; }
};

/// A setting that was measured, and where it lies on a map, in its places.
struct MeasuredPlace {
  const MeasuredSetting* measured = nullptr;
  double across = 0, upwards = 0;
};
/// Those that are like the map's in all but the axes' parameters.
std::vector<MeasuredPlace> measured_on(const Session& session, const Landscape& map);

class Landscapes final : public Provider {
 public:
  Landscapes(BackgroundTasks& tasks, int kind);
  ~Landscapes() override;
  void enter(std::shared_ptr<Replayer> replayer) override;
  void update(const Session& session) override;
  bool idle() const override;

  /// The map of settings that are like this one in all but the axes' parameters, as far as it is; begun now if it is
  /// new. Whoever draws asks in every frame; what nobody asked for is not gone on with.
  const Landscape& ask(const Session& session, const Settings& like, const Axis& across, const Axis& upwards);
  /// Changes with what known() gives.
  uint64_t version() const { return version_; }
  /// Cells of all maps whose numbers are known.
  std::vector<const LandscapeCell*> known() const;
  /// What is known of a setting from any of the maps; null where none has it.
  const Metrics* known(const Settings& settings) const;
  /// What all maps were held against last.
  const std::shared_ptr<const TuneResult>& judged_under() const { return judged_under_; }

 private:
  struct Job;
  struct Map {
    Settings base;
    Landscape landscape;
    std::shared_ptr<Job> job;
    std::vector<size_t> order;              ///< of the cells that are possible, as they are replayed
    bool asked = false;                     ///< since the last update
    std::optional<uint64_t> tuned_version;  ///< of what the tuner found that is on it
  };
  void take(Map& map, const Session& session);
  void take_tuned(Map& map, const Measured& measured);
  void post();

  BackgroundTasks& tasks_;
  const int kind_;
  std::shared_ptr<Replayer> replayer_;  ///< the queue's
  std::list<Map> maps_;                 ///< the one asked for last is the first
  std::vector<std::shared_ptr<Job>> posted_;
  std::shared_ptr<const TuneResult> judged_under_;
  uint64_t version_ = 0;
};

}  // namespace reattend::viz
