// What is being looked at: the open trace, the setting under trial, the selection, and what was found out about them on
// the background thread.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/background.h"
#include "replay/async.h"
#include "replay/prepared_store.h"
#include "tune/tune.h"
#include "viz/render/heatmap.h"
#include "viz/session/chosen_setting.h"
#include "viz/session/provider.h"
#include "viz/session/row_tiles.h"

namespace reattend::viz {

/// Opens a trace, on the background thread. Throws Error for what is not one.
using OpenSource = std::function<std::shared_ptr<ReplaySource>(const std::filesystem::path&)>;

/// What the replay may use of the machine.
struct Means {
  int n_thread = 0;  ///< 0: all hardware threads
  int64_t memory = kReplayMemory;
  std::filesystem::path cache;  ///< where layers that exceed the memory are kept prepared; empty: nowhere
  int64_t cache_bytes = 0;      ///< at most, of all traces
};

struct FoundProject;

/// What a trace holds besides its bulk, and what its project file says (viz/session/project_file.h).
struct OpenedTrace {
  TraceInfo info;
  std::vector<std::string> token_texts;  ///< [L + T + 1]
  StepData steps;
  std::vector<int32_t> token_ids;               ///< [L + T + 1], or empty: unknown
  std::shared_ptr<const FoundProject> project;  ///< null where project files are left alone
};

struct Selection {
  int32_t layer = 0, kv_head = 0;
  int32_t step = 1;       ///< 1 .. T
  int32_t position = -1;  ///< -1: none
  bool operator==(const Selection&) const = default;
};

/// Kinds of background work, most urgent first. Output errors take longest, so replays are answered without them, and
/// again with them once nothing else waits.
enum class Task : uint8_t { open, rows, layer, all_rows, masses, layer_errors, errors };
inline constexpr int kTasks = 7;

/// What the map of layers and steps shows; each is 0 .. 1, a mean over heads.
enum class LayerMeasure : uint8_t { decision, lost_mass, lost_overlap, output_error };
inline constexpr int kLayerMeasures = 4;

/// Belongs to the drawing thread. Setters ask for what they make necessary; update() takes what was found.
class Session {
 public:
  /// `wake` is called from the background thread whenever there is something to show.
  Session(OpenSource open, std::function<void()> wake, const Means& means = {});

  /// The trace that is open stays until this one is there, and for good where it cannot be opened.
  void open(const std::filesystem::path& path);
  /// Leaves the open trace; there is none then.
  void close();
  /// What is being opened; empty where nothing is.
  const std::filesystem::path& opening() const { return opening_; }
  /// Looks whether the open trace has more steps by now, or has been closed by its writer, and opens it anew then:
  /// setting and selection stay, and a selected last step is the last one again.
  void reopen();
  /// Once per frame, before anything is drawn.
  void update();

  /// What a second trace is opened with.
  const OpenSource& source() const { return open_; }
  const Means& means() const { return means_; }
  ThreadPool& pool() const { return *pool_; }

  /// Null until a trace is open.
  const OpenedTrace* trace() const { return trace_.get(); }
  /// Of the open trace; empty while there is none.
  const std::filesystem::path& path() const { return path_; }
  /// Changes with every opened trace.
  uint64_t trace_version() const { return trace_version_; }

  const Settings& settings() const { return settings_; }
  /// Re-simulates the selected layer, then all. A setting that the trace's model cannot take becomes setting_error(),
  /// and is kept.
  void set_settings(const Settings& settings);
  /// What the first trace starts with, instead of what its project file or first_setting() says. Another one of the
  /// same model keeps the setting under trial.
  void set_initial(const ChosenSetting& chosen) { initial_ = chosen; }
  /// set_settings(), with why.
  void choose(const ChosenSetting& chosen);
  /// Why the setting under trial is this one, where choose() or the opening of the trace made it that; empty once it
  /// was changed.
  std::string origin() const { return chosen_.settings == settings_ ? chosen_.why : std::string(); }
  /// Shows another setting's answer in all panes until show_trial(), set_settings() or another trace; the replay of the
  /// setting under trial goes on meanwhile. May be called again with a newer answer.
  void show_instead(const std::shared_ptr<const AsyncAnswer>& other);
  void show_trial();
  /// Whether settings() are those under trial.
  bool shows_trial() const { return !trial_; }
  /// Traces opened from now on start as their project files say, as far as nothing else was asked for.
  void read_projects() { reads_projects_ = true; }

  /// Where a trace is entered when it is opened from now on; negative members leave the choice to the program. What the
  /// trace does not have becomes open_error().
  void set_start(const Selection& start) { start_ = start; }
  const Selection& selection() const { return selection_; }
  /// The layer and head that are selected, and the steps whose rows are held. A trace with steps must be open.
  LookedAt looked_at() const;
  /// The nearest layer that the trace stores, in the direction of the change.
  void select_layer(int32_t layer);
  void select_kv_head(int32_t kv_head);
  void select_step(int32_t step);
  void select_position(int32_t position);
  /// To the next (direction 1) or previous (-1) step at which the selected layer and head choose anew, if there is one.
  void go_to_full_step(int direction);

  /// What has been found under the newest setting that could be replayed; null until something was asked.
  const std::shared_ptr<const AsyncAnswer>& answer() const { return answer_; }
  /// The selected layer; of an older setting until the newest has answered (layer_is_current()).
  const LayerReplay* layer() const;
  const ReplaySummary* layer_summary() const;
  bool layer_is_current() const;
  /// Over all layers; of an older setting until the newest has answered (total_is_current()).
  const ReplaySummary* total() const;
  bool total_is_current() const;

