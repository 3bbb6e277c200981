// Prepared layers of a trace, kept on disk where they exceed the memory: a change of a setting then reads what it needs
// of a mapped file, and so does the next opening of the trace.
#pragma once
#include <filesystem>
#include <mutex>
#include <string>

#include "replay/prepared.h"

namespace reattend {

/// A file holds one part of one layer: a header with the trace's id, sizes and checksums, then arrays that begin at
/// pages. It is written beside its name and takes it when it is whole.
class PreparedStore {
 public:
  static constexpr int32_t kVersion = 1;

  /// Files stand in a folder of the trace in `root`, which is made when the first is written; the folders of all traces
  /// together take at most `most` bytes.
  PreparedStore(std::filesystem::path root, const TraceInfo& info, int64_t most);

  /// Maps what the layer lacks for `need` and has a sound file of.
  void load(int32_t index, const PreparedLayer::Need& need, PreparedLayer& layer);
  /// Writes the parts that were made here, and maps them. Where the disk takes no more, that is noted, and nothing is
  /// written from then on.
  void save(int32_t index, PreparedLayer& layer);
  /// What went wrong, one line; empty if nothing did. From any thread.
  std::string note() const;

  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path path_of(int32_t index, PreparedLayer::Part part, const RankNeed& rank) const;
  bool load_part(int32_t index, PreparedLayer::Part part, const RankNeed& rank, PreparedLayer& layer);
  void save_part(int32_t index, PreparedLayer::Part part, const RankNeed& rank, const PreparedLayer& layer);
  void make_room(int64_t bytes);
  void take_note(std::string text);

  const std::filesystem::path root_;
  const std::string id_;  ///< 64 hex digits
  const std::filesystem::path folder_;
  const int64_t most_;
  bool full_ = false;  ///< nothing more is written
  mutable std::mutex mutex_;
  std::string note_;  ///< guarded by it
};

/// Where a program keeps them: reattend/prepared in the user's cache folder; empty where there is none.
std::filesystem::path prepared_root();
/// 64 hex digits that tell a trace's file from others and from itself once it has changed: of its size, its time of
/// change and its first and last megabyte. Empty where it cannot be read, or is still being written.
std::string trace_id(const TraceInfo& info);

}  // namespace reattend
