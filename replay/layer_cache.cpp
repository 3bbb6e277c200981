// Reads layers as they are asked for, and decides which one goes where memory ends.
#include "replay/layer_cache.h"

#include <algorithm>
#include <iterator>

namespace reattend {

PreparedLayer* LayerCache::find(int32_t layer) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.layer == layer; });
  return found == entries_.end() ? nullptr : found->prepared.get();
}

PreparedLayer* LayerCache::get(int32_t layer, int64_t limit) {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.layer == layer; });
  if (found != entries_.end()) {
    entries_.splice(entries_.end(), entries_, found);
    return entries_.back().prepared.get();
  }
  const int64_t bytes = PreparedLayer::unprepared_bytes(info_);
  if (bytes > limit) return nullptr;
  while (!entries_.empty() && (keeps_one_ || this->bytes() + bytes > limit)) entries_.pop_back();
  entries_.push_back({layer, std::make_unique<PreparedLayer>(info_, source_.layer(layer))});
  return entries_.back().prepared.get();
}

bool LayerCache::has_room(const PreparedLayer& layer, int64_t bytes, int64_t limit) const {
  return this->bytes() - layer.bytes() + bytes <= limit;
}

bool LayerCache::make_room(int64_t bytes, int64_t limit) {
  const auto fits = [&] { return has_room(*entries_.back().prepared, bytes, limit); };
  if (bytes > limit) return false;
  // Passes go through all layers in the same order, so the one used last before is the one needed again last.
  while (!fits() && entries_.size() > 1) entries_.erase(std::prev(entries_.end(), 2));
  return fits();
}

void LayerCache::drop_others() {
  while (entries_.size() > 1) entries_.pop_front();
}

int64_t LayerCache::bytes() const {
  int64_t bytes = 0;
  for (const Entry& entry : entries_) bytes += entry.prepared->bytes();
  return bytes;
}

}  // namespace reattend