  /// What settings are held against: the law from estimates to KL, bounds with their defaults, the trace's costs; no
  /// candidates. Null where there is nothing to replay.
  const std::shared_ptr<const TuneResult>& tuning() const { return tuning_; }
  /// As they were asked for, on whatever trace.
  const TuneBounds& bounds() const { return bounds_; }
  /// Throws Error (usage) for one that is no number above 0.
  void set_bounds(const TuneBounds& bounds);

  /// The provider of that type (viz/session/provider.h).
  template <class P>
  P& data() const {
    for (const auto& each : providers_) {
      if (P* const found = dynamic_cast<P*>(each.get())) return *found;
    }
    throw std::logic_error("a provider that is not in the list of providers.cpp");
  }

  /// Rows of the selected layer and KV head; null until some are read.
  const RowTiles* rows() const;
  /// What is drawn of them until the next call.
  void show_rows(const RowTiles::Shown& shown);
  /// Which positions the simulated policy attends to in the selected layer and KV head; null until that is known.
  std::shared_ptr<const PositionMasks> attended_masks() const;
  /// n_layer rows of T steps, nan where nothing is known; layers change one by one as they are replayed. Without values
  /// until the first is.
  HeatMatrix layer_map(LayerMeasure measure) const;
  /// Why the map has no value of a layer.
  std::string why_unknown(LayerMeasure measure, int32_t layer) const;

  /// Whether the simulated policy attends to `position` at `step`, in the selected layer and head; nothing if unknown.
  std::optional<bool> attended(int32_t step, int32_t position) const;
  /// The exact full attention weight; nothing if it has not been read, or there is none.
  std::optional<float> weight(int32_t step, int32_t position) const;
  /// Text of the token at a position, made visible; empty beyond the end.
  std::string token_text(int32_t position) const;

  /// Why the trace could not be opened; empty if it could. Cleared by open() and clear_open_error().
  const std::string& open_error() const { return open_error_; }
  void clear_open_error() { open_error_.clear(); }
  /// What the store of prepared layers could not do, in a line; empty if nothing.
  std::string notice() const { return store_ ? store_->note() : std::string(); }
  /// Why the setting is none for this model; it can be neither replayed nor saved.
  const std::string& setting_error() const { return setting_error_; }
  /// Why the setting was not replayed, or the last replay or row failed.
  const std::string& replay_error() const { return setting_error_.empty() ? replay_error_ : setting_error_; }

  bool waiting_for(Task task) const { return tasks_.waiting_for(static_cast<int>(task)); }
  BackgroundTasks::Activity activity() const { return tasks_.activity(); }
  /// Nothing of the setting's own is running, waiting or left to take; maps of other settings may be.
  bool answered() const;
  /// Nothing is running, waiting or left to take.
  bool idle() const;

 private:
  /// What opening gives, on the way to the drawing thread.
  struct Opening {
    std::shared_ptr<const OpenedTrace> trace;
    std::shared_ptr<Replayer> replayer;
    std::shared_ptr<PreparedStore> store;
    int64_t weight_bytes = 0;
    ChosenSetting first;
  };
  /// The setting under trial while another one's answer is shown.
  struct Trial {
    Settings settings;
    std::string setting_error;
    std::shared_ptr<const AsyncAnswer> answer, whole;
  };
  /// `known`: nothing comes of it where the file holds no more than that.
  void post_opening(const std::filesystem::path& path, const std::shared_ptr<const OpenedTrace>& known);
  void take_failures();
  void take_opened(const Opening& opened);
  /// The setting that a newly opened trace is entered with.
  ChosenSetting setting_for(const Opening& opened) const;
  void leave_trace();
  void retune();
  void enter_trace(const ChosenSetting& chosen);
  void take_answer(std::shared_ptr<const AsyncAnswer> answer);
  void take_passing(std::shared_ptr<const AsyncAnswer> answer);
  void map_layers(const AsyncAnswer& answer);
  int32_t stored_near(int32_t layer, int32_t from) const;
  void ask_for_rows();
  void map_layer(int32_t layer, const HeadMeans& means);

  const OpenSource open_;
  const Means means_;
  std::optional<ChosenSetting> initial_;
  ChosenSetting chosen_;
  bool reads_projects_ = false;
  Settings settings_{kDefaultPolicy};
  Selection selection_, start_{-1, -1, -1, -1};
  std::unique_ptr<Trial> trial_;  ///< null: settings_ and answer_ are its
  std::filesystem::path path_, opening_;
  std::string open_error_, replay_error_, setting_error_;
  uint64_t trace_version_ = 0, matrix_version_ = 0;
  std::optional<int32_t> steps_before_;  ///< that the open trace has, while it is being opened anew

  std::shared_ptr<const OpenedTrace> trace_;
  std::shared_ptr<const AsyncAnswer> answer_, whole_;       ///< the newest; the newest that has all layers
  std::shared_ptr<const AsyncAnswer> layer_from_;           ///< the newest that has the selected layer
  std::vector<float> layer_maps_[kLayerMeasures];           ///< [n_layer][T]
  std::vector<std::shared_ptr<const LayerReplay>> mapped_;  ///< [n_layer] what their rows show

  std::shared_ptr<ThreadPool> pool_;
  std::shared_ptr<Opening> opened_;  ///< guarded by tasks_; shared with the task that opens
  BackgroundTasks tasks_;
  std::unique_ptr<AsyncReplayer> replayer_;  ///< null until a trace is open
  std::shared_ptr<PreparedStore> store_;     ///< null where nothing is kept
  std::unique_ptr<RowTiles> row_tiles_;      ///< null until a trace is open
  TuneBounds bounds_;
  uint64_t measured_version_ = 0;  ///< of Measured: what tuning_ is corrected by
  std::shared_ptr<const TuneResult> tuning_;
  std::vector<std::unique_ptr<Provider>> providers_;
};

}  // namespace reattend::viz
