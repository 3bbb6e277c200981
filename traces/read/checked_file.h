// An HDF5 file that nobody vouches for: opens it, its attributes and datasets, and checks all that sizes memory.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "traces/hdf5.h"
#include "traces/schema.h"

namespace reattend::hdf5 {

using schema::Extents;
using AttributeValue = std::variant<std::string, std::vector<int64_t>, std::vector<double>>;

/// Refused, each with its reason: files without checksums over their structure (superblock 0 and 1), soft and external
/// links, virtual and external storage, filters other than shuffle, deflate and fletcher32, plug-ins.
class CheckedFile {
 public:
  explicit CheckedFile(std::filesystem::path path);
  ~CheckedFile();
  CheckedFile(const CheckedFile&) = delete;
  CheckedFile& operator=(const CheckedFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  bool marked_open() const { return marked_open_; }  ///< never closed: it is being written, or its writer was killed
  bool live() const;                                 ///< a writer holds it right now
  int64_t size() const;                              ///< bytes of the file at this moment

  /// Every root attribute of a kind that this program writes: text, numbers, lists of numbers.
  std::map<std::string, AttributeValue> attributes() const;
  /// Whether the root has one of that name, of whatever type.
  bool has_attribute(const char* name) const;

  /// A dataset with its checked shape.
  struct Opened {
    Handle id;
    Element element;
    int rank = 0;
    Extents extents{1, 1, 1, 1};
    std::string where;  ///< "FILE: group/name"
  };
  /// Nothing if there is none of that name. Element type, rank and every extent must be as given, except the first
  /// where `first_at_least`, which may be larger. `expected` [rank].
  std::optional<Opened> open(const schema::Dataset& row, Element element, std::span<const uint64_t> expected,
                             bool first_at_least) const;
  /// Looks again at a dataset that grows (SWMR); its extents may have changed.
  void refresh(Opened& dataset) const;

  /// Reads the block start + count of the dataset; `out` has its bytes, in the dataset's order.
  static void read(const Opened& dataset, const Extents& start, const Extents& count, std::span<std::byte> out);

 private:
  void check_storage(const Opened& dataset, hid_t creation) const;
  std::filesystem::path path_;
  int fd_ = -1;
  bool marked_open_ = false;
  Handle file_;
};

}  // namespace reattend::hdf5
