// What is being looked at: the open trace, the setting under trial, the selection, and what the worker found out about
// them.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "viz/render/heatmap.h"
#include "viz/session/worker.h"

namespace reattend::viz {

struct Selection {
  int32_t layer = 0, kv_head = 0;
  int32_t step = 1;       ///< 1 .. T
  int32_t position = -1;  ///< -1: none
};

/// What the map of layers and steps shows; each is 0 .. 1, a mean over KV heads.
enum class LayerMeasure : uint8_t { decision, lost_mass, lost_overlap, output_error };
inline constexpr int kLayerMeasures = 4;

/// Belongs to the drawing thread. Setters ask the worker for what they make necessary; update() takes what it found.
class Session {
 public:
  Session(OpenSource open, std::function<void()> wake) : worker_(std::move(open), std::move(wake)) {}

  void open(const std::filesystem::path& path);
  /// Once per frame, before anything is drawn.
  void update();

  /// Null until a trace is open.
  const OpenedTrace* trace() const { return trace_.get(); }
  const std::filesystem::path& path() const { return path_; }
  /// Changes with every opened trace.
  uint64_t trace_version() const { return trace_version_; }

  const Settings& settings() const { return settings_; }
  /// Re-simulates the selected layer, then all. A setting that the trace cannot take is reported, and kept.
  void set_settings(const Settings& settings);
  /// What a trace starts with when it is opened from now on.
  void set_initial_settings(const Settings& settings) { initial_settings_ = settings; }

  /// Where a trace is entered when it is opened from now on; negative members leave the choice to the program. What the
  /// trace does not have becomes open_error().
  void set_start(const Selection& start) { start_ = start; }
  const Selection& selection() const { return selection_; }
  void select_layer(int32_t layer);
  void select_kv_head(int32_t kv_head);
  void select_step(int32_t step);
  void select_position(int32_t position);
  /// To the next (direction 1) or previous (-1) full step of the selected layer and head, if there is one.
  void go_to_full_step(int direction);

  /// The selected layer under the newest simulated settings; null while there is none.
  const LayerReplay* layer() const;
  const ReplaySummary* layer_summary() const;
  /// All layers; may be of the settings before while the worker is at it.
  const ReplayResult* all() const { return all_.get(); }
  /// Rows of the selected layer and KV head; null while they are being read.
  const RowMatrix* rows() const;
  /// rows() as a matrix; `marked`: negative where the simulated policy does not attend (as soon as that is known).
  /// Without values while there are no rows.
  HeatMatrix attention(bool marked) const;
  /// n_layer rows of T steps; without values until all layers have been replayed.
  HeatMatrix layer_map(LayerMeasure measure) const;

  /// Whether the simulated policy attends to `position` at `step`, in the selected layer and head; nothing if unknown.
  std::optional<bool> attended(int32_t step, int32_t position) const;
  /// The exact full attention weight; nothing if it has not been read, or there is none.
  std::optional<float> weight(int32_t step, int32_t position) const;
  /// Text of the token at a position, made visible; empty beyond the end.
  std::string token_text(int32_t position) const;

  /// Why the trace could not be opened; empty if it could. Cleared by open() and clear_open_error().
  const std::string& open_error() const { return open_error_; }
  void clear_open_error() { open_error_.clear(); }
  /// Why the last replay or row failed.
  const std::string& replay_error() const { return replay_error_; }

  bool waiting_for(Task task) const { return worker_.waiting_for(task); }
  Activity activity() const { return worker_.activity(); }
  bool idle() const { return worker_.idle(); }

 private:
  void take_trace(std::shared_ptr<const OpenedTrace> trace);
  void ask_for_rows();
  void mark_attention(const RowMatrix& rows);
  void make_layer_maps();

  Settings initial_settings_{kDefaultPolicy};
  Settings settings_{kDefaultPolicy};
  Selection selection_, start_{-1, -1, -1, -1};
  std::filesystem::path path_;
  std::string open_error_, replay_error_;
  uint64_t trace_version_ = 0, matrix_version_ = 0;

  std::shared_ptr<const OpenedTrace> trace_;
  std::shared_ptr<const ReplayResult> layer_, all_;
  std::shared_ptr<const RowMatrix> rows_;
  std::vector<int32_t> row_end_;                   ///< of rows_
  std::vector<float> marked_;                      ///< rows_ with signs; empty while unknown
  std::vector<float> layer_maps_[kLayerMeasures];  ///< [n_layer][T]

  Worker worker_;  ///< last, so that it has ended before what it fills goes
};

}  // namespace reattend::viz
