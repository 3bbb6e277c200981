// A trace's layers as they are prepared for replay, as many of them as memory allows.
#pragma once
#include <list>
#include <memory>

#include "replay/prepared.h"
#include "replay/source.h"

namespace reattend {

class LayerCache {
 public:
  /// Both must outlive this.
  LayerCache(ReplaySource& source, const TraceInfo& info) : source_(source), info_(info) {}

  /// nullptr where the layer is not here.
  PreparedLayer* find(int32_t layer) const;
  /// The layer, read from the source if it is not here, unprepared then; others go where all would be more than
  /// `limit` bytes. It is now the one used last. A layer larger than the limit is not read: nullptr.
  PreparedLayer* get(int32_t layer, int64_t limit);
  /// Whether the layer used last may grow to so many bytes. Others go to make it fit.
  bool make_room(int64_t bytes, int64_t limit);
  /// The same without anybody going.
  bool has_room(const PreparedLayer& layer, int64_t bytes, int64_t limit) const;
  /// All but the layer used last go.
  void drop_others();
  int64_t bytes() const;
  void keep_one() { keeps_one_ = true; }

 private:
  struct Entry {
    int32_t layer;
    std::unique_ptr<PreparedLayer> prepared;
  };

  ReplaySource& source_;
  const TraceInfo& info_;
  std::list<Entry> entries_;  ///< least recently used first
  bool keeps_one_ = false;
};

}  // namespace reattend
