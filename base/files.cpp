// One message for all of them.
#include "base/files.h"

#include "base/error.h"

namespace reattend {

void refuse_to_replace(const std::filesystem::path& path, bool force) {
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::symlink_status(path, ignored);
  const bool exists = std::filesystem::exists(status);
  if (path.empty() || (exists && !std::filesystem::is_regular_file(status))) {
    // A new file is renamed to `path`: it would take the place of /dev/full, or of the link /dev/stdout.
    fail_usage({.where = path.empty() ? "--out" : path.string(),
                .expected = "the name of a plain file",
                .got = path.empty() ? "an empty one"
                       : std::filesystem::is_directory(status) ? "a folder"
                                                               : "a link, device or pipe",
                .remedy = "give another --out"});
  }
  if (force || !exists) return;
  fail_usage({.where = path.string(),
              .expected = "a file that does not exist yet",
              .got = "an existing one",
              .remedy = "give another --out, or --force to replace it"});
}

}  // namespace reattend
