// A new HDF5 file under a temporary name until it is fit to be seen; what stood under its name is kept until then.
#pragma once
#include <filesystem>

#include "traces/hdf5.h"

namespace reattend {

class NewFile {
 public:
  /// Throws Error (usage) if `path` exists and `force` is not set, Error with the system's reason if it can't be
  /// written. The file is marked as live (traces/live.h) as long as this object has it open.
  NewFile(std::filesystem::path path, bool force);
  /// Removes the file unless it was published.
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  hid_t id() const { return file_; }
  const std::filesystem::path& path() const { return path_; }
  bool published() const { return published_; }
  /// Gives the file its name.
  void publish();
  /// True if everything reached the file.
  bool close() { return file_.reset(); }
  /// Never writes to the file again, not even by closing it.
  void abandon() { file_.leak(); }

 private:
  std::filesystem::path path_, temporary_;
  bool force_, published_ = false;
  int fd_ = -1;
  hdf5::Handle file_;
};

}  // namespace reattend
