// Full attention rows of one layer and KV head, read on the background thread a tile of steps at a time: levels of
// detail of all steps, and the weights themselves as far as memory allows, those in view first.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "base/background.h"
#include "replay/replay.h"
#include "viz/render/row_levels.h"

namespace reattend::viz {

/// Belongs to the drawing thread.
class RowTiles {
 public:
  /// Kinds of task: for what is looked at, and for all other tiles.
  struct Kinds {
    int looked_at = 0, others = 1;
  };
  /// Weights take at most so many bytes, but for those of one tile. The queue must outlive this.
  RowTiles(BackgroundTasks& tasks, const Kinds& kinds, std::shared_ptr<Replayer> replayer, int64_t bytes);
  ~RowTiles();
  RowTiles(const RowTiles&) = delete;
  RowTiles& operator=(const RowTiles&) = delete;

  /// Another layer or KV head: its tiles are read, those of `step` first.
  void look_at(int32_t layer, int32_t kv_head, int32_t step);
  /// What is drawn until the next call, and whether it takes the weights, which are read where they are missing.
  struct Shown {
    Steps steps;  ///< none: nobody draws
    bool weights = true;
    int32_t under_mouse = -1;  ///< a step whose weights are needed; -1: none
  };
  void show(const Shown& shown) { shown_ = shown; }
  /// Another step whose weights are needed.
  void show_step(int32_t step);
  /// Takes what was read, and asks for what is missing.
  void update();

  /// [n_tile], null where nothing has been read.
  std::span<const std::shared_ptr<const RowTile>> tiles() const { return tiles_; }
  /// [n_weight()] of that step; null where they are not here.
  const float* row_of_step(int32_t step) const;
  int32_t n_weight(int32_t step) const { return n_prompt_ + step; }
  /// Some tile is here.
  bool any() const { return n_read_ > 0; }
  bool all() const { return n_read_ == tiles_.size(); }
  /// Changes with the tiles.
  uint64_t version() const { return version_; }
  bool has_news() const;
  int64_t bytes() const;

 private:
  /// Shared with tasks, which may end after this has gone; guarded by the queue's lock.
  struct Found {
    std::vector<std::shared_ptr<const RowTile>> tiles;
  };
  size_t tile_of(int32_t step) const;
  Steps in_view() const;
  Steps steps_of(size_t tile) const;
  int64_t weight_bytes(size_t tile) const;
  std::vector<size_t> needed() const;
  void make_room(const std::vector<size_t>& needed);
  /// What a kind of task reads.
  struct Reading {
    int kind;
    std::vector<size_t> asked = {};  ///< tiles that the newest task has still to read
  };
  void ask(Reading& reading, const std::vector<size_t>& missing, int64_t room);

  BackgroundTasks& tasks_;
  Reading looked_at_, others_;
  const std::shared_ptr<Replayer> replayer_;  ///< the queue's
  const int32_t n_prompt_, n_step_;
  const int64_t bytes_;
  int32_t layer_ = -1, kv_head_ = -1;
  int32_t step_ = 1;
  Shown shown_;
  std::vector<std::shared_ptr<const RowTile>> tiles_;
  size_t n_read_ = 0;
  uint64_t version_ = 0;
  std::shared_ptr<Found> found_;
};

}  // namespace reattend::viz
